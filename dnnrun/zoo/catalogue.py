"""The zoo's folder: models added, listed, verified, removed; every file of each under a sha256; an index over all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import CheckpointError, ZooError
from dnnrun.store.checkpoint import MANIFEST, MODEL, Checkpoint, contents_of, open_checkpoint
from dnnrun.store.zoo_place import NAME, check_name, model_folder
from dnnrun.zoo import card as cards
from dnnrun.zoo.card import Card

CARD, SUMS, INDEX, LOCK = "README.md", "sha256.json", "index.json", ".lock"
SMALL = 16 << 20  # bytes that a card, the sums or the index may have
ABANDONED = 3600.0


@dataclass(frozen=True)
class Entry:
    """A model of the zoo."""

    folder: Path
    card: Card

    @property
    def name(self) -> str:
        return self.folder.name

    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.folder)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints of a model."""
        return {**self.card.front(), "folder": str(self.folder)}


def add(zoo: Path, card: Card, checkpoint: Checkpoint, spec: str, *, force: bool = False) -> Entry:
    """Put the weights of a checkpoint, verified, into the zoo with their card. Raises ZooError, CheckpointError."""
    passed = ("tensors", "checksum", "format", "dnnrun", "step")
    manifest = {key: value for key, value in checkpoint.manifest.items() if key not in passed}
    content = contents_of(checkpoint.step, checkpoint.model(), None, manifest)
    content[CARD] = cards.write(card, spec).encode()
    return publish(zoo, card.name, content, force=force)


def publish(zoo: Path, name: str, content: Mapping[str, bytes], *, force: bool = False) -> Entry:
    """A model folder of these files, there whole or not at all, and the index that has it.

    Raises ZooError where the name is taken (without `force`).
    """
    target = zoo / check_name(name)
    card = cards.read(content[CARD].decode("utf-8"), CARD)
    sums = {file: hashlib.sha256(data).hexdigest() for file, data in sorted(content.items())}
    whole = {**content, SUMS: (json.dumps({"format": 1, "files": sums}, indent=1) + "\n").encode()}
    files.make_folder(zoo, exist_ok=True)
    with files.lock(zoo / LOCK):
        files.remove_temporaries(zoo, older_than=ABANDONED)
        if target.is_symlink() or target.exists():
            if not force:
                raise ZooError(f"{target}: is there already; choose another --name, or replace it with --force")
            _remove(target)
        files.publish_folder(target, whole)
        _write_index(zoo)
    return Entry(target, card)


def remove(zoo: Path, name: str) -> Path:
    """Remove a model. Raises ZooError where there is none; a link in its place is removed, never followed."""
    target = zoo / check_name(name)
    if not target.is_symlink():
        model_folder(name, zoo)
    with files.lock(zoo / LOCK):
        _remove(target)
        _write_index(zoo)
    return target


def entry(zoo: Path, name: str) -> Entry:
    """A model by name. Raises ZooError."""
    folder = model_folder(name, zoo)
    return Entry(folder, cards.read(text_of(folder / CARD), folder / CARD))


def entries(zoo: Path) -> tuple[list[Entry], list[str]]:
    """Every model by name, and what is wrong with those that cannot be read."""
    found: list[Entry] = []
    broken: list[str] = []
    if not zoo.is_dir():
        return found, broken
    for path in sorted(zoo.iterdir()):
        if not NAME.fullmatch(path.name) or not (path.is_dir() or path.is_symlink()):
            continue
        try:
            found.append(entry(zoo, path.name))
        except ZooError as error:
            broken.append(str(error))
    return found, broken


def verify(zoo: Path, name: str) -> list[str]:
    """Everything that is wrong with a model's files, nothing where all is as it was added."""
    try:
        folder = model_folder(name, zoo)
        problems = check_folder(folder)
        if not problems:
            entry(zoo, name)
            open_checkpoint(folder).model()
    except (ZooError, CheckpointError) as error:
        return [str(error)]
    listed = _indexed(zoo).get(name, {}).get("sha256")
    if not problems and listed != _digest(folder / SUMS):
        problems.append(f"{zoo / INDEX}: does not have the model as it is; add it again with --force")
    return problems


def check_folder(folder: Path) -> list[str]:
    """What differs between a model's files and the sums beside them."""
    try:
        sums = json.loads(text_of(folder / SUMS))["files"]
        wanted = {str(file): str(value) for file, value in sums.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [f"{folder / SUMS}: cannot be used; the model is damaged, add or pull it again"]
    problems = []
    for file in sorted({MODEL, MANIFEST, CARD} - wanted.keys()):
        problems.append(f"{folder / SUMS}: does not list {file}; the model is not whole")
    for file, value in wanted.items():
        path = folder / file
        if Path(file).name != file or path.is_symlink() or not path.is_file():
            problems.append(f"{path}: missing; add or pull the model again")
        elif _digest(path) != value:
            problems.append(f"{path}: its sha256 is not the one that was catalogued; add or pull the model again")
    for path in sorted(folder.iterdir()):
        if path.name not in wanted and path.name != SUMS:
            problems.append(f"{path}: is not of the model; remove it")
    return problems


def text_of(path: Path) -> str:
    """A small text. Raises ZooError where it is missing, large or not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(SMALL + 1)
        if len(data) > SMALL:
            raise ZooError(f"{path}: more than {SMALL:,} bytes; not a file of the zoo")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ZooError(f"{path}: cannot be read ({reason})") from None


def _remove(target: Path) -> None:
    if target.is_symlink() or not target.is_dir():
        files.unlink(target)
    else:
        files.remove_tree(target)


def _write_index(zoo: Path) -> None:
    found, _ = entries(zoo)
    models = {model.name: {**model.card.front(), "sha256": _digest(model.folder / SUMS)} for model in found}
    files.write_atomic(zoo / INDEX, (json.dumps({"format": 1, "models": models}, indent=1) + "\n").encode())


def _indexed(zoo: Path) -> dict[str, Any]:
    try:
        found = json.loads(text_of(zoo / INDEX))["models"]
    except (ZooError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
