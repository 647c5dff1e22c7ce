"""Tables: from a file of columns to one float32 matrix, by what was learned from the training rows."""
