"""Optimizers, learning-rate schedules, gradient clipping and weight constraints. Knows only arrays."""

from __future__ import annotations

from typing import Any


def is_zero(number: Any) -> bool:
    """Whether a term with this factor may be left out: it is a plain 0. One that is traced may be any number."""
    return isinstance(number, (int, float)) and number == 0
