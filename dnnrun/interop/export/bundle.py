"""What an export carries: layers, weights, how inputs are prepared, names of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dnnrun import __version__
from dnnrun.data.scale import Scaling
from dnnrun.data.targets import TargetScale
from dnnrun.errors import CheckpointError, InteropError
from dnnrun.interop.fold import fold
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import OUTPUTS, Architecture, Model, lay_out
from dnnrun.store.checkpoint import Checkpoint, outputs_of


@dataclass(frozen=True)
class Bundle:
    """A trained network and all that is known of its inputs and outputs."""

    name: str
    model: Model
    architecture: Architecture
    tensors: Mapping[str, np.ndarray]
    scaling: Scaling
    classes: tuple[str, ...]
    manifest: Mapping[str, Any]

    @property
    def task(self) -> str:
        """classification, multilabel or regression."""
        return self.manifest.get("task", "classification")

    def told(self) -> dict[str, Any]:
        """As the JSON that every export has with it, from which an import gets everything back."""
        return {
            "dnnrun": __version__,
            "name": self.name,
            "model": _without_unset(self.model.model_dump(mode="json")),
            "features": self.architecture.features,
            "image": self.manifest.get("image"),
            "largest": self.manifest.get("largest"),
            "resize": self.manifest.get("resize"),
            "preprocessing": self.manifest.get("preprocessing") or self.scaling.to_json(),
            "classes": list(self.classes),
            "task": self.task,
            "targets": list(self.manifest.get("targets", ())),
        }

    def folded(self) -> Bundle:
        """The same outputs without batch norm."""
        model, tensors = fold(self.model, self.architecture, self.tensors)
        architecture = lay_out(model, self.architecture.features, self.architecture.outputs)
        return replace(self, model=model, architecture=architecture, tensors=tensors)

    def samples(self, rows: int = 64) -> np.ndarray:
        """Random raw inputs (rows, features) as large as its scaling expects them."""
        rng = np.random.default_rng(0)
        shape = (rows, self.architecture.features)
        if self.scaling.type == "unit":
            return rng.uniform(0, self.scaling.divide_by, shape).astype(np.float32)
        drawn = rng.standard_normal(shape)
        if self.scaling.type == "standardize":
            drawn = np.asarray(self.scaling.mean) + drawn * np.asarray(self.scaling.std)
        return drawn.astype(np.float32)


def bundle_of(checkpoint: Checkpoint) -> Bundle:
    """The network of a checkpoint, every tensor verified. Raises CheckpointError."""
    manifest = checkpoint.manifest
    model = Model.model_validate(manifest["spec"]["model"])
    architecture = lay_out(model, manifest["features"], outputs_of(manifest))
    tensors = checkpoint.model()
    if misfit := architecture.misfit({name: value.shape for name, value in tensors.items()}):
        raise CheckpointError(f"{checkpoint.folder}: {misfit}")
    return Bundle(
        name=manifest["spec"]["name"],
        model=model,
        architecture=architecture,
        tensors=in_units(manifest, tensors),
        scaling=Scaling.from_json(manifest["preprocessing"]),
        classes=tuple(manifest["classes"]),
        manifest=manifest,
    )


def in_units(manifest: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A network's tensors, its outputs in the units of the targets where it is a regression.

    What the targets were scaled by goes into the last layer: outputs * std + mean. Raises InteropError where that has
    no bias that could take it.
    """
    found = dict(tensors)
    if not manifest.get("target_scale"):
        return found
    scale = TargetScale.from_json(manifest["target_scale"])
    mean, std = np.asarray(scale.mean), np.asarray(scale.std)
    norm = any(name.startswith(f"{OUTPUTS}/batch_norm/") for name in found)
    factor = f"{OUTPUTS}/batch_norm/scale" if norm else f"{OUTPUTS}/kernel"
    shift = f"{OUTPUTS}/batch_norm/bias" if norm else f"{OUTPUTS}/bias"
    if factor not in found or shift not in found:
        raise InteropError(f"{OUTPUTS}: has no {shift} to put the units of the targets into; train it with one")
    found[factor] = (found[factor] * std).astype(np.float32)
    found[shift] = (found[shift] * std + mean).astype(np.float32)
    return found


def options_of(activation: Activation) -> dict[str, Any]:
    """An activation as its options, `type` among them; a random one as what it is in evaluation."""
    return activation.still().model_dump(mode="json")


def _without_unset(model: dict[str, Any]) -> dict[str, Any]:
    entries = [{key: value for key, value in entry.items() if value is not None} for entry in model["hidden"]]
    return {**model, "hidden": entries}
