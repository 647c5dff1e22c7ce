"""How much each key of a sweep matters to its metric."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from dnnrun.sweep.results import Ranked

FEWEST = 6  # settings below which nothing is said
TREES, REPEATS = 200, 20


def importance(ranked: Sequence[Ranked]) -> dict[str, float]:
    """The share of each varied key, summing to 1; empty where too few settings tell.

    A random forest (Breiman, 2001) learns the mean of a setting from its values; a key's importance is how much worse
    it predicts with that key's values permuted (scikit-learn's permutation_importance), 0 where it is no worse.
    Settings that failed or were pruned are left out: their means are of other seeds or epochs.
    """
    whole = [entry for entry in ranked if entry.estimate and not entry.failed and entry.epochs is None]
    keys = varied([entry.setting for entry in whole])
    if len(whole) < FEWEST or not keys:
        return {}
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    x = np.array([codes([entry.setting.get(key) for entry in whole]) for key in keys]).T
    y = np.array([entry.estimate.mean for entry in whole if entry.estimate])
    if np.ptp(y) == 0:
        return {}
    forest = RandomForestRegressor(TREES, random_state=0, n_jobs=1).fit(x, y)
    found: Any = permutation_importance(forest, x, y, n_repeats=REPEATS, random_state=0, n_jobs=1)
    shares = np.maximum(found.importances_mean, 0)
    total = float(shares.sum())
    return {key: float(share) / total for key, share in zip(keys, shares, strict=True)} if total else {}


def varied(settings: Sequence[Any]) -> list[str]:
    """The keys that differ between settings."""
    keys = dict.fromkeys(key for setting in settings for key in setting)
    return [key for key in keys if len({json.dumps(s.get(key), sort_keys=True) for s in settings}) > 1]


def codes(values: Sequence[Any]) -> list[float]:
    """Numbers for a forest: numbers as they are, or their logarithms over a wide range; anything else by its place."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        wide = min(values) > 0 and max(values) > 50 * min(values)
        return [math.log(value) if wide else float(value) for value in values]
    names = [json.dumps(value, sort_keys=True) for value in values]
    order = list(dict.fromkeys(names))
    return [float(order.index(name)) for name in names]
