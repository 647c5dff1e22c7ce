"""Checkpoints: a folder with model.safetensors, train.safetensors and manifest.json, complete in itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun import __version__, files
from dnnrun.errors import CheckpointError
from dnnrun.store import tensors as tensor_files

FORMAT = 1
KEPT = 2
FOLDER = re.compile(r"step-(\d{8,})(?:-(\d+))?")
_FIELDS = {
    "step": int, "tensors": dict, "layers": list, "spec": dict, "features": int, "classes": list, "preprocessing": dict,
}  # fmt: skip
_TENSOR = {"sha256", "shape", "dtype"}
MODEL, TRAIN, MANIFEST = "model.safetensors", "train.safetensors", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. `manifest` is what its manifest.json says; the tensors are read when asked for."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def step(self) -> int:
        return self.manifest["step"]

    @property
    def resumable(self) -> bool:
        """Whether training can go on from it: a best checkpoint may hold the weights alone."""
        return TRAIN in self.manifest["tensors"]

    def model(self, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """The network's tensors by name, verified; only the named ones are read."""
        return tensor_files.read(self.folder / MODEL, self.manifest["tensors"][MODEL], names)

    def train(self) -> dict[str, np.ndarray]:
        """What training needs besides: optimizer, best weights, phase."""
        if not self.resumable:
            raise CheckpointError(f"{self.folder}: holds the weights alone; resume from `last`, or transfer from it")
        return tensor_files.read(self.folder / TRAIN, self.manifest["tensors"][TRAIN])


def outputs_of(manifest: Mapping[str, Any]) -> int:
    """How many outputs the network of a manifest has: as it says, else one for each class."""
    return manifest.get("outputs", len(manifest["classes"]))


def folder_name(step: int) -> str:
    return f"step-{step:08d}"


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`. Raises CheckpointError when it is missing, unreadable or of a newer format."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no checkpoint here (no {MANIFEST})") from None
    except NotADirectoryError:
        raise CheckpointError(f"{folder}: a file; wanted a run, or a checkpoint folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); the checkpoint is damaged, use another one") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise CheckpointError(f"{path}: not a dnnrun manifest (no format number)")
    if found > FORMAT:
        raise CheckpointError(
            f"{path}: format {found}, written by dnnrun {manifest.get('dnnrun', '?')}; this dnnrun {__version__} reads "
            f"formats up to {FORMAT}; install a newer dnnrun"
        )
    if missing := _FIELDS.keys() - manifest.keys():
        raise CheckpointError(f"{path}: lacks {', '.join(sorted(missing))}; the checkpoint is damaged, use another one")
    if not (isinstance(manifest["tensors"], dict) and MODEL in manifest["tensors"]):
        raise CheckpointError(f"{path}: does not describe {MODEL}; the checkpoint is damaged, use another one")
    if manifest.get("checksum") != sealed(manifest)["checksum"]:
        raise CheckpointError(f"{path}: does not have its own checksum; the checkpoint is damaged, use another one")
    if wrong := [name for name, kind in _FIELDS.items() if not isinstance(manifest[name], kind)] + _odd(manifest):
        raise CheckpointError(f"{path}: has an unusable {', '.join(wrong)}; the checkpoint is damaged, use another one")
    return Checkpoint(folder, manifest)


def _odd(manifest: Mapping[str, Any]) -> list[str]:
    """What a manifest says in a form that no reader expects, though whoever wrote it gave it its checksum."""
    image = manifest.get("image")
    odd = [] if image is None or (isinstance(image, list) and len(image) == 3) else ["image"]
    for file, tensors in manifest["tensors"].items():
        described = tensors.items() if isinstance(tensors, dict) else [("", None)]
        for name, tensor in described:
            if not (isinstance(tensor, dict) and tensor.keys() >= _TENSOR and isinstance(tensor["shape"], list)):
                odd.append(f"{file} {name}".rstrip())
    return odd


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the sha256 of everything else that it says under `checksum`."""
    said = {key: value for key, value in manifest.items() if key != "checksum"}
    return {**said, "checksum": hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}


def contents_of(
    step: int,
    model: Mapping[str, np.ndarray],
    train: Mapping[str, np.ndarray] | None,
    manifest: Mapping[str, Any],
) -> dict[str, bytes]:
    """The files of a checkpoint by name."""
    described = {MODEL: tensor_files.describe(model)}
    contents = {MODEL: tensor_files.encode(model)}
    if train is not None:
        described[TRAIN] = tensor_files.describe(train)
        contents[TRAIN] = tensor_files.encode(train)
    whole = {"format": FORMAT, "dnnrun": __version__, "step": step, **manifest, "tensors": described}
    contents[MANIFEST] = (json.dumps(sealed(whole), indent=1) + "\n").encode()
    return contents


def save(
    checkpoints: Path,
    step: int,
    model: Mapping[str, np.ndarray],
    train: Mapping[str, np.ndarray] | None,
    manifest: Mapping[str, Any],
) -> Path:
    """Write the checkpoint of this step; what stands under its final name is complete. Returns its folder.

    A published folder is never changed: a second save of the same step is `step-N-2`, and the pointers move on to it.
    """
    contents = contents_of(step, model, train, manifest)
    target, again = checkpoints / folder_name(step), 2
    while target.exists():
        target, again = checkpoints / f"{folder_name(step)}-{again}", again + 1
    files.publish_folder(target, contents)
    return target


def point(checkpoints: Path, name: str, target: Path) -> None:
    """Let `last` or `best` name this checkpoint from now on."""
    files.point(checkpoints / name, Path(target.name))


def pointed(checkpoints: Path, name: str) -> Path | None:
    """The folder that `last` or `best` names, None while there is none."""
    link = checkpoints / name
    return checkpoints / link.readlink() if link.is_symlink() and link.exists() else None


def saved(checkpoints: Path) -> list[Path]:
    """The folders of every complete checkpoint, oldest step first."""
    if not checkpoints.is_dir():
        return []
    matches = ((FOLDER.fullmatch(path.name), path) for path in checkpoints.iterdir())
    found = [(int(match[1]), int(match[2] or 1), path) for match, path in matches if match]
    return [path for *_, path in sorted(found)]


def clean(checkpoints: Path) -> None:
    """Remove what an interrupted save left, and checkpoints beyond the newest two and those pointed at."""
    if not checkpoints.is_dir():
        return
    files.remove_temporaries(checkpoints)
    folders = saved(checkpoints)
    kept = {pointed(checkpoints, "last"), pointed(checkpoints, "best")}
    kept |= set([path for path in folders if (path / TRAIN).exists()][-KEPT:])
    for path in folders:
        if path not in kept:
            files.remove_tree(path)
