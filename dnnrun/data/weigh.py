"""How much each row counts in what training minimises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from dnnrun.data.dataset import Dataset
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np


def row_weights(dataset: Dataset, classes: Mapping[str, float] | Literal["balanced"] | None) -> np.ndarray | None:
    """The weights of the rows, (rows,) float32, of mean 1 over the training rows; None where all count the same.

    The dataset's own, times that of a row's class: `balanced` weighs a class by training rows / (classes * its rows),
    as King and Zeng, "Logistic regression in rare events data", 2001. A class that is not named has 1. Raises DataError
    for a class that is not there, or a task without classes.
    """
    import numpy as np

    if classes is not None and dataset.task != "classification":
        raise DataError(f"train.class_weights: the task is {dataset.task}, which has no classes; leave it out")
    if dataset.weights is None and classes is None:
        return None
    start, stop = dataset.splits["train"]
    weights = np.ones(len(dataset.labels)) if dataset.weights is None else dataset.weights.astype(np.float64)
    if classes is not None:
        weights = weights * _of_classes(dataset, classes)[dataset.labels]
    mean = weights[start:stop].mean()
    if not mean > 0:
        raise DataError("every training row has weight 0; give some more, or leave the weights out")
    return (weights / mean).astype(np.float32)


def _of_classes(dataset: Dataset, classes: Mapping[str, float] | Literal["balanced"]) -> np.ndarray:
    import numpy as np

    if classes == "balanced":
        train = dataset.rows("train").labels
        counts = np.bincount(train, minlength=len(dataset.classes))
        return len(train) / (len(dataset.classes) * np.maximum(counts, 1))
    found = np.ones(len(dataset.classes))
    for name, weight in classes.items():
        if name not in dataset.classes:
            raise DataError(f"train.class_weights: there is no class {name!r}; there are {', '.join(dataset.classes)}")
        found[dataset.classes.index(name)] = weight
    return found
