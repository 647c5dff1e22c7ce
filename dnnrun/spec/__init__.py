"""YAML text to a typed, frozen `Spec`, with every problem at its line and column. No JAX."""
