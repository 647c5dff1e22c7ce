"""The bootstrap, vectorized: how often each row is drawn in each resample, and what metrics come to by these counts.

Efron, "Bootstrap methods: another look at the jackknife", 1979; intervals are percentiles (Efron and Tibshirani, "An
introduction to the bootstrap", 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

RESAMPLES, FEWEST = 1000, 100
CELLS = 10_000_000  # of resamples x rows x scores that the areas under curves are computed of
LEVEL = 95.0


def draws(rows: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each row stands in each resample, (resamples, rows) float32; a function of its arguments alone."""
    rng = np.random.default_rng([seed, rows, resamples])
    counts = np.empty((resamples, rows), np.float32)
    step = max(1, CELLS // 2 // rows)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.integers(0, rows, (stop - start, rows), np.int32)
        drawn += np.arange(stop - start, dtype=np.int32)[:, None] * np.int32(rows)
        counts[start:stop] = np.bincount(drawn.ravel(), minlength=(stop - start) * rows).reshape(-1, rows)
    return counts


def fewer(counts: np.ndarray, scores: int) -> np.ndarray:
    """Of `counts` as many resamples as there is time for, for so many scores a row; never fewer than 100."""
    return counts[: max(FEWEST, CELLS // (counts.shape[1] * scores))]


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The middle 95% of a metric's values over the resamples; None where no resample has one."""
    found = values[np.isfinite(values)]
    if not found.size:
        return None
    low, high = np.percentile(found, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def intervals(values: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """The interval of each metric that has one."""
    found = {name: interval(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def mean(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of `values` (rows,) or (rows, k) in each resample, (resamples,) or (resamples, k)."""
    return counts @ values.astype(np.float32) / np.float32(counts.shape[1])
