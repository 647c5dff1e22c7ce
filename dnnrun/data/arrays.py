"""Rows from arrays of any numbers and labels of any kind: their shapes and types are settled, or refused by name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnnrun.data.source import Raw, Rows, TaskName
from dnnrun.data.stacked import CELLS, Stacked, Turn, below, pieces
from dnnrun.data.task import MOST_CLASSES
from dnnrun.errors import DataError

Image = tuple[int, int, int]
FEW = 20  # different whole numbers of a float type; more of them are quantities
WIDER = "; it is more than float32 can hold, in which the network computes: scale the column"


@dataclass(frozen=True)
class Part:
    """One split as it was read: `features` (rows, ...) and `labels` (rows, ...), and what errors call each.

    `target` is the name of what the labels tell where they are no classes.
    """

    features: np.ndarray | Stacked
    labels: np.ndarray
    where: str
    labels_where: str
    target: str = "target"


def raw_of(parts: Mapping[str, Part], image: Sequence[int] | None, largest: float | None) -> Raw:
    """The rows of `parts` by split (train, validation, test), and what is known of them.

    `image` is what each row is (height, width, channels), None: as the shape of the training features says. `largest`
    is the largest value a pixel can have, None: by the training rows. Raises DataError for shapes
    and types that cannot be used, and for splits that do not fit each other.
    """
    train = parts["train"]
    given = _image_of(train) if image is None else image
    image = None if given is None else (given[0], given[1], given[2])
    flat = {split: _flat(part, train, image) for split, part in parts.items()}
    features = _numbers(flat, parts)
    task = _task(train.labels)
    if task == "classification":
        names, labels = class_numbers(parts)
        targets: tuple[str, ...] = ()
    else:
        names, labels = (), {split: _targets(part, train) for split, part in parts.items()}
        count = labels["train"].shape[1]
        targets = (train.target,) if count == 1 else tuple(f"{train.target}_{n}" for n in range(1, count + 1))
    digest = hashlib.sha256()
    for split, part in features.items():
        digest.update(f"{split} {part.shape} {part.dtype} {task} {names} {targets}\n".encode())
        for _, piece in pieces(part):
            digest.update(np.ascontiguousarray(piece).data)
        digest.update(np.ascontiguousarray(labels[split]).data)
    rows = {split: Rows(part, labels[split]) for split, part in features.items()}
    if largest is None:
        largest = _largest(features["train"]) if image else 1.0
    learned, own = rows["train"], 0
    if held := rows.get("validation"):
        own, both = len(held.labels), ((learned.features, held.features), (learned.labels, held.labels))
        learned = Rows(*map(below, both))
    test, fingerprint = rows.get("test"), digest.hexdigest()
    apart = tuple(split for split in parts if split != "train")
    return Raw(learned, test, names, image, largest, fingerprint, task, targets, validation=own, apart=apart)


def _task(labels: np.ndarray) -> TaskName:
    """What the training labels are: their type says it, and where it does not their values.

    Whole numbers of an integer type are classes up to so many as anybody numbers, those of a float type up to few.
    Several a row are labels where all are 0 or 1, else numbers.
    """
    if labels.dtype.kind not in "biuf":
        return "classification"
    if labels.ndim == 2 and labels.shape[1] > 1:
        return "multilabel" if ((labels == 0) | (labels == 1)).all() else "regression"
    most = FEW if labels.dtype.kind == "f" else MOST_CLASSES
    finite = labels[np.isfinite(labels)]
    if (finite != np.floor(finite)).any() or len(np.unique(finite)) > most:
        return "regression"
    return "classification"


def _targets(part: Part, train: Part) -> np.ndarray:
    """Numbers (rows, targets) float32."""
    labels = part.labels.reshape(len(part.labels), -1)
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{part.labels_where}: {kind_of(labels)}, and {train.labels_where} holds numbers")
    wanted = train.labels.reshape(len(train.labels), -1).shape[1]
    if labels.shape[1] != wanted:
        raise DataError(f"{part.labels_where}: {labels.shape[1]} targets a row, and {train.labels_where} has {wanted}")
    return as_float32(labels, part.labels_where)


def _image_of(part: Part) -> Image | None:
    """What the shape of the features says: an image where they have a height and a width."""
    shape = part.features.shape
    if len(shape) == 3:
        return shape[1], shape[2], 1
    if len(shape) != 4:
        return None
    if shape[3] not in (1, 2, 3, 4) and shape[1] in (1, 3, 4):
        raise DataError(
            f"{part.where}: of shape {shape_of(shape)}, with the channels before height and width; "
            "wanted rows x height x width x channels: x.transpose(0, 2, 3, 1)"
        )
    return shape[1], shape[2], shape[3]


def _flat(part: Part, train: Part, image: Image | None) -> Any:
    """The features as (rows, width)."""
    shape = part.features.shape
    if part.features.dtype.kind not in "biuf":
        raise DataError(f"{part.where}: holds {kind_of(part.features)}; wanted numbers")
    if len(shape) < 2:
        raise DataError(f"{part.where}: of shape {shape_of(shape)}; wanted rows x features, one row an example")
    if not math.prod(shape):
        raise DataError(f"{part.where}: of shape {shape_of(shape)}, which is nothing; wanted one row or more")
    width, found = math.prod(train.features.shape[1:]), math.prod(shape[1:])
    if image and math.prod(image) != found:
        raise DataError(
            f"{part.where}: rows of {found} values, and image {shape_of(image)} has {math.prod(image)}; correct `image`"
        )
    if found != width:
        raise DataError(f"{part.where}: rows of {found} values, and {train.where} has rows of {width}")
    if len(shape) > 2 and image is None:
        raise DataError(
            f"{part.where}: of shape {shape_of(shape)}; wanted rows x features, or rows x height x width x channels"
        )
    labels = part.labels
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.shape[0] == shape[0] and one_hot(labels):
        raise DataError(f"{part.labels_where}: one-hot, {shape_of(labels.shape)}; wanted one label a row: y.argmax(1)")
    if labels.ndim not in (1, 2) or len(labels) != shape[0] or not labels.size or not _numeric(labels):
        raise DataError(
            f"{part.labels_where}: of shape {shape_of(labels.shape)}; wanted {shape[0]:,} labels, one for each row of "
            f"{part.where}"
        )
    return part.features.flattened() if isinstance(part.features, Stacked) else part.features.reshape(shape[0], found)


def _numeric(labels: np.ndarray) -> bool:
    """Several a row are numbers."""
    return labels.ndim == 1 or labels.dtype.kind in "biuf"


def one_hot(labels: np.ndarray) -> bool:
    """Whether labels (rows, n) are a 1 in each row and else 0."""
    return labels.dtype.kind in "biuf" and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())


def _numbers(flat: Mapping[str, np.ndarray], parts: Mapping[str, Part]) -> dict[str, np.ndarray]:
    """All splits as uint8 where every value is a whole number from 0 to 255, else as float32."""
    whole = all(x.dtype.kind in "biu" for x in flat.values())
    if whole and all(map(_are_bytes, flat.values())):
        return {split: _turned(x, np.uint8, _as_bytes) for split, x in flat.items()}
    wheres = {split: parts[split].where for split in flat}
    return {
        split: _turned(x, np.float32, lambda rows, first, where=wheres[split]: as_float32(rows, where, first + 1))
        for split, x in flat.items()
    }


def _turned(x: np.ndarray | Stacked, dtype: Any, turn: Turn) -> Any:
    """Rows in another type: those in memory at once, others as they are read."""
    return x.turned(dtype, turn) if isinstance(x, Stacked) else turn(x, 0)


def _as_bytes(rows: np.ndarray, _: int) -> np.ndarray:
    return rows.astype(np.uint8, copy=False)


def _are_bytes(x: np.ndarray | Stacked) -> bool:
    """Whether these whole numbers are all from 0 to 255."""
    known = x.dtype.kind == "b" or x.dtype == np.uint8
    return known or all(piece.min() >= 0 and piece.max() <= 255 for _, piece in pieces(x))


def as_float32(x: np.ndarray, where: str, first: int = 1) -> np.ndarray:
    """Rows (n, width), the first of number `first`. Raises DataError where a value is not finite, or not as float32."""
    found = x if x.dtype == np.float32 and x.flags.c_contiguous else np.empty(x.shape, np.float32)
    step = max(1, CELLS // x.shape[1])
    for start in range(0, len(x), step):
        piece = x[start : start + step]
        if found is not x:
            with np.errstate(over="ignore"):
                found[start : start + step] = piece
        bad = ~np.isfinite(found[start : start + step])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            value = piece[row, column]
            advice = WIDER if np.isfinite(value) else ", wanted a number; fill in or drop what is missing"
            raise DataError(f"{where}: row {start + row + first:,}, column {column + 1} holds {value}{advice}")
    return found


def class_numbers(parts: Mapping[str, Part]) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """The names of the classes, in the order of the labels (numbers by value), and each split's labels as 0, 1, ...

    The classes are those of the training rows. Raises DataError where labels name none, or another split has others.
    """
    train = parts["train"]
    known = np.unique(one_a_row(train.labels, train.labels_where))
    numbers = {}
    for split, part in parts.items():
        labels = one_a_row(part.labels, part.labels_where)
        if labels.dtype.kind != known.dtype.kind and "U" in (labels.dtype.kind, known.dtype.kind):
            raise DataError(f"{part.labels_where}: {kind_of(labels)}, and {train.labels_where} holds {kind_of(known)}")
        place = np.searchsorted(known, labels).clip(max=len(known) - 1)
        if len(strange := np.flatnonzero(known[place] != labels)):
            raise DataError(
                f"{part.labels_where}: row {strange[0] + 1:,} is of class {labels[strange[0]]}, which no training row "
                f"is of; rows like it: {len(strange):,}; drop them, or train on some"
            )
        numbers[split] = place.astype(np.int32)
    return tuple(str(name) for name in known), numbers


def one_a_row(labels: np.ndarray, where: str) -> np.ndarray:
    """One label a row: whole numbers or texts. Raises DataError where they are neither."""
    labels = labels.reshape(-1)
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{where}: texts that are not UTF-8; wanted UTF-8, or numbers") from None
    if labels.dtype.kind == "U" and len(bad := np.flatnonzero(labels == "")):
        raise DataError(f"{where}: row {bad[0] + 1:,} has no label (''); drop such rows")
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if labels.dtype.kind == "f":
        labels = labels.astype(np.promote_types(labels.dtype, np.float64))
        if len(bad := np.flatnonzero(~np.isfinite(labels))):
            raise DataError(f"{where}: row {bad[0] + 1:,} has no label ({labels[bad[0]]}); drop such rows")
        if len(broken := np.flatnonzero((labels != np.floor(labels)) | (np.abs(labels) >= 2**63))):
            raise DataError(
                f"{where}: row {broken[0] + 1:,} is {labels[broken[0]]:g}; wanted one of the classes to "
                "train on, which are whole numbers"
            )
        return labels.astype(np.int64)
    if labels.dtype.kind not in "iuU":
        raise DataError(f"{where}: holds {kind_of(labels)}; wanted classes, as whole numbers or texts")
    return labels


def _largest(features: np.ndarray | Stacked) -> float:
    """The largest value a pixel can have, as the kind of the numbers and the largest that is there suggest."""
    found = max(float(piece.max()) for _, piece in pieces(features))
    if features.dtype == np.uint8:
        return 255.0 if found > 1 else 1.0  # black and white, as truth values are
    return next((bound for bound in (1.0, 255.0, 65535.0) if 0 < found <= bound), max(found, 1.0))


def shape_of(shape: Sequence[int]) -> str:
    """A shape as errors write it."""
    return " x ".join(f"{extent:,}" for extent in shape) or "nothing"


def kind_of(array: np.ndarray | Stacked) -> str:
    """What an array holds as errors write it."""
    return {"U": "texts", "S": "texts", "b": "truth values"}.get(array.dtype.kind, f"{array.dtype}")
