"""A network as PyTorch's modules: a list that builds an nn.Sequential, and the state dict that fits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.export.bundle import Bundle, options_of
from dnnrun.nn.architecture import Layer

Modules = list[tuple[str, str, dict[str, Any]]]


def modules_of(bundle: Bundle) -> Modules:
    """(name, class in torch.nn, keywords) of each module in order. Raises InteropError for what torch has no class."""
    found: Modules = []
    for layer in bundle.architecture.layers:
        dense = {"in_features": layer.fan_in, "out_features": layer.units, "bias": layer.bias}
        found.append((layer.name, "Linear", dense))
        activation = _activation(layer)
        norm: Modules = []
        if layer.batch_norm:
            options = {
                "num_features": layer.units,
                "eps": layer.batch_norm.epsilon,
                "momentum": round(1 - layer.batch_norm.momentum, 12),
            }
            norm = [(f"{layer.name}_batch_norm", "BatchNorm1d", options)]
        first = layer.batch_norm is None or layer.batch_norm.position == "before"
        found += [*norm, *activation] if first else [*activation, *norm]
    return found


def state_of(bundle: Bundle) -> dict[str, np.ndarray]:
    """The state dict: kernels transposed, a batch norm's missing scale or shift as ones or zeros."""
    found: dict[str, np.ndarray] = {}
    for layer in bundle.architecture.layers:
        own = {name.partition("/")[2]: x for name, x in bundle.tensors.items() if name.startswith(f"{layer.name}/")}
        found[f"{layer.name}.weight"] = np.ascontiguousarray(own["kernel"].T)
        if "bias" in own:
            found[f"{layer.name}.bias"] = own["bias"]
        if layer.batch_norm:
            prefix = f"{layer.name}_batch_norm"
            found[f"{prefix}.weight"] = own.get("batch_norm/scale", np.ones(layer.units, np.float32))
            found[f"{prefix}.bias"] = own.get("batch_norm/bias", np.zeros(layer.units, np.float32))
            found[f"{prefix}.running_mean"] = own["batch_norm/mean"]
            found[f"{prefix}.running_var"] = own["batch_norm/var"]
            found[f"{prefix}.num_batches_tracked"] = np.zeros((), np.int64)
        if "activation/slope" in own:
            found[f"{layer.name}_activation.weight"] = own["activation/slope"]
    return found


def _activation(layer: Layer) -> Modules:
    options = options_of(layer.activation)
    kind = options.pop("type")
    if kind == "identity":
        return []
    if kind == "prelu":
        return [(f"{layer.name}_activation", "PReLU", {"num_parameters": 1 if options["shared"] else layer.units})]
    known: Mapping[str, tuple[str, dict[str, Any]]] = {
        "relu": ("ReLU", {}),
        "leaky_relu": ("LeakyReLU", {"negative_slope": options.get("slope")}),
        "elu": ("ELU", {"alpha": options.get("alpha")}),
        "selu": ("SELU", {}),
        "gelu": ("GELU", {"approximate": "tanh" if options.get("approximate") else "none"}),
        "silu": ("SiLU", {}),
        "mish": ("Mish", {}),
        "softplus": ("Softplus", {}),
        "softsign": ("Softsign", {}),
        "logistic": ("Sigmoid", {}),
        "tanh": ("Tanh", {}),
    }
    if kind not in known:
        raise InteropError(
            f"{layer.name}: PyTorch has no module for the activation {kind}; export to safetensors or npz"
        )
    name, keywords = known[kind]
    return [(f"{layer.name}_activation", name, keywords)]
