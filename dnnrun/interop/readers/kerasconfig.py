"""A Keras configuration, which is JSON, as a chain of steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.weights import Step, Weights

# They change nothing in evaluation.
SILENT = {"Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "InputLayer"}
ACTIVATIONS: dict[str, dict[str, Any]] = {
    "linear": {"type": "identity"},
    "relu": {"type": "relu"},
    "elu": {"type": "elu"},
    "selu": {"type": "selu"},
    "gelu": {"type": "gelu"},
    "silu": {"type": "silu"},
    "swish": {"type": "silu"},
    "mish": {"type": "mish"},
    "sigmoid": {"type": "logistic"},
    "tanh": {"type": "tanh"},
    "softplus": {"type": "softplus"},
    "softsign": {"type": "softsign"},
    "softmax": {"type": "softmax"},
    "leaky_relu": {"type": "leaky_relu", "slope": 0.2},
}


def steps_of(path: Path, weights: Weights, config: Any, layers: Mapping[str, Sequence[str]]) -> Weights:
    """`weights` with the steps of `config`; `layers` has the tensor names of each layer. Raises InteropError."""
    try:
        chain = _chain(path, config)
        steps, image = _Reader(path, layers, weights.tensors).read(chain)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InteropError(f"{path}: its configuration is not one of Keras ({error!r})") from None
    return replace(weights, steps=tuple(steps), image=image)


def _chain(path: Path, config: Any) -> list[Mapping[str, Any]]:
    """The layers in order. Raises InteropError where they are no chain."""
    kind, inner = config["class_name"], config["config"]
    if kind == "Sequential":
        return list(inner["layers"] if isinstance(inner, dict) else inner)
    if kind not in ("Functional", "Model"):
        raise InteropError(
            f"{path}: a {kind!r}, a class of its own whose code says how it computes; wanted a Sequential or "
            "Functional model. Its weights alone (model.save_weights) can be taken by name"
        )
    layers, before = inner["layers"], None
    for layer in layers:
        sources = _sources(layer.get("inbound_nodes") or [])
        if sources != ([] if before is None else [before]):
            raise InteropError(
                f"{path}: {layer['name']} takes {', '.join(sources) or 'nothing'}: the model is no chain of layers, "
                "and dnnrun builds chains"
            )
        before = layer["name"]
    return list(layers)


def _sources(nodes: Any) -> list[str]:
    """The names of the layers that the inbound nodes of a layer name, of Keras 3 or before."""
    found: list[str] = []

    def search(value: Any) -> None:
        if isinstance(value, dict):
            history = value.get("config", {}).get("keras_history") if isinstance(value.get("config"), dict) else None
            if history:
                found.append(str(history[0]))
            else:
                for inner in value.values():
                    search(inner)
        elif isinstance(value, list):
            if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
                found.append(value[0])
            else:
                for inner in value:
                    search(inner)

    search(nodes)
    return found


class _Reader:
    def __init__(self, path: Path, layers: Mapping[str, Sequence[str]], tensors: Mapping[str, np.ndarray]):
        self.path, self.layers, self.tensors = path, layers, tensors
        self.counts: dict[str, int] = {}
        self.image: tuple[int, int, int] | None = None

    def read(self, chain: Sequence[Mapping[str, Any]]) -> tuple[list[Step], tuple[int, int, int] | None]:
        steps: list[Step] = []
        for number, layer in enumerate(chain):
            config = layer["config"]
            shape = config.get("batch_shape", config.get("batch_input_shape"))
            if number == 0 and shape and len(shape) == 4 and all(shape[1:]):
                self.image = (shape[1], shape[2], shape[3])
            steps += self._layer(layer["class_name"], config)
        return steps, self.image

    def _layer(self, kind: str, config: Mapping[str, Any]) -> list[Step]:
        name = config["name"]
        variables = self._variables(kind, name)
        if kind == "Lambda":
            raise InteropError(
                f"{self.path}: {name} is a Lambda layer, which is code, and code of a file is never run; "
                "build the model without it"
            )
        if kind in SILENT:
            return []
        if kind == "Dense":
            roles = ("kernel", "bias") if config.get("use_bias", True) else ("kernel",)
            step = Step("dense", name, self._roles(name, variables, roles), {"orientation": "in_out"})
            return [step, *self._activation(name, config.get("activation"))]
        if kind == "BatchNormalization":
            roles = ("scale",) * config.get("scale", True) + ("bias",) * config.get("center", True) + ("mean", "var")
            options = {"epsilon": config.get("epsilon", 1e-3), "momentum": config.get("momentum", 0.99)}
            return [Step("batch_norm", name, self._roles(name, variables, roles), options)]
        if kind == "Activation":
            return self._activation(name, config["activation"])
        if kind == "PReLU":
            return [Step("activation", name, self._roles(name, variables, ("slope",)), {"type": "prelu"})]
        if kind == "Flatten":
            return [Step("flatten", name, {}, {"channel_first": False})]
        if kind == "Reshape" and len(config["target_shape"]) == 1:
            return [Step("flatten", name, {}, {"channel_first": False})]
        if kind == "Rescaling":
            return [Step("scaling", name, {}, _rescaling(config["scale"], config.get("offset", 0.0)))]
        if kind == "Normalization":
            return [Step("scaling", name, {}, self._normalization(config, variables))]
        return self._other(kind, name, config, variables)

    def _other(self, kind: str, name: str, config: Mapping[str, Any], variables: Sequence[str]) -> list[Step]:
        simple = {
            "ReLU": lambda: _relu(config),
            "LeakyReLU": lambda: {
                "type": "leaky_relu",
                "slope": float(_number(config.get("negative_slope", config.get("alpha", 0.3)))),
            },
            "ELU": lambda: {"type": "elu", "alpha": float(_number(config.get("alpha", 1.0)))},
            "Softmax": lambda: {"type": "softmax"},
        }
        if kind in simple and (options := simple[kind]()):
            return [Step("activation", name, {}, options)]
        return [Step("other", name, {str(at): tensor for at, tensor in enumerate(variables)}, {"what": kind})]

    def _variables(self, kind: str, name: str) -> Sequence[str]:
        """The tensor names of a layer: under its own name, or its kind's and how many of the kind came before."""
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind)))
        snake, count = snake.lower(), self.counts.get(snake.lower(), 0)
        self.counts[snake] = count + 1
        numbered = f"{snake}_{count}" if count else snake
        for key in (f"name:{name}", name, f"layers/{numbered}", f"_layer_checkpoint_dependencies/{numbered}"):
            if key in self.layers:
                return self.layers[key]
        return ()

    def _roles(self, name: str, variables: Sequence[str], roles: Sequence[str]) -> dict[str, str]:
        if len(variables) != len(roles):
            raise InteropError(
                f"{self.path}: {name} has {len(variables)} tensors, and its configuration wants {', '.join(roles)}; "
                "the file is damaged"
            )
        return dict(zip(roles, variables, strict=True))

    def _activation(self, name: str, activation: Any) -> list[Step]:
        kind, options = activation, {}
        if isinstance(activation, dict):
            kind, options = activation.get("config", activation.get("class_name")), {}
            if isinstance(kind, dict):
                kind, options = kind.get("name", activation["class_name"]), kind
        if kind is None or kind == "linear":
            return []
        known = ACTIVATIONS.get(str(kind).lower())
        if known is None:
            return [Step("other", name, {}, {"what": f"activation {kind}"})]
        if known["type"] == "gelu" and options.get("approximate"):
            known = {**known, "approximate": True}
        return [Step("activation", name, {}, known)]

    def _normalization(self, config: Mapping[str, Any], variables: Sequence[str]) -> Mapping[str, Any]:
        mean, variance = config.get("mean"), config.get("variance")
        if mean is None and len(variables) >= 2:
            mean, variance = self.tensors[variables[0]], self.tensors[variables[1]]
        if mean is None or config.get("invert"):
            return {"type": "unknown"}
        mean, variance = np.ravel(np.asarray(mean, np.float64)), np.ravel(np.asarray(variance, np.float64))
        return {"type": "standardize", "mean": mean.tolist(), "std": np.maximum(np.sqrt(variance), 1e-7).tolist()}


def _number(value: Any) -> float:
    """Keras 2 writes some numbers as {"class_name": "__numpy__", "config": {"value": 0.2}}."""
    return value["config"]["value"] if isinstance(value, dict) else value


def _relu(config: Mapping[str, Any]) -> dict[str, Any] | None:
    if config.get("max_value") is not None or config.get("threshold", 0.0) != 0.0:
        return None
    slope = float(_number(config.get("negative_slope", 0.0)))
    return {"type": "leaky_relu", "slope": slope} if slope else {"type": "relu"}


def _rescaling(scale: Any, offset: Any) -> Mapping[str, Any]:
    if isinstance(scale, (int, float)) and scale > 0 and offset in (0, 0.0):
        return {"type": "unit", "divide_by": 1 / scale}
    return {"type": "affine", "factor": scale, "shift": offset}
