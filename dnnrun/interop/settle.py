"""From the layers of a file to a network of ours: what the file does not say is asked for, or taken and told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from dnnrun.errors import InteropError
from dnnrun.interop.network import ForeignLayer, ForeignNetwork
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import OUTPUTS, Architecture, Model, lay_out

ALIASES = {"sigmoid": "logistic", "swish": "silu", "linear": "identity", "gelu_new": "gelu"}


@dataclass(frozen=True)
class Settled:
    """A network: its `model` section, its tensors by our names, and what was taken without the file saying so."""

    model: Model
    features: int
    outputs: int
    tensors: Mapping[str, np.ndarray]
    notes: tuple[str, ...]

    @property
    def architecture(self) -> Architecture:
        return lay_out(self.model, self.features, self.outputs)


def settle(network: ForeignNetwork, model: Model | None, activation: Activation | None) -> Settled:
    """The network under `model`, else under what the file says, `activation` where it says none.

    Raises InteropError where the file is not a whole network, contradicts `model`, or does not say enough.
    """
    _check_whole(network)
    notes: list[str] = []
    if model is None and isinstance(own := network.own.get("model"), dict):
        try:
            model = Model.model_validate(own)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InteropError(f"{network.path}: its model section cannot be used ({first['msg']})") from None
    if model is None:
        section = _section(network, activation, notes)
        model = Model.model_validate(section)
    features, outputs = network.features, network.layers[-1].size[1]
    architecture = lay_out(model, features, outputs)
    _compare(network, architecture)
    tensors = {f"{layer.name}/{part}": value for layer in network.layers for part, value in layer.tensors.items()}
    wanted = {tensor.name for tensor in architecture.tensors}
    tensors = {name: value for name, value in tensors.items() if name in wanted or not _idle(name, value)}
    if misfit := architecture.misfit({name: value.shape for name, value in tensors.items()}):
        raise InteropError(f"{network.path}: {misfit}; make the model section what the file has")
    if ends := network.layers[-1].ends:
        notes.append(f"the {ends} behind {OUTPUTS} is left out: outputs are logits, and predictions a softmax of them")
    ordered = {tensor.name: tensors[tensor.name] for tensor in architecture.tensors}
    return Settled(model, features, outputs, ordered, tuple(notes))


def _idle(name: str, value: np.ndarray) -> bool:
    """A scale of ones or a shift of zeros, which formats that always have one write in place of none."""
    ones, zeros = name.endswith("/batch_norm/scale"), name.endswith("/batch_norm/bias")
    return bool((ones and (value == 1).all()) or (zeros and (value == 0).all()))


def _check_whole(network: ForeignNetwork) -> None:
    names = [layer.name for layer in network.layers]
    if network.whole is not None:
        raise InteropError(
            f"{network.path}: {network.whole}; dnnrun builds dense networks only. Its dense layers can be taken by "
            f"name ({', '.join(layer.foreign for layer in network.layers[:8])}): with --map in an import, "
            "with --rename in a transfer"
        )
    wanted = [*(f"hidden{number}" for number in range(1, len(names))), OUTPUTS]
    if names != wanted:
        raise InteropError(
            f"{network.path}: its layers are {', '.join(names)}, and an import wants {', '.join(wanted)}; "
            "take single layers with transfer, or name them with --map"
        )


def _section(network: ForeignNetwork, activation: Activation | None, notes: list[str]) -> dict[str, Any]:
    """The `model` section that the file tells."""
    activation = activation or _told(network)
    hidden, outputs = network.layers[:-1], network.layers[-1]
    silent = [layer.name for layer in hidden if layer.activation is None]
    if silent and activation is None:
        raise InteropError(
            f"{network.path}: does not say the activation of {', '.join(silent)}; give --activation NAME "
            "(dnnrun ls activations), or --model FILE"
        )
    entries = [
        {
            "units": layer.size[1],
            "activation": (layer.activation or activation).model_dump(mode="json"),  # type: ignore[union-attr]
            "batch_norm": _norm(network, layer, notes),
            "bias": "bias" in layer.tensors,
        }
        for layer in hidden
    ]
    section: dict[str, Any] = {"hidden": entries, "bias": "bias" in outputs.tensors}
    if norm := _norm(network, outputs, notes):
        section["batch_norm"] = {**norm, "logits": True, "position": "before"}
    _shorten(section)
    return section


def _shorten(section: dict[str, Any]) -> None:
    """What all hidden layers have in common goes to the model, so that the section reads as a person writes it."""
    entries: Sequence[dict[str, Any]] = section["hidden"]
    if entries and all(entry["activation"] == entries[0]["activation"] for entry in entries):
        section["activation"] = entries[0]["activation"]
        for entry in entries:
            del entry["activation"]
    common = section.get("batch_norm")
    if common is None and entries and all(entry["batch_norm"] == entries[0]["batch_norm"] for entry in entries):
        common = section["batch_norm"] = entries[0]["batch_norm"] or None
    for entry in entries:
        own = dict(common, logits=False) if isinstance(common, dict) else common
        mine = dict(entry["batch_norm"], logits=False) if entry["batch_norm"] else None
        if mine == own:
            del entry["batch_norm"]
        if entry["bias"] == section["bias"]:
            del entry["bias"]


def _norm(network: ForeignNetwork, layer: ForeignLayer, notes: list[str]) -> dict[str, Any] | Any:
    if layer.batch_norm is None:
        return False
    options = dict(layer.batch_norm)
    if "epsilon" not in options:
        options["epsilon"] = network.epsilon
        notes.append(f"{layer.name}: the file does not say the epsilon of its batch norm; {network.epsilon:g} is taken")
    if "position" not in options:
        options["position"] = "before"
        if layer.name != OUTPUTS:
            notes.append(
                f"{layer.name}: the file does not say whether batch norm precedes the activation; it is taken to"
            )
    options["momentum"] = min(float(options.get("momentum", 0.9)), 0.9999)
    return options


def _told(network: ForeignNetwork) -> Activation | None:
    name = network.own.get("activation")
    if not isinstance(name, str):
        return None
    try:
        return Activation.parse(ALIASES.get(name, name))
    except ValidationError:
        return None


def _compare(network: ForeignNetwork, architecture: Architecture) -> None:
    """Raise InteropError where a model section says something else than the file does."""
    where = network.path
    if len(architecture.layers) != len(network.layers):
        raise InteropError(
            f"{where}: has {len(network.layers)} layers ({', '.join(_size(layer) for layer in network.layers)}), "
            f"and the model section {len(architecture.layers)}"
        )
    for ours, theirs in zip(architecture.layers, network.layers, strict=True):
        if ours.units != theirs.size[1]:
            raise InteropError(
                f"{where}: {ours.name} has {theirs.size[1]} units, and the model section says {ours.units}"
            )
        if (ours.batch_norm is None) != (theirs.batch_norm is None):
            has, says = ("no", "one") if theirs.batch_norm is None else ("a", "none")
            raise InteropError(f"{where}: {ours.name} has {has} batch norm, and the model section says {says}")
        told = theirs.activation
        slope = "activation/slope" in theirs.tensors
        if told and not slope and ours.name != OUTPUTS and not _same(told, ours.activation):
            mine, its = ours.activation.model_dump(mode="json"), told.model_dump(mode="json")
            raise InteropError(
                f"{where}: {ours.name}: its activation is {_words(its)}, the model section says {_words(mine)}"
            )
        for option in ("epsilon", "position"):
            its = (theirs.batch_norm or {}).get(option)
            mine = getattr(ours.batch_norm, option, None)
            if its is not None and ours.name != OUTPUTS and not _near(its, mine):
                raise InteropError(
                    f"{where}: {ours.name}: its batch_norm.{option} is {its}, the model section says {mine}"
                )


def _near(a: Any, b: Any) -> bool:
    return math.isclose(a, b, rel_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else a == b


def _same(theirs: Activation, ours: Activation) -> bool:
    """Whether they are one function in evaluation; formats keep options as float32, or with fewer digits."""
    mine, its = ours.still().model_dump(mode="json"), theirs.model_dump(mode="json")
    return mine.keys() == its.keys() and all(_near(its[key], mine[key]) for key in mine)


def _size(layer: ForeignLayer) -> str:
    return f"{layer.foreign} {layer.size[0]}x{layer.size[1]}"


def _words(activation: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in activation.items() if key != "type")
    return f"{activation['type']} ({options})" if options else activation["type"]
