"""The metrics that training watches and sweeps compare, and which way each is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Watched = Literal[
    "validation.loss",
    "validation.accuracy",
    "validation.rmse",
    "validation.mae",
    "validation.r2",
    "train.loss",
    "train.accuracy",
    "train.rmse",
    "train.mae",
    "train.r2",
]
MEASURED = {
    "classification": ("loss", "accuracy"),
    "multilabel": ("loss", "accuracy"),
    "regression": ("loss", "rmse", "mae", "r2"),
}
CHIEF = {"classification": "accuracy", "multilabel": "accuracy", "regression": "rmse"}
_LOWER = ("loss", "log_loss", "brier", "calibration_error", "mae", "rmse")


def chief(metrics: Mapping[str, float]) -> str:
    """The name of the one metric to show where there is room for one."""
    return next((name for name in CHIEF.values() if name in metrics), "loss")


def higher_is_better(metric: str) -> bool:
    """Whether a metric, with or without its split as in `validation.rmse`, is better when it is higher."""
    return metric.rpartition(".")[2] not in _LOWER
