"""Which rows are used: split first, then `classes`, then `limit` or `per_class`. Pure functions of their arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, StrictStr, model_validator

from dnnrun.component import Options, not_together
from dnnrun.data.source import Raw, Rows, TaskName
from dnnrun.data.table.options import Preprocessing
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from dnnrun.data.room import OnDisk, Room
    from dnnrun.data.table.columns import Columns

CELLS = 1 << 22  # of arrays that go to disk, at a time
SPLITS = ("train", "validation", "test")
Count = Annotated[int, Field(ge=1)]


def _rows_or_fraction(value: int | float) -> int | float:
    if value < 0 or (isinstance(value, float) and value >= 1):
        raise ValueError("wanted a number of rows, 0 or more, or a fraction of them, below 1.0")
    return value


def _distinct(classes: tuple[int | str, ...]) -> tuple[int | str, ...]:
    for number, name in enumerate(classes):
        if str(name) in map(str, classes[:number]):
            raise ValueError(f"{str(name)!r} stands there twice; name each class once")
    return classes


class PerClass(Options):
    """How many rows of each class are used, the first ones of each split."""

    train: Annotated[Count | None, Field(description="rows of each class to train on")] = None
    validation: Annotated[Count | None, Field(description="rows of each class to validate on")] = None


class Fold(Options):
    """One part of cross-validation: the training rows in `of` parts, stratified and shuffled by the seed; part `number`
    is validated on, the others are trained on."""

    of: int = Field(gt=1, description="how many parts")
    number: int = Field(ge=1, description="the part to validate on, 1 the first")

    @model_validator(mode="after")
    def _one_of_them(self) -> Fold:
        if self.number > self.of:
            raise ValueError(f"there is no fold {self.number} of {self.of}; wanted 1 to {self.of}")
        return self


class Selection(Options):
    """Which rows of a source are used, and which of its columns. A spec's `data` section extends it."""

    model_config = ConfigDict(json_schema_extra=not_together("limit", "per_class"))

    validation: Annotated[int | float, AfterValidator(_rows_or_fraction)] = Field(
        default=0.1,
        description="rows taken from training: the first N, or a fraction, stratified and shuffled by the seed",
        json_schema_extra={"minimum": 0},
    )
    fold: Fold | None = Field(default=None, description="a fold of cross-validation, instead of `validation`")
    classes: (
        Annotated[tuple[StrictInt | StrictStr, ...], Field(strict=False, min_length=2), AfterValidator(_distinct)]
        | None
    ) = Field(
        default=None,
        description="the classes to keep, in all splits; the position in the list is the new label",
        json_schema_extra={"uniqueItems": True},
    )
    task: TaskName | None = Field(
        default=None, description="what is predicted: a class, several labels, or numbers; unset: as the source says"
    )
    groups: str | None = Field(
        default=None, description="the column of a table whose rows of one value stay in one split, as a patient's"
    )
    preprocessing: Preprocessing = Field(
        default_factory=Preprocessing, description="how the columns of a table become numbers"
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="the first N of the remaining training rows"
    )
    per_class: Count | PerClass | None = Field(
        default=None,
        description="the first N of the remaining training rows of each class, or {train: N, validation: M}",
    )

    @model_validator(mode="after")
    def _one_way_to_thin(self) -> Selection:
        if self.limit is not None and self.per_class is not None:
            raise ValueError("limit and per_class exclude each other; leave one of them out")
        return self

    def thinning(self) -> PerClass:
        """`per_class` as a mapping: a bare number is one for training."""
        return self.per_class if isinstance(self.per_class, PerClass) else PerClass(train=self.per_class)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The rows of a run: training, then validation, then test, in one C-contiguous array.

    `features` is (rows, width), uint8 or float32, unscaled; `labels` and `weights` are as in Rows; `splits` maps the
    names of the splits that have rows (train, validation, test) to (start, stop). `classes`, `image`, `largest`, `task`
    and `targets` are as in Raw, after the selection. `hash` is the sha256 (hex) of the source's content, the rows
    chosen, and their labels.
    `origin`, (rows,) int64, says which row of the source each one is, test rows counted after those to train on;
    `fingerprint` is the source's. `columns` made the features of a table, `notes` are worth knowing, `warnings` a look.
    """

    features: np.ndarray
    labels: np.ndarray
    splits: Mapping[str, tuple[int, int]]
    classes: tuple[str, ...]
    image: tuple[int, int, int] | None
    largest: float
    hash: str
    origin: np.ndarray
    fingerprint: str
    task: TaskName = "classification"
    targets: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    columns: Columns | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What is told of a row: the classes, or the targets where there are no classes."""
        return self.classes if self.task == "classification" else self.targets

    @property
    def content(self) -> str:
        """A sha256 (hex) of which rows these are: the same for the same rows in another order or of other splits."""
        import numpy as np

        digest = hashlib.sha256(json.dumps([self.fingerprint, self.width]).encode())
        digest.update(np.sort(self.origin).astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def width(self) -> int:
        """Features of a row."""
        return self.features.shape[1]

    def rows(self, split: str) -> Rows:
        """A view of one split. Raises DataError where the dataset has none of that name."""
        if split not in self.splits:
            raise DataError(f"there are no {split} rows; this dataset has {', '.join(self.splits)}")
        start, stop = self.splits[split]
        weights = None if self.weights is None else self.weights[start:stop]
        return Rows(self.features[start:stop], self.labels[start:stop], weights)


def select(
    raw: Raw,
    options: Selection,
    seed: int,
    columns: Columns | None = None,
    room: Room | None = None,
    drain: bool = False,
) -> Dataset:
    """The rows that `options` names, in one array; `seed` matters where `validation` is a fraction.

    `options.task` says what is told of a row, where that is not what the source says. After a fraction the training
    rows stand in a shuffled order, so that `limit` and `per_class` draw from all of them; after a number they keep the
    source's order. Raises DataError where the data is unusable (NaN, labels out of range, fewer than two classes) or
    the selection leaves nothing, or wants more than there is. `columns` stand in for those that would be learned from
    the training rows of a table. The rows are put on disk where there is `room` for them, else they are in memory;
    `drain` lets go of what the source read on the way.
    """
    import numpy as np

    from dnnrun.data.check import check
    from dnnrun.data.settle import divide, settle
    from dnnrun.data.task import as_task

    raw = as_task(settle(raw, options.task, options.groups), options.task)
    check(raw)
    chosen = divide(raw, options, seed)
    old = dict.fromkeys(SPLITS, raw.train.labels) | ({"test": raw.test.labels} if raw.test else {})
    if raw.task != "classification":
        return _without_classes(raw, options, old, chosen, columns, room, drain)
    kept = range(len(raw.classes)) if options.classes is None else class_numbers(raw.classes, options.classes)
    classes = tuple(raw.classes[number] for number in kept)
    relabel = np.full(len(raw.classes), -1, np.int32)
    relabel[list(kept)] = np.arange(len(classes), dtype=np.int32)
    labels = {}
    for split in SPLITS:
        new = relabel[old[split][chosen[split]]]
        chosen[split], labels[split] = chosen[split][new >= 0], new[new >= 0]
    thinning = options.thinning()
    picks = {"train": _thin("train", labels["train"], classes, options.limit, thinning.train)}
    picks["validation"] = _thin("validation", labels["validation"], classes, None, thinning.validation)
    for split, pick in picks.items():
        chosen[split], labels[split] = chosen[split][pick], labels[split][pick]
    if not len(chosen["train"]):
        raise DataError(f"no training row is left of the classes {', '.join(classes)}; name others in data.classes")
    return _arrange(raw, chosen, labels, classes, options.preprocessing, columns, room, drain)


def _without_classes(
    raw: Raw,
    options: Selection,
    labels: dict[str, Any],
    chosen: dict[str, Any],
    columns: Columns | None,
    room: Room | None,
    drain: bool,
) -> Dataset:
    for key, value in (("classes", options.classes), ("per_class", options.per_class)):
        if value is not None:
            raise DataError(f"data.{key}: the task is {raw.task}, which has no classes; leave {key} out, or use limit")
    chosen["train"] = chosen["train"][: options.limit]
    found = {split: labels[split][rows] for split, rows in chosen.items() if len(rows)}
    return _arrange(raw, chosen, found, (), options.preprocessing, columns, room, drain)


def _arrange(
    raw: Raw,
    chosen: dict[str, Any],
    labels: dict[str, Any],
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    columns: Columns | None,
    room: Room | None,
    drain: bool,
) -> Dataset:
    import numpy as np

    from dnnrun.data.room import InMemory, OnDisk

    fingerprint, told = raw.fingerprint, ((), ())
    dtype = np.float32 if raw.undecoded else raw.train.features.dtype
    if raw.undecoded is not None:
        from dnnrun.data.settle import learn

        learned = learn(raw, chosen, preprocessing, columns)
        columns, told = learned.columns, (learned.notes, learned.warnings)
        fingerprint = hashlib.sha256(json.dumps([fingerprint, columns.to_json()]).encode()).hexdigest()
    rows, width = sum(map(len, chosen.values())), columns.width if columns else raw.train.features.shape[1]
    out = InMemory(rows, width, dtype) if room is None else OnDisk(room, rows, width, dtype)
    digest = hashlib.sha256(json.dumps([fingerprint, classes, width]).encode())
    if raw.task != "classification":
        digest.update(json.dumps([raw.task, raw.targets]).encode())
    weights = None if raw.train.weights is None else np.ones(rows, np.float32)
    splits, start = {}, 0
    for split in SPLITS:
        stop = start + len(chosen[split])
        digest.update(f"{split} {start} {stop}\n".encode())
        digest.update(chosen[split].astype("<i8"))
        if split in labels:
            digest.update(labels[split].astype("<i4" if raw.task == "classification" else "<f4").tobytes())
        if stop == start:
            continue
        source = raw.test if split == "test" and raw.test else raw.train
        if weights is not None and source.weights is not None:
            weights[start:stop] = source.weights[chosen[split]]
        splits[split], start = (start, stop), stop
    if columns is not None:
        from dnnrun.data.settle import encode

        encode(raw, chosen, splits, columns, out, drain)
    elif isinstance(out, InMemory):
        for split, (start, stop) in splits.items():
            source = raw.test if split == "test" and raw.test else raw.train
            np.take(source.features, chosen[split], axis=0, out=out.array[start:stop], mode="clip")
    else:
        _put(raw, chosen, splits, out)
    joined = np.concatenate([labels[split] for split in SPLITS if split in labels])
    joined = joined.astype(np.int32 if raw.task == "classification" else np.float32, copy=False)
    if weights is not None:
        digest.update(weights.astype("<f4").tobytes())
    beyond = len(raw.train.labels) if raw.test else 0
    origin = np.concatenate([chosen[split] + beyond * (split == "test") for split in SPLITS]).astype(np.int64)
    found = digest.hexdigest()
    return Dataset(
        out.done(), joined, splits, classes, raw.image, raw.largest, found, origin, fingerprint,
        raw.task, raw.targets, weights, columns, *told,
    )  # fmt: skip


def _put(raw: Raw, chosen: dict[str, Any], splits: Mapping[str, tuple[int, int]], out: OnDisk) -> None:
    """Put the chosen rows of arrays at their places, read from the first to the last."""
    import numpy as np

    from dnnrun.data.room import release
    from dnnrun.data.settle import placed

    for source, places in placed(raw, chosen, splits):
        size = max(1, CELLS // source.features.shape[1])
        for start in range(0, len(places), size):
            there = places[start : start + size]
            kept = np.flatnonzero(there >= 0)
            if len(kept):
                out.put(there[kept], source.features[start : start + size][kept])
                release(source.features)


def class_numbers(names: tuple[str, ...], wanted: tuple[int | str, ...]) -> list[int]:
    """The labels of the classes `wanted`, in that order.

    A class is meant by its name, written as text or, where it is a number, as one; where no name is a number, a
    number is a label. Raises DataError for a class that is not there or stands twice.
    """
    numeric = any(name.lstrip("-").isdecimal() for name in names)
    result = []
    for item in wanted:
        if isinstance(item, int) and not numeric and 0 <= item < len(names):
            number = item
        elif str(item) in names:
            number = names.index(str(item))
        else:
            raise DataError(f"data.classes: there is no class {item!r}; there are {', '.join(names)}")
        if number in result:
            raise DataError(f"data.classes: {names[number]!r} stands there twice; name each class once")
        result.append(number)
    return result


def _thin(
    split: str, labels: np.ndarray, classes: tuple[str, ...], limit: int | None, per_class: int | None
) -> np.ndarray | slice:
    """Which of a split's rows stay, in their order."""
    import numpy as np

    from dnnrun.data.split import ranks

    if per_class is None:
        return slice(limit)
    for name, count in zip(classes, np.bincount(labels, minlength=len(classes)), strict=True):
        if count < per_class:
            raise DataError(
                f"data.per_class wants {per_class:,} {split} rows of class {name!r}, and there are {count:,}; "
                "take less, or another data.validation"
            )
    return np.flatnonzero(ranks(labels) < per_class)
