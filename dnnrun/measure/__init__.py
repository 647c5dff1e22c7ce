"""How good predictions are: metrics, and between which values each may lie. NumPy arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Interval = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Metrics of some rows, a 95% bootstrap interval of each, and what is told class by class or target by target."""

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    each: Sequence[Mapping[str, Any]] = ()
    confusion: np.ndarray | None = None


def measure(task: str, outputs: np.ndarray, labels: np.ndarray, names: Sequence[str], losses: np.ndarray) -> Measured:
    """The metrics of `task` for outputs (rows, outputs), what is true of the rows, and their losses (rows,).

    labels: (rows,) class numbers, (rows, labels) of 0 and 1, or (rows, targets) in the units that outputs have too.
    `loss` is not among the metrics: training has its own sum of it; its interval is.
    """
    from dnnrun.measure import classes, labelled, numbers

    if task == "classification":
        return classes.measure(outputs, labels, names, losses)
    return (labelled if task == "multilabel" else numbers).measure(outputs, labels, names, losses)
