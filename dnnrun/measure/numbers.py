"""Metrics of a regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnnrun.measure import Measured
from dnnrun.measure.bootstrap import draws, interval, intervals, mean

NAMES = ("rmse", "mae", "r2")


def measure(outputs: np.ndarray, labels: np.ndarray, names: Sequence[str], losses: np.ndarray) -> Measured:
    """Of predictions (rows, targets) and targets, both in the targets' units; losses (rows,).

    rmse, mae and r2 are the means over the targets of each one's own, as scikit-learn has it (uniform_average).
    """
    counts = draws(len(labels))
    point, spread = errors(outputs, labels), _of(*_away(outputs, labels), counts)
    metrics = {name: float(point[name].mean()) for name in NAMES}
    resampled = {name: spread[name].mean(1) for name in NAMES} | {"loss": mean(counts, losses)}
    each = []
    for k, target in enumerate(names):
        known = {name: float(point[name][k]) for name in NAMES}
        each.append({"target": target, **known, "intervals": {n: interval(spread[n][:, k]) for n in NAMES}})
    return Measured(metrics, intervals(resampled), each)


def errors(predicted: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """RMSE, MAE and R2 of each target, (targets,), of predictions and targets (rows, targets) in the same units.

    R2 of a target that is the same in every row is 0, or 1 where every prediction is right, as scikit-learn has it.
    """
    return {name: value[0] for name, value in _of(*_away(predicted, true), np.ones((1, len(true)))).items()}


def _away(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true = true.astype(np.float64)
    return predicted.astype(np.float64) - true, true - true.mean(0)


def _of(away: np.ndarray, centred: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """RMSE, MAE and R2 of each target, (resamples, targets)."""
    rows = counts.shape[1]
    squares, distances, totals = (counts @ values for values in (np.square(away), np.abs(away), np.square(centred)))
    spread = totals - np.square(counts @ centred) / rows
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(spread > 1e-12 * totals, 1 - squares / spread, np.where(squares > 0, 0.0, 1.0))
    return {"rmse": np.sqrt(squares / rows), "mae": distances / rows, "r2": r2}
