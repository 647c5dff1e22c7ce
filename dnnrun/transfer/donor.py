"""A source of layers: what it has, known before a tensor is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from dnnrun.errors import CheckpointError, TransferError
from dnnrun.nn.architecture import Architecture, Model, lay_out
from dnnrun.store import tensors
from dnnrun.store.checkpoint import MANIFEST, MODEL, TRAIN, Checkpoint

OPTIMIZER = "optimizer/"


@dataclass(frozen=True)
class Donor:
    """A network that layers are taken from; `name` is how the spec calls it."""

    name: str
    checkpoint: Checkpoint
    architecture: Architecture

    @property
    def folder(self) -> Path:
        return self.checkpoint.folder.absolute()

    @property
    def layers(self) -> tuple[str, ...]:
        return self.architecture.names

    @property
    def described(self) -> Mapping[str, Mapping[str, Any]]:
        """Tensor name -> its shape, dtype and sha256."""
        return self.checkpoint.manifest["tensors"][MODEL]

    @property
    def features(self) -> int:
        """The width of its inputs."""
        return self.architecture.features

    @property
    def image(self) -> tuple[int, int, int] | None:
        """Height, width and channels of the images it was trained on, None where they were none."""
        image = self.checkpoint.manifest.get("image")
        return image and (image[0], image[1], image[2])

    @property
    def largest(self) -> float | None:
        """The largest value that a pixel of its images could have, None where that is not known."""
        return self.checkpoint.manifest.get("largest")

    @property
    def preprocessing(self) -> Any:
        """How its inputs were scaled, as Scaling.to_json wrote it."""
        return self.checkpoint.manifest["preprocessing"]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.checkpoint.manifest["classes"])

    @property
    def optimizer(self) -> Mapping[str, Any]:
        """The options of the optimizer that trained it."""
        return self.checkpoint.manifest["spec"].get("train", {}).get("optimizer", {})

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """The named tensors, verified, and no others."""
        return self.checkpoint.model(names)

    def optimizer_tensors(self) -> list[str] | None:
        """The names of the optimizer's state, None where the checkpoint holds the weights alone."""
        described = self.checkpoint.manifest["tensors"].get(TRAIN)
        return None if described is None else [name for name in described if name.startswith(OPTIMIZER)]

    def read_optimizer(self) -> dict[str, np.ndarray]:
        """The optimizer's state, verified, and nothing else of the training."""
        described = self.checkpoint.manifest["tensors"][TRAIN]
        return tensors.read(self.folder / TRAIN, described, self.optimizer_tensors())

    def manifest_bytes(self) -> bytes:
        """The manifest as it stands on disk, which tells every tensor's checksum."""
        return (self.checkpoint.folder / MANIFEST).read_bytes()


def donor_of(name: str, checkpoint: Checkpoint) -> Donor:
    """A checkpoint as a donor. Raises TransferError where it has layers that dnnrun does not build."""
    manifest = checkpoint.manifest
    try:
        model = Model.model_validate(manifest["spec"]["model"])
        plan = lay_out(model, manifest["features"], len(manifest["classes"]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in ("model", *first["loc"]))
        raise _unknown(name, f"{where}: {first['msg']}") from None
    except (LookupError, TypeError) as error:
        raise CheckpointError(
            f"{checkpoint.folder / MANIFEST}: does not describe a network ({error!r}); the checkpoint is damaged"
        ) from None
    if list(plan.names) != manifest["layers"]:
        raise _unknown(name, f"its layers are {', '.join(map(str, manifest['layers']))}")
    return Donor(name, checkpoint, plan)


def _unknown(name: str, what: str) -> TransferError:
    return TransferError(
        f"{name}: has layers that this dnnrun does not build ({what}); "
        "reuse another run, or install the dnnrun or the package that trained it"
    )
