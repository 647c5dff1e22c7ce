"""Means with intervals over runs, paired differences, and which settings cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

LEVEL = 0.95
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` runs and the half width of its 95% interval (Student's t), None for a single run.

    `p` is the probability of a mean at least this far from 0 were the true one 0 (two-sided t-test).
    """

    mean: float
    half: float | None
    count: int
    p: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + ("" if self.half is None else f" +-{self.half:.4f}")


def estimate(values: Sequence[float], folds: int | None = None) -> Estimate:
    """Mean and interval of runs that are independent, or of the `folds` of one or more cross-validations.

    The folds of a cross-validation share most of their training rows, and an interval that ignores this is too narrow.
    With `folds` the variance of the mean is (1/n + 1/(folds - 1)) times that of the runs, the corrected resampled
    t-test of Nadeau and Bengio (2003), with test rows over training rows 1/(folds - 1). ValueError for no runs.
    """
    if not values:
        raise ValueError("an estimate wants at least one run")
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Estimate(mean, None, 1)
    from scipy.special import stdtr, stdtrit

    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    error = math.sqrt(variance * (1 / count + (1 / (folds - 1) if folds else 0)))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    p = float(2 * stdtr(count - 1, -abs(mean) / error)) if error else float(mean == 0)
    return Estimate(mean, half, count, p)


def difference(
    values: Mapping[Key, float], reference: Mapping[Key, float], folds: int | None = None
) -> Estimate | None:
    """`values` minus `reference`, paired by seed and fold (the keys); None where they share none."""
    shared = [key for key in values if key in reference]
    return estimate([values[key] - reference[key] for key in shared], folds) if shared else None


def holm(found: Sequence[Estimate | None]) -> list[float | None]:
    """The p of each difference, adjusted for how many are asked about at once (Holm, 1979); None where there is none.

    Adjusted values below 0.05 hold together: the chance that any of them is a false alarm stays below 5%.
    """
    given = sorted((entry.p, number) for number, entry in enumerate(found) if entry is not None and entry.p is not None)
    adjusted: list[float | None] = [None] * len(found)
    largest = 0.0
    for rank, (p, number) in enumerate(given):
        largest = max(largest, min(1.0, p * (len(given) - rank)))
        adjusted[number] = largest
    return adjusted


def told_apart(found: Estimate | None) -> bool:
    """Whether a paired difference's interval excludes 0."""
    return found is not None and found.half is not None and abs(found.mean) > found.half


def verdict(found: Estimate | None) -> str:
    """One paired difference in words, as honest in one direction as in the other."""
    if found is None or found.half is None:
        return "one seed tells nothing"
    if not told_apart(found):
        return f"cannot be told apart at {found.count} seeds"
    return "better" if found.mean > 0 else "worse"
