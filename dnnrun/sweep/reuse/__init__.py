"""How many layers to reuse and how many to freeze: the protocol tried over seeds, and what it comes to."""
