"""Rows for a trained network from files of arrays and from images, a piece at a time.

`takes` says whether a path is of these; `open_inputs` gives its rows as they stand there, unscaled.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from dnnrun.data import idx
from dnnrun.data.arrays import Image, as_float32, kind_of, one_a_row, one_hot, shape_of
from dnnrun.data.dataset import Dataset
from dnnrun.data.finding import find
from dnnrun.data.folders import holds_images, inside, splits_of
from dnnrun.data.image import SUFFIXES, Decoder, Like, Mode
from dnnrun.data.inflate import Inflated
from dnnrun.data.npy import NUMBERS, TEXTS, Archive, read_npy
from dnnrun.data.room import Room, release
from dnnrun.data.source import Places, Source, TaskName
from dnnrun.data.source.images import Images
from dnnrun.data.source.npz import Npz
from dnnrun.errors import DataError

ROWS = 10_000  # of arrays in a piece
PICTURES = 500  # in a piece


@dataclass(frozen=True)
class Expected:
    """What a network takes: rows of `width` features; or images (height, width, channels) of pixels up to `largest`.

    `source` is where it was trained from: it names arrays, and says how image files become pixels.
    """

    width: int
    image: Image | None
    largest: float
    source: Source | None = None


@dataclass(frozen=True)
class Piece:
    """Some rows: `features` (n, width), uint8 or float32; `ids`, see `Inputs.id_name`; `labels` as they stand."""

    features: np.ndarray
    ids: Sequence[int] | Sequence[str]
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Inputs:
    """All rows of a path; `labels` are theirs as they stand there, or in the file `labels_path`, None where there are
    none."""

    path: Path
    count: int
    labels: np.ndarray | None
    labels_path: Path | None = field(default=None, kw_only=True)
    id_name: ClassVar[str]  # what the ids of a piece are

    def pieces(self) -> Iterator[Piece]:
        """The rows in their order, each once. Raises DataError for what is not as the network takes it."""
        raise TypeError(f"{type(self).__name__} does not say how it reads")


@dataclass(frozen=True)
class ArrayInputs(Inputs):
    """Rows of an array (rows, width); ids count from 1."""

    rows: np.ndarray
    id_name = "row"

    def pieces(self) -> Iterator[Piece]:
        for start in range(0, self.count, ROWS):
            stop = min(start + ROWS, self.count)
            labels = None if self.labels is None else self.labels[start:stop]
            rows = np.asarray(self.rows[start:stop])
            if rows.dtype != np.uint8:
                rows = as_float32(rows, str(self.path), start + 1)
            yield Piece(rows, range(start + 1, stop + 1), labels)
            release(self.rows)


@dataclass(frozen=True)
class ImageInputs(Inputs):
    """Image files, decoded as they are wanted; ids are their paths within the folder."""

    files: Sequence[Path]
    decoder: Decoder
    expected: Expected
    id_name = "file"

    def pieces(self) -> Iterator[Piece]:
        for start in range(0, self.count, PICTURES):
            files = self.files[start : start + PICTURES]
            labels = None if self.labels is None else self.labels[start : start + PICTURES]
            yield Piece(self._decoded(files), [str(file.relative_to(self.path)) for file in files], labels)

    def _decoded(self, files: Sequence[Path]) -> np.ndarray:
        """Pixels (files, width), white being what the network calls it."""
        wanted = self.expected.image
        assert wanted is not None  # else there are no such inputs
        like = Like(wanted, f"and the network takes {shape_of(wanted[:2])}; resize it")
        pixels = self.decoder.read_all(files, like=like)
        rows = pixels.reshape(len(files), -1)
        return rows if self.expected.largest == 255 else rows * np.float32(self.expected.largest / 255)


def takes(path: Path) -> bool:
    """Whether `path` is a .npy, .npz or IDX file, an image, or a folder of images."""
    if path.is_dir():
        return holds_images(path)
    return path.suffix.lower() in (".npy", ".npz", *SUFFIXES) or is_idx(path)


def located(path: str, places: Places) -> Path:
    """The file or folder at `path`, where the command runs or where data is looked for. Raises DataError."""
    found = find(path, places)
    if not takes(found):
        if found.is_dir() and len(splits := splits_of(found)) > 1:
            inner = sorted(folder.name for folder in splits.values())
            raise DataError(f"{path}: holds {', '.join(inner)}; name one of them, as {path}/{inner[0]}")
        raise DataError(
            f"{path}: no array or image; wanted a .npy, .npz or IDX file, an image, or a folder of images, since the "
            "network was not trained on a table with columns"
        )
    return found


def open_inputs(path: Path, expected: Expected, labels: Path | None = None, room: Room | None = None) -> Inputs:
    """The rows of a path that `takes` is true for. `labels` is a .npy or IDX file of their labels.

    With a `room` no more than some of them are in memory: arrays are mapped where they lie, or from there where they
    are packed. Raises DataError where they are not what the network takes.
    """
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        if labels is not None:
            raise DataError(f"{labels}: labels of images are the names of their folders; leave it out")
        return _images(path, expected)
    if not path.exists():
        raise DataError(f"{path}: not found; correct the path")
    rows, known = _arrays(path, expected, room)
    if labels is not None:
        known = read_npy(labels, TEXTS) if labels.suffix.lower() == ".npy" else idx.read(labels)[0]
    rows = _fitting(path, rows, expected)
    if known is not None:
        known = known.reshape(-1) if known.shape == (len(rows), 1) else known
        if known.ndim == 0 or len(known) != len(rows):
            raise DataError(
                f"{labels or path}: labels of shape {shape_of(known.shape)}; wanted {len(rows):,}, one for each row"
            )
    return ArrayInputs(path, len(rows), known, rows, labels_path=labels)


def _arrays(path: Path, expected: Expected, room: Room | None) -> tuple[np.ndarray, np.ndarray | None]:
    if path.suffix.lower() == ".npy":
        return read_npy(path, mapped=True), None
    if path.suffix.lower() != ".npz":
        return idx.read(path)[0] if room is None else idx.mapped(path, room), None
    archive, own = Archive(path), expected.source
    names = (own.features, own.labels) if isinstance(own, Npz) else ("x", "y")
    if names[0] not in archive.names and len(archive.names) == 1:
        names = archive.names[0], ""
    return archive.read(names[0], NUMBERS, room), archive.read(names[1], TEXTS) if names[1] in archive.names else None


def _fitting(path: Path, rows: np.ndarray, expected: Expected) -> np.ndarray:
    """The rows as (n, width)."""
    if rows.dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {kind_of(rows)}; wanted numbers")
    single = expected.image is not None and rows.shape in (expected.image, expected.image[:2])
    if rows.ndim < 2 or (math.prod(rows.shape[1:]) != expected.width):
        one = "; a single image is x[None]" if single else ""
        wanted = f"rows x {expected.width:,}"
        if expected.image:
            wanted += f", or rows x {shape_of(expected.image)}"
        raise DataError(f"{path}: of shape {shape_of(rows.shape)}; wanted {wanted}{one}")
    if not len(rows):
        raise DataError(f"{path}: of shape {shape_of(rows.shape)}, no rows; wanted one or more")
    return rows.reshape(len(rows), -1)


def _images(path: Path, expected: Expected) -> Inputs:
    if expected.image is None:
        raise DataError(f"{path}: images, and the network was trained on a table of {expected.width:,} columns")
    if expected.image[2] not in (1, 3):
        raise DataError(f"{path}: images, and the network takes {expected.image[2]} channels; give it an array")
    mode: Mode = "grey" if expected.image[2] == 1 else "rgb"
    own = expected.source.decoder() if isinstance(expected.source, Images) else Decoder(mode)
    decoder = replace(own, mode=mode)
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path}: not found; correct the path")
        return ImageInputs(path.parent, 1, None, [path], decoder, expected)
    found = inside(path)
    return ImageInputs(path, len(found.paths), found.classes, found.paths, decoder, expected)


def is_idx(path: Path) -> bool:
    """Whether the file begins as IDX files do, plain or gzip."""
    try:
        with path.open("rb") as file:
            start = Inflated(file, str(path)).read(4)
    except (OSError, DataError):
        return False
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in idx.TYPES and 0 < start[3] <= idx.MOST_DIMENSIONS


def whole(inputs: Inputs, expected: Expected, names: tuple[str, ...], task: TaskName) -> Dataset:
    """All rows with their labels, as the test rows of a dataset; they stand as training rows too.

    `names` are the classes, or the targets where `task` has none. Raises DataError where there are no labels, or they
    name another class.
    """
    if inputs.labels is None:
        raise DataError(
            f"{inputs.path}: has no labels; name their file with --labels, or take an .npz file with labels, or a "
            "folder of images by class"
        )
    where = str(inputs.labels_path or inputs.path)
    labels = (_class_numbers if task == "classification" else _numbers)(inputs.labels, names, where)
    if task == "multilabel" and (wrong := (labels != 0) & (labels != 1)).any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(f"{where}: row {row + 1:,}: {names[column]} is {labels[row, column]:g}; wanted 0 or 1")
    features = np.concatenate([piece.features for piece in inputs.pieces()])
    digest = hashlib.sha256(np.ascontiguousarray(features).data)
    digest.update(np.ascontiguousarray(labels).data)
    rows, found = (0, inputs.count), digest.hexdigest()
    classes, targets = (names, ()) if task == "classification" else ((), names)
    return Dataset(
        features=features,
        labels=labels,
        splits={"train": rows, "test": rows},
        classes=classes,
        image=expected.image,
        largest=expected.largest,
        hash=found,
        origin=np.arange(inputs.count),
        fingerprint=found,
        task=task,
        targets=targets,
    )


def _class_numbers(labels: np.ndarray, classes: tuple[str, ...], where: str) -> np.ndarray:
    """The number of each label's class, (rows,)."""
    if labels.ndim != 1:
        advice = ": y.argmax(1)" if labels.ndim == 2 and one_hot(labels) else ""
        raise DataError(f"{where}: labels of shape {shape_of(labels.shape)}; wanted one label a row{advice}")
    known, found = np.unique(one_a_row(labels, where), return_inverse=True)
    numbers = {name: number for number, name in enumerate(classes)}
    if strange := [str(name) for name in known if str(name) not in numbers]:
        raise DataError(
            f"{where}: labels of {strange[0]}, which is no class of the network; it tells {', '.join(classes)}"
        )
    return np.array([numbers[str(name)] for name in known], np.int32)[found.reshape(-1)]


def _numbers(labels: np.ndarray, names: tuple[str, ...], where: str) -> np.ndarray:
    """Numbers (rows, names) float32."""
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{where}: {kind_of(labels)}, and the network tells numbers")
    found = as_float32(labels.reshape(len(labels), -1), where)
    if found.shape[1] != len(names):
        raise DataError(f"{where}: {found.shape[1]} targets a row, and the network tells {len(names)}")
    return found
