"""Targets of a regression: standardized for training, given back in their own units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnnrun.data.dataset import Dataset
from dnnrun.errors import CheckpointError, DataError


@dataclass(frozen=True)
class TargetScale:
    """y -> (y - mean) / std, one mean and (population) std a target, of the training rows."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def standardize(self, targets: np.ndarray) -> np.ndarray:
        """(rows, targets) float32 as a network learns them."""
        return ((targets.astype(np.float64) - self.mean) / self.std).astype(np.float32)

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (rows, targets) in the units of the targets, float32."""
        return (outputs.astype(np.float64) * self.std + self.mean).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: Any) -> TargetScale:
        """The scale that `to_json` wrote. Raises CheckpointError where it is none."""
        mean, std = (value.get("mean"), value.get("std")) if isinstance(value, Mapping) else (None, None)
        if not (isinstance(mean, list) and isinstance(std, list) and mean):
            raise CheckpointError("its target_scale has no mean and std; the checkpoint is damaged")
        numbers = all(isinstance(x, int | float) and math.isfinite(x) for x in (*mean, *std))
        if len(mean) != len(std) or not numbers or not all(x > 0 for x in std):
            raise CheckpointError("its target_scale has numbers that cannot be; the checkpoint is damaged")
        return cls(tuple(mean), tuple(std))


def fit_targets(dataset: Dataset) -> TargetScale | None:
    """The scale of the dataset's targets, None where it is no regression. Raises DataError for a constant target."""
    if dataset.task != "regression":
        return None
    targets = dataset.rows("train").labels.astype(np.float64)
    mean, std = targets.mean(0), targets.std(0)
    if (same := np.flatnonzero(std == 0)).size:
        raise DataError(
            f"the target {dataset.targets[same[0]]!r} is {targets[0, same[0]]:g} in every training row: there is "
            "nothing to learn; take more rows, or another target"
        )
    return TargetScale(tuple(mean.tolist()), tuple(std.tolist()))
