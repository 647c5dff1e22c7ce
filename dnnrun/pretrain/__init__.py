"""Learning before the labels: layers trained to reconstruct their inputs, or on an easier task. No specs, no files."""
