"""Runs and foreign files on their way into the zoo."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import DnnrunError, RunDirectoryError, ZooError
from dnnrun.imported import Wanted, read_import
from dnnrun.spec.load import dump, load_mapping
from dnnrun.store.checkpoint import MANIFEST, Checkpoint, contents_of, open_checkpoint, pointed
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import CHECKPOINTS, META, RunDirectory
from dnnrun.store.zoo_place import check_name
from dnnrun.zoo import card as cards
from dnnrun.zoo import catalogue
from dnnrun.zoo.catalogue import CARD, SUMS, Entry
from dnnrun.zoo.fetch import Progress, Remote

PULLED = ("m", "model", "weights", "pytorch_model", "main", "resolve")  # names of files that name no model


def add_run(
    zoo: Path,
    checkpoint: str | Path,
    name: str | None,
    *,
    licence: str = "unknown",
    description: str = "",
    tags: tuple[str, ...] = (),
    force: bool = False,
) -> Entry:
    """Put the network of a run or checkpoint into the zoo, with a card. Raises ZooError, CheckpointError."""
    found = find_checkpoint(checkpoint)
    spec = load_mapping(dict(found.manifest["spec"]), where=str(found.folder))
    card = cards.card_of(
        check_name(name or _plain(spec.name)), found.manifest, _metrics(found), licence, description, tags
    )
    return catalogue.add(zoo, card, found, dump(spec), force=force)


def pull(
    zoo: Path,
    url: str,
    name: str | None,
    wanted: Wanted,
    *,
    sha256: str | None = None,
    licence: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[Entry, tuple[str, ...]]:
    """Fetch a model to the zoo: one of another zoo, a Hugging Face folder, a file, or an archive of these.

    Nothing is left of what is cut short, damaged or not what its checksums say. Returns it, and what was taken without
    its files saying so. Raises ZooError, InteropError, CheckpointError.
    """
    if name is not None:
        check_name(name)
    remote = Remote(url, progress)
    files.make_folder(zoo, exist_ok=True)
    temporary = zoo / f"{files.TEMPORARY}{os.urandom(8).hex()}"
    files.make_folder(temporary)
    try:
        got = remote.fetch(temporary, sha256)
        if (got / SUMS).is_file():
            return _of_a_zoo(zoo, got, url, name, force), ()
        if (got / MANIFEST).is_file():
            return _of_a_checkpoint(zoo, got, name or _plain(remote.name), licence, force), ()
        return _foreign(zoo, got, url, name or _named(remote), wanted, licence, force)
    finally:
        with suppress(DnnrunError):  # what hinders this must not hide why it failed
            files.remove_tree(temporary, missing_ok=True)


def _of_a_zoo(zoo: Path, got: Path, url: str, name: str | None, force: bool) -> Entry:
    if problems := catalogue.check_folder(got):
        raise ZooError(f"{url}: {problems[0].replace(f'{got}/', '')}; nothing was taken")
    card = cards.read(catalogue.text_of(got / CARD), f"{url}/{CARD}")
    open_checkpoint(got).model()
    content = {path.name: path.read_bytes() for path in got.iterdir() if path.name != SUMS}
    return catalogue.publish(zoo, name or card.name, content, force=force)


def _of_a_checkpoint(zoo: Path, got: Path, name: str, licence: str | None, force: bool) -> Entry:
    return add_run(zoo, got, name, licence=licence or "unknown", force=force)


def _foreign(
    zoo: Path, got: Path, url: str, name: str, wanted: Wanted, licence: str | None, force: bool
) -> tuple[Entry, tuple[str, ...]]:
    found = read_import(got, name, wanted)
    manifest = found.manifest()
    manifest["imported"]["source"] = url
    description = f"Imported from {url}."
    card = cards.card_of(check_name(name), manifest, {}, licence or _licence(got) or "unknown", description, ())
    content = contents_of(0, found.tensors, None, manifest)
    content[CARD] = cards.write(card, dump(found.spec)).encode()
    return catalogue.publish(zoo, name, content, force=force), found.notes


def _metrics(found: Checkpoint) -> Mapping[str, Any]:
    """What the run of a checkpoint measured at its end, where it ended with this checkpoint."""
    run = found.folder.resolve().parent.parent
    if found.folder.parent.name != CHECKPOINTS or not (run / META).is_file():
        return {}
    last = pointed(run / CHECKPOINTS, "last")
    if last is None or last.resolve() != found.folder.resolve():
        return {}
    try:
        return RunDirectory(run).meta().get("result", {}).get("metrics", {})
    except RunDirectoryError:
        return {}


def _licence(got: Path) -> str | None:
    """What a Hugging Face card says under `license`."""
    import yaml

    try:
        parts = (got / "README.md").read_text("utf-8")[: 1 << 16].split("---\n", 2)
        found = yaml.safe_load(parts[1])["license"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError, DnnrunError):
        return None
    return str(found)


def _named(remote: Remote) -> str:
    """A name for the model at an address: its file's, or, where that says nothing, its folder's."""
    parts = [part for part in remote.path.split("/") if part]
    for part in reversed(parts):
        stem = part.removesuffix(".safetensors").rpartition("/")[2]
        if stem not in PULLED:
            return _plain(stem)
    return "model"


def _plain(text: str) -> str:
    found = "".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789._-" else "-" for c in text.lower())
    return found.lstrip(".")[:64] or "model"
