"""Sources of data: one class each, reading its rows as NumPy arrays, in memory or, streamed, mapped from disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from dnnrun.component import Component

if TYPE_CHECKING:
    import numpy as np

    from dnnrun.data.room import Room

TaskName = Literal["classification", "multilabel", "regression"]


@dataclass(frozen=True)
class Rows:
    """The rows of one split: features of shape (rows, width), uint8 or float32, and what is to be told of them.

    labels: class numbers (rows,) int32; for regression targets (rows, targets) float32, in their own units, and for
    several labels a row 0 or 1, (rows, targets) float32. weights: (rows,) float32, how much each row counts in
    training; None where all count the same. Features that a source reads for a room are Stacked.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Undecoded:
    """What is known of a table whose columns are not numbers yet: its Rows hold Pieces.

    `where` and `where_test` name the files, `apart` gives the row numbers of `train` that validate or test, `test` the
    fraction of the others that is drawn to test. `unused` are columns that nothing is learned from, `categories` those
    that are categories however many there are. `groups` (rows,) says which group each row of `train` belongs to, where
    rows of a group must stay together; `groups_test` those of the test rows, -1 for other groups.
    """

    where: str
    where_test: str = ""
    apart: Mapping[str, np.ndarray] = field(default_factory=dict)
    test: float | None = None
    unused: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    groups_test: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Raw:
    """What a source read, before any selection.

    `image` is (height, width, channels) or None for a table; `largest` the largest value a pixel can have; `classes`
    the names of labels 0, 1, ... as the source writes them, () unless it is a classification; `targets` the names of
    the target columns of the other tasks; `fingerprint` a hex digest of the content, labels and weights too. Of a table
    that is `undecoded` the features are Pieces and the labels a data frame, until `settle` and `select`. The last
    `validation` rows of `train` are those that the source itself has to validate on. `apart` names the splits whose
    rows came in arrays or folders of their own, which may repeat training rows.
    """

    train: Rows
    test: Rows | None
    classes: tuple[str, ...]
    image: tuple[int, int, int] | None
    largest: float
    fingerprint: str
    task: TaskName = "classification"
    targets: tuple[str, ...] = ()
    undecoded: Undecoded | None = None
    validation: int = 0
    apart: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where files are looked for, in this order, and where downloads are kept (`cache`).

    `progress` is called with (file name, bytes done, bytes in all or None) while a file is downloaded, `reading` while
    a large one is read. `room` is where rows are kept that are not to be held in memory.
    """

    folders: tuple[Path, ...] = ()
    cache: Path | None = None
    progress: Callable[[str, int, int | None], None] | None = None
    reading: Callable[[str, int, int], None] | None = None
    room: Room | None = None


class Source(Component):
    """Where the rows come from."""

    family: ClassVar[str] = "datasets"
    home: ClassVar[str] = "dnnrun.data.source"
    task: ClassVar[TaskName | None] = None  # of sources that always have the same one

    def read(self, places: Places) -> Raw:
        """The rows, whole. Raises DataError for missing, damaged or unusable data."""
        raise TypeError(f"{type(self).__name__} does not say how it reads")
