"""A checkpoint as a source of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from dnnrun.errors import CheckpointError, TransferError
from dnnrun.nn.architecture import Architecture, Model, lay_out
from dnnrun.store import tensors
from dnnrun.store.checkpoint import MANIFEST, MODEL, TRAIN, Checkpoint, outputs_of
from dnnrun.transfer.donor import OPTIMIZER, Donor, Known


@dataclass(frozen=True)
class CheckpointDonor(Donor):
    """A network of our own, whose manifest tells everything."""

    name: str
    checkpoint: Checkpoint
    architecture: Architecture

    @property
    def where(self) -> Path:
        return self.checkpoint.folder.absolute()

    @property
    def layers(self) -> tuple[str, ...]:
        there = {name.partition("/")[0] for name in self.described}
        return tuple(name for name in self.architecture.names if name in there)  # a pretrained one has no outputs

    @property
    def described(self) -> Mapping[str, Mapping[str, Any]]:
        return self.checkpoint.manifest["tensors"][MODEL]

    @property
    def features(self) -> int:
        return self.architecture.features

    @property
    def image(self) -> tuple[int, int, int] | None:
        image = self.checkpoint.manifest.get("image")
        return image and (image[0], image[1], image[2])

    @property
    def largest(self) -> float | None:
        return self.checkpoint.manifest.get("largest")

    @property
    def preprocessing(self) -> Any:
        return self.checkpoint.manifest["preprocessing"]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.checkpoint.manifest["classes"]) or tuple(self.checkpoint.manifest.get("targets", ()))

    @property
    def task(self) -> str:
        return self.checkpoint.manifest.get("task", "classification")

    @property
    def optimizer(self) -> Mapping[str, Any]:
        return self.checkpoint.manifest["spec"].get("train", {}).get("optimizer", {})

    def known(self, layer: str) -> Known:
        found = self.architecture.layers[self.layers.index(layer)]
        return Known(found.activation, found.batch_norm.model_dump(mode="json") if found.batch_norm else {})

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        return self.checkpoint.model(names)

    def optimizer_tensors(self) -> list[str] | None:
        described = self.checkpoint.manifest["tensors"].get(TRAIN)
        return None if described is None else [name for name in described if name.startswith(OPTIMIZER)]

    def read_optimizer(self) -> dict[str, np.ndarray]:
        described = self.checkpoint.manifest["tensors"][TRAIN]
        return tensors.read(self.checkpoint.folder / TRAIN, described, self.optimizer_tensors())

    def fingerprint(self) -> str:
        """Of the manifest as it stands on disk, which tells every tensor's checksum."""
        return sha256((self.checkpoint.folder / MANIFEST).read_bytes()).hexdigest()


def donor_of(name: str, checkpoint: Checkpoint) -> CheckpointDonor:
    """A checkpoint as a donor. Raises TransferError where it has layers that dnnrun does not build."""
    manifest = checkpoint.manifest
    try:
        model = Model.model_validate(manifest["spec"]["model"])
        plan = lay_out(model, manifest["features"], outputs_of(manifest))
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
    return CheckpointDonor(name, checkpoint, plan)


def _unknown(name: str, what: str) -> TransferError:
    return TransferError(
        f"{name}: has layers that this dnnrun does not build ({what}); "
        "reuse another run, or install the dnnrun or the package that trained it"
    )
