"""A source of layers: what it has, known before a tensor is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.nn.architecture import Model, lay_out
from dnnrun.store.checkpoint import MANIFEST, MODEL, Checkpoint


@dataclass(frozen=True)
class Donor:
    """A network that layers are taken from.

    shapes: tensor name -> shape. dtypes: likewise. activations: layer -> its activation's options. read: the named
    tensors, verified, and no others.
    """

    name: str
    folder: Path
    layers: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    activations: Mapping[str, Mapping[str, Any]]
    features: int
    image: tuple[int, int, int] | None
    preprocessing: Mapping[str, Any]
    read: Callable[[Iterable[str]], dict[str, np.ndarray]]
    checkpoint: Checkpoint

    def manifest_bytes(self) -> bytes:
        """The manifest as it stands on disk, which tells every tensor's checksum."""
        return (self.checkpoint.folder / MANIFEST).read_bytes()


def donor_of(name: str, checkpoint: Checkpoint) -> Donor:
    """A checkpoint as a donor; `name` is how the spec calls it."""
    manifest = checkpoint.manifest
    described = manifest["tensors"][MODEL]
    model = Model.model_validate(manifest["spec"]["model"])
    plan = lay_out(model, manifest["features"], len(manifest["classes"]))
    image = manifest.get("image")
    return Donor(
        name=name,
        folder=checkpoint.folder,
        layers=tuple(manifest["layers"]),
        shapes={tensor: tuple(entry["shape"]) for tensor, entry in described.items()},
        dtypes={tensor: entry["dtype"] for tensor, entry in described.items()},
        activations={layer.name: layer.activation.model_dump(mode="json") for layer in plan.layers},
        features=manifest["features"],
        image=image and tuple(image),
        preprocessing=manifest["preprocessing"],
        read=checkpoint.model,
        checkpoint=checkpoint,
    )
