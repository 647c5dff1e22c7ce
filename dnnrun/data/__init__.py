"""Datasets: where rows come from, which of them are used, and how they are scaled. Knows neither specs nor JAX."""
