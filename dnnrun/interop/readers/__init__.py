"""A reader a format: from a file to Weights. None runs anything that the file holds."""
