"""Which rows are used: split first, then `classes`, then `limit` or `per_class`. Pure functions of their arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, StrictStr, model_validator

from dnnrun.component import Options, not_together
from dnnrun.data.dataset import SPLITS, Dataset
from dnnrun.data.source import Raw, TaskName
from dnnrun.data.table.options import Preprocessing
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from dnnrun.data.room import Room
    from dnnrun.data.table.columns import Columns

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

    from dnnrun.data.arrange import arrange
    from dnnrun.data.check import check
    from dnnrun.data.settle import divide, settle
    from dnnrun.data.task import as_task

    raw = as_task(settle(raw, options.task, options.groups), options.task)
    check(raw)
    chosen = divide(raw, options, seed)
    old = dict.fromkeys(SPLITS, raw.train.labels) | ({"test": raw.test.labels} if raw.test else {})
    if raw.task != "classification":
        labels = _without_classes(raw, options, old, chosen)
        return arrange(raw, chosen, labels, (), options.preprocessing, columns, room, drain)
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
    counts = np.bincount(labels["train"], minlength=len(classes))
    if (counts > 0).sum() < 2:
        raise DataError(
            f"every training row is of class {classes[int(counts.argmax())]!r}, and there are {', '.join(classes)} in "
            "the data; give training rows of two or more"
        )
    found = arrange(raw, chosen, labels, classes, options.preprocessing, columns, room, drain)
    if counts.all():
        return found
    unknown = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
    told = f"no training row is of class {unknown}: rows of it cannot be told right; see to the splits"
    return replace(found, warnings=(*found.warnings, told))


def _without_classes(
    raw: Raw, options: Selection, labels: dict[str, Any], chosen: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The labels of each split of another task, once `chosen` is thinned."""
    for key, value in (("classes", options.classes), ("per_class", options.per_class)):
        if value is not None:
            raise DataError(f"data.{key}: the task is {raw.task}, which has no classes; leave {key} out, or use limit")
    chosen["train"] = chosen["train"][: options.limit]
    return {split: labels[split][rows] for split, rows in chosen.items() if len(rows)}


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
