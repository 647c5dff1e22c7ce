"""Batch normalization folded into the dense layers around it: the same outputs in evaluation, fewer tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dnnrun.nn.architecture import OUTPUTS, Architecture, Model


def fold(
    model: Model, architecture: Architecture, tensors: Mapping[str, np.ndarray]
) -> tuple[Model, dict[str, np.ndarray]]:
    """The model without batch norm, and its tensors; computed in float64.

    Before the activation, s = scale / sqrt(var + epsilon) goes into the columns of the layer's own kernel; after it,
    into the rows of the next one's.
    """
    found: dict[str, np.ndarray] = {}
    factor: np.ndarray | None = None  # of the outputs of the layer before
    shift: np.ndarray | None = None
    biased: dict[str, bool] = {}
    for layer in architecture.layers:
        kernel = tensors[f"{layer.name}/kernel"].astype(np.float64)
        bias = np.asarray(tensors[f"{layer.name}/bias"] if layer.bias else np.zeros(layer.units), np.float64)
        biased[layer.name] = layer.bias or layer.batch_norm is not None or shift is not None
        if factor is not None and shift is not None:
            bias = bias + shift @ kernel
            kernel = factor[:, None] * kernel
            factor = shift = None
        if norm := layer.batch_norm:
            own = {key: tensors.get(f"{layer.name}/batch_norm/{key}") for key in ("scale", "bias", "mean", "var")}
            mean, var = np.asarray(own["mean"], np.float64), np.asarray(own["var"], np.float64)
            scale = 1.0 if own["scale"] is None else np.asarray(own["scale"], np.float64)
            times = scale / np.sqrt(var + norm.epsilon)
            plus = (0.0 if own["bias"] is None else np.asarray(own["bias"], np.float64)) - mean * times
            if norm.position == "before" or layer.name == OUTPUTS:
                kernel, bias = kernel * times, bias * times + plus
            else:
                factor, shift = times, plus
        found[f"{layer.name}/kernel"] = kernel.astype(np.float32)
        if biased[layer.name]:
            found[f"{layer.name}/bias"] = bias.astype(np.float32)
        if f"{layer.name}/activation/slope" in tensors:
            found[f"{layer.name}/activation/slope"] = tensors[f"{layer.name}/activation/slope"]
    section: dict[str, Any] = model.model_dump(mode="json")
    section["batch_norm"] = None
    section["bias"] = biased[OUTPUTS]
    for number, entry in enumerate(section["hidden"], 1):
        entry["batch_norm"] = None
        entry["bias"] = None if biased[f"hidden{number}"] == biased[OUTPUTS] else biased[f"hidden{number}"]
    return Model.model_validate(section), found
