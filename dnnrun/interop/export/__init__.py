"""Our networks written for other frameworks, each file checked by running it there."""
