"""Means with intervals over seeds, paired differences, and which settings cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` runs and the half width of its 95% interval (Student's t), None for a single run."""

    mean: float
    half: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + ("" if self.half is None else f" +-{self.half:.4f}")


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of independent runs. ValueError for none."""
    if not values:
        raise ValueError("an estimate wants at least one run")
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Estimate(mean, None, 1)
    from scipy.special import stdtrit

    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return Estimate(mean, float(stdtrit(count - 1, (1 + LEVEL) / 2)) * spread / math.sqrt(count), count)


def difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Estimate | None:
    """`values` minus `reference`, paired by seed; None where they share no seed."""
    shared = sorted(values.keys() & reference.keys())
    return estimate([values[seed] - reference[seed] for seed in shared]) if shared else None


def told_apart(found: Estimate | None) -> bool:
    """Whether a paired difference's interval excludes 0."""
    return found is not None and found.half is not None and abs(found.mean) > found.half


def verdict(found: Estimate | None) -> str:
    """A paired difference in words, as honest in one direction as in the other."""
    if found is None or found.half is None:
        return "one seed tells nothing"
    if not told_apart(found):
        return f"cannot be told apart at {found.count} seeds"
    return "better" if found.mean > 0 else "worse"
