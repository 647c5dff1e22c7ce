"""Run directories, checkpoints, events: what a run leaves on disk, and how it is found again. No JAX."""
