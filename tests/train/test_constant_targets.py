"""R2 of targets that are the same in every row: 0, or 1 where all predictions are right, as scikit-learn has it."""

from __future__ import annotations

import numpy as np
import pytest

from dnnrun.train.task import Regression


@pytest.mark.parametrize("rows", [15, 1000, 100_000])
@pytest.mark.parametrize("value", [1.5, -0.3, 700.1])
def test_sums_in_float32_do_not_make_a_spread(rows: int, value: float) -> None:
    labels = np.full(rows, value, np.float32)
    away = np.linspace(0, 1, rows, dtype=np.float32)
    sums = {"loss_sum": away.sum(), "squares": [np.square(away).sum()], "distances": [away.sum()]}
    sums |= {"targets": [labels.sum()], "target_squares": [np.square(labels).sum()]}
    task = Regression.__new__(Regression)
    object.__setattr__(task, "std", (1.0,))
    assert task.metrics(sums, rows)["r2"] == 0
    sums["squares"] = [np.float32(0)]
    assert task.metrics(sums, rows)["r2"] == 1
