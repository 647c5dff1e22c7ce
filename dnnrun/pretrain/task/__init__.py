"""What the stages minimise, in JAX."""
