"""Specs of deep networks of equal layers."""

from __future__ import annotations

from typing import Any

from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec


def deep(depth: int, activation: str, initializer: Any, model: dict[str, Any] | None = None, **train: Any) -> Spec:
    return load_mapping(
        {
            "name": "deep",
            "data": {"source": "digits"},
            "model": {"hidden": [100] * depth, "activation": activation, "initializer": initializer, **(model or {})},
            "train": {"optimizer": {"type": "sgd", "learning_rate": 0.01}, "batch_size": 50, **train},
        }
    )
