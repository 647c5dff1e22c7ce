"""Files of other frameworks as a person names them: with a map, a model section, an option for what they do not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnrun.errors import InteropError, SpecError
from dnnrun.interop import formats
from dnnrun.interop.donor import ForeignDonor
from dnnrun.interop.mapping import PARTS, TENSOR, Map, Named
from dnnrun.interop.network import ForeignNetwork, Said, understand
from dnnrun.spec.text import parse, read
from dnnrun.spec.tree import Problem, Tree, shown
from dnnrun.store.checkpoint import FOLDER, MANIFEST

ORIENTATIONS = {"in-out": "in_out", "out-in": "out_in"}
IMAGE = re.compile(r"(\d+)x(\d+)(?:x(\d+))?")


@dataclass(frozen=True)
class Reading:
    """How a foreign file is read. `image` is `HEIGHTxWIDTHxCHANNELS`, `kernels` in-out or out-in."""

    map: Path | None = None
    kernels: str | None = None
    image: str | None = None
    channel_first: bool = False
    external: bool = False


def is_foreign(path: Path) -> bool:
    """Whether a path names a file of another framework, and not a run or a checkpoint of ours."""
    try:
        if path.is_dir() and ((path / MANIFEST).is_file() or FOLDER.fullmatch(path.resolve().name)):
            return False  # a checkpoint, and without its manifest a damaged one
        return path.name != MANIFEST if path.is_file() else formats.format_of(path) is not None
    except (OSError, ValueError):  # a name that no file can have
        return False


def open_network(
    path: Path, reading: Reading | None = None, normalized: Sequence[bool] | None = None
) -> ForeignNetwork:
    """The layers of a file. `normalized` says of each dense layer whether it has batch norm, where a model tells.

    Raises InteropError, and SpecError for a map that cannot be used.
    """
    reading = reading or Reading()
    said = Said(
        map=load_map(reading.map) if reading.map else None,
        orientation=None if reading.kernels is None else ORIENTATIONS[reading.kernels],
        image=_image(reading.image),
        channel_first=reading.channel_first,
        normalized=normalized,
    )
    return understand(path, formats.read(path, external=reading.external), said)


def open_donor(name: str, path: Path, map: str | None = None) -> ForeignDonor:
    """A file as a source of layers; `name` is how the spec calls it."""
    return ForeignDonor(name, open_network(path, Reading(map=Path(map) if map else None)))


def load_map(path: Path) -> Map:
    """The map in a YAML file. Raises SpecError with every problem of it."""
    tree = parse(read(path), str(path))
    problems = list(tree.problems)
    value: Any = tree.value
    if not isinstance(value, dict):
        raise SpecError([f"{path}: found {shown(value)}, wanted a mapping as 'hidden1/kernel: name of the tensor'"])
    tensors: dict[str, Named] = {}
    for ours, theirs in value.items():
        if ours == "ignore":
            continue
        if not TENSOR.fullmatch(ours):
            what = f"unknown tensor; wanted hidden1, hidden2, ... or outputs, and one of {', '.join(PARTS)}"
            problems.append(tree.problem((ours,), what, key=True))
            continue
        named = _named(tree, ours, theirs, problems)
        if named:
            tensors[ours] = named
    ignore = value.get("ignore", [])
    patterns = ignore if isinstance(ignore, list) else [ignore]
    for number, pattern in enumerate(patterns):
        if not _is_pattern(pattern):
            at: tuple[str | int, ...] = ("ignore", number) if isinstance(ignore, list) else ("ignore",)
            problems.append(tree.problem(at, f"found {shown(pattern)}, wanted a regular expression"))
    if problems:
        raise SpecError([problem.text for problem in sorted(problems)])
    if not tensors:
        raise SpecError([f"{path}: maps no tensor; wanted lines as 'hidden1/kernel: name of the tensor'"])
    return Map(str(path), tensors, tuple(patterns))


def _named(tree: Tree, ours: str, theirs: Any, problems: list[Problem]) -> Named | None:
    if isinstance(theirs, str):
        return Named(theirs)
    if isinstance(theirs, int) and not isinstance(theirs, bool):
        return Named(str(theirs))
    wanted = "the name of a tensor, or {tensor: NAME, transpose: true}"
    if not isinstance(theirs, dict):
        problems.append(tree.problem((ours,), f"found {shown(theirs)}, wanted {wanted}"))
        return None
    tensor, transpose = theirs.get("tensor"), theirs.get("transpose")
    unknown = sorted(theirs.keys() - {"tensor", "transpose"})
    if unknown or not isinstance(tensor, str) or not isinstance(transpose, bool | None):
        found = f"found {', '.join(map(str, theirs))}" if unknown or tensor is None else f"found {shown(transpose)}"
        problems.append(tree.problem((ours,), f"{found}, wanted {wanted}"))
        return None
    return Named(tensor, transpose)


def _is_pattern(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True


def _image(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    match = IMAGE.fullmatch(text)
    if match is None:
        raise InteropError(f"--image {text}: wanted HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS, as 28x28 or 32x32x3")
    return int(match[1]), int(match[2]), int(match[3] or 1)
