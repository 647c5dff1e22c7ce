"""Optimizers, learning-rate schedules, gradient clipping and weight constraints. Knows only arrays."""
