"""Curves over a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnnrun.measure.curves import areas

POINTS = 60  # of a ROC curve that are kept


def roc_of(score: np.ndarray, truth: np.ndarray) -> dict[str, Any] | None:
    """The ROC curve in at most 1.5 x POINTS points, and the area under the whole of it; None without both kinds.

    score: (n,), the higher the likelier. truth: (n,) bool.
    """
    if not truth.any() or truth.all():
        return None
    order = np.argsort(-score, kind="stable")
    value, hit = score[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(value)), len(value) - 1)  # ties are one point
    true = np.append(0, np.cumsum(hit)[last]) / truth.sum()
    false = np.append(0, np.cumsum(~hit)[last]) / (~truth).sum()
    area = float(areas(score, truth, np.ones((1, len(truth))))[0][0])
    kept = np.unique(np.linspace(0, len(true) - 1, POINTS).round().astype(int))
    # Most of a good curve is in its first steps: half of the points by rank, half by rise.
    rise = np.searchsorted(true, np.linspace(0, 1, POINTS // 2))
    kept = np.unique(np.concatenate([kept, np.minimum(rise, len(true) - 1)]))
    return {"area": area, "false": false[kept].round(5).tolist(), "true": true[kept].round(5).tolist()}
