"""Sources of data: one class each, reading its rows into memory as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dnnrun.component import Component

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Rows:
    """The rows of one split: features of shape (rows, width), uint8 or float32; labels of shape (rows,), int32."""

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Raw:
    """What a source read, before any selection.

    `image` is (height, width, channels) or None for a table; `largest` the largest value a pixel can have; `classes`
    the names of labels 0, 1, ... as the source writes them; `fingerprint` a hex digest of the content.
    """

    train: Rows
    test: Rows | None
    classes: tuple[str, ...]
    image: tuple[int, int, int] | None
    largest: float
    fingerprint: str


@dataclass(frozen=True)
class Places:
    """Where files are looked for, in this order, and where downloads are kept (`cache`).

    `progress` is called with (file name, bytes done, bytes in all or None) while a file is downloaded.
    """

    folders: tuple[Path, ...] = ()
    cache: Path | None = None
    progress: Callable[[str, int, int | None], None] | None = None


class Source(Component):
    """Where the rows come from."""

    family: ClassVar[str] = "datasets"
    home: ClassVar[str] = "dnnrun.data.source"

    def read(self, places: Places) -> Raw:
        """The rows, whole. Raises DataError for missing, damaged or unusable data."""
        raise TypeError(f"{type(self).__name__} does not say how it reads")
