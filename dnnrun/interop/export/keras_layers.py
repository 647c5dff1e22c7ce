"""A network as a .keras archive, written by JSON and h5py, without Keras: Sequential, one layer a step."""

# pyright: reportMissingImports=false
from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.export.bundle import Bundle, options_of
from dnnrun.interop.readers.arrays import OWN
from dnnrun.nn.architecture import Layer

VERSION = "3.0.0"
DATE = (1980, 1, 1, 0, 0, 0)  # so that equal networks are equal files
NAMES = {
    "relu": "relu",
    "selu": "selu",
    "gelu": "gelu",
    "silu": "silu",
    "mish": "mish",
    "softplus": "softplus",
    "softsign": "softsign",
    "logistic": "sigmoid",
    "tanh": "tanh",
}
Described = tuple[str, dict[str, Any], list[np.ndarray]]  # class name, configuration, variables in Keras' order


def keras_bytes(bundle: Bundle) -> bytes:
    """The archive. Raises InteropError for an activation that Keras has not."""
    layers = [("InputLayer", {"batch_shape": [None, bundle.architecture.features], "name": "inputs"}, [])]
    for layer in bundle.architecture.layers:
        layers += _layers(bundle, layer)
    entries = [
        {
            "module": "keras.layers",
            "class_name": kind,
            "config": {**config, "dtype": "float32"},
            "registered_name": None,
        }
        for kind, config, _ in layers
    ]
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": re.sub(r"\W", "_", bundle.name), "trainable": True, "layers": entries},
        "registered_name": None,
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in {
            "metadata.json": json.dumps({"keras_version": VERSION, "date_saved": "1980-01-01@00:00:00"}).encode(),
            "config.json": json.dumps(config).encode(),
            OWN: json.dumps(bundle.told()).encode(),
            "model.weights.h5": _weights(layers),
        }.items():
            archive.writestr(zipfile.ZipInfo(name, DATE), content)
    return target.getvalue()


def _weights(layers: list[Described]) -> bytes:
    import h5py

    target = io.BytesIO()
    counts: dict[str, int] = {}
    with h5py.File(target, "w") as file:
        file.create_group("vars")
        for kind, config, variables in layers[1:]:
            snake = {"BatchNormalization": "batch_normalization", "PReLU": "p_re_lu", "LeakyReLU": "leaky_re_lu"}
            title = snake.get(kind, kind.lower())
            number = counts.get(title, 0)
            counts[title] = number + 1
            group = file.create_group(f"layers/{title}_{number}/vars" if number else f"layers/{title}/vars")
            group.attrs["name"] = config["name"]
            for at, value in enumerate(variables):
                group.create_dataset(str(at), data=value, track_times=False)
    return target.getvalue()


def _layers(bundle: Bundle, layer: Layer) -> list[Described]:
    own = {name.partition("/")[2]: x for name, x in bundle.tensors.items() if name.startswith(f"{layer.name}/")}
    dense = {"name": layer.name, "units": layer.units, "activation": "linear", "use_bias": layer.bias}
    found: list[Described] = [("Dense", dense, [own[part] for part in ("kernel", "bias") if part in own])]
    norm: list[Described] = []
    if options := layer.batch_norm:
        config = {
            "name": f"{layer.name}_batch_norm",
            "axis": -1,
            "momentum": options.momentum,
            "epsilon": options.epsilon,
            "center": options.center,
            "scale": options.scale,
        }
        parts = [f"batch_norm/{part}" for part in ("scale", "bias", "mean", "var")]
        norm = [("BatchNormalization", config, [own[part] for part in parts if part in own])]
    activation = _activation(layer, own)
    first = layer.batch_norm is None or layer.batch_norm.position == "before"
    return [*found, *norm, *activation] if first else [*found, *activation, *norm]


def _activation(layer: Layer, own: dict[str, np.ndarray]) -> list[Described]:
    options, name = options_of(layer.activation), f"{layer.name}_activation"
    kind = options["type"]
    if kind == "identity":
        return []
    if kind == "prelu":
        return [("PReLU", {"name": name, "shared_axes": [1] if options["shared"] else None}, [own["activation/slope"]])]
    if kind == "leaky_relu":
        return [("LeakyReLU", {"name": name, "negative_slope": options["slope"]}, [])]
    if kind == "elu":
        return [("ELU", {"name": name, "alpha": options["alpha"]}, [])]
    if kind not in NAMES or options.get("approximate"):
        told = "the approximate gelu" if options.get("approximate") else kind
        raise InteropError(f"{layer.name}: a Keras file cannot say {told}; export to ONNX, PyTorch or safetensors")
    return [("Activation", {"name": name, "activation": NAMES[kind]}, [])]
