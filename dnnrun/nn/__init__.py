"""Layers: activations, initializers, losses, and the network they make up. Knows only arrays."""
