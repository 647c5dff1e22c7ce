"""How much each row counts in what training minimises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnnrun.data.select import Dataset

if TYPE_CHECKING:
    import numpy as np


def row_weights(dataset: Dataset) -> np.ndarray | None:
    """The weights of the rows, (rows,) float32, of mean 1 over the training rows; None where all count the same."""
    import numpy as np

    if dataset.weights is None:
        return None
    start, stop = dataset.splits["train"]
    weights = dataset.weights.astype(np.float64)
    return (weights / weights[start:stop].mean()).astype(np.float32)
