"""The rows of a run: what every part of it that looks at data is handed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dnnrun.data.source import Rows, TaskName
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from dnnrun.data.table.columns import Columns

SPLITS = ("train", "validation", "test")


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
