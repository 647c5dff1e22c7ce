"""NumPy's .npy files and IDX files: features in one, labels in another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from dnnrun.data.source import Places, Raw, Source
from dnnrun.data.source.npz import IMAGE, LARGEST, Files, ImageSize

if TYPE_CHECKING:
    import numpy as np

    from dnnrun.data.arrays import Part
    from dnnrun.data.room import Room


class _Paired(Source):
    """What sources with features and labels in files of their own have in common."""

    features: Files = Field(description="the file of features, a pattern (`x-*.npy`), or a list of them")
    labels: Files = Field(description="the file of labels, or as many as there are of features, in their order")
    test_features: Files | None = Field(default=None, description="the file or files of test features")
    test_labels: Files | None = Field(default=None, description="the file or files of test labels")
    validation_features: Files | None = Field(default=None, description="the file or files of validation features")
    validation_labels: Files | None = Field(default=None, description="the file or files of validation labels")
    image: ImageSize | None = Field(default=None, description=IMAGE)
    largest: float | None = Field(default=None, gt=0, description=LARGEST)

    @model_validator(mode="after")
    def _both(self) -> Any:
        if (self.test_features is None) != (self.test_labels is None):
            raise ValueError("test_features and test_labels belong together; name both files, or neither")
        if (self.validation_features is None) != (self.validation_labels is None):
            raise ValueError("validation_features and validation_labels belong together; name both files, or neither")
        return self

    def read(self, places: Places) -> Raw:
        """Features as uint8 or float32. Raises DataError where a file or its shape is not what is wanted."""
        from dnnrun.data.arrays import raw_of

        parts = {"train": self._part(self.features, self.labels, places)}
        if self.test_features is not None and self.test_labels is not None:
            parts["test"] = self._part(self.test_features, self.test_labels, places)
        if self.validation_features is not None and self.validation_labels is not None:
            parts["validation"] = self._part(self.validation_features, self.validation_labels, places)
        return raw_of(parts, self.image, self.largest)

    def _part(self, features: Files, labels: Files, places: Places) -> Part:
        from dnnrun.data.finding import find_all
        from dnnrun.data.npy import NUMBERS, TEXTS
        from dnnrun.data.parts import part_of

        files = find_all(features, places), find_all(labels, places)
        rows = [self._array(path, NUMBERS, places.room) for path in files[0]]
        told = [self._array(path, TEXTS, None) for path in files[1]]
        return part_of(rows, told, [list(map(str, paths)) for paths in files])

    def _array(self, path: Path, kinds: str, room: Room | None) -> np.ndarray:
        """What a file holds, mapped from disk where there is a room."""
        raise TypeError(f"{type(self).__name__} does not say how it reads a file")


class Npy(_Paired):
    """Arrays in .npy files, as numpy.save writes them: features in one file, labels in another.

    Features are rows x features, or images as rows x height x width (x channels). Labels are classes, as whole numbers
    or texts, one a row; or numbers with fractions, one or several a row. Several files are one after the other.
    """

    type: Literal["npy"] = "npy"

    def _array(self, path: Path, kinds: str, room: Room | None) -> np.ndarray:
        from dnnrun.data.npy import read_npy

        return read_npy(path, kinds, mapped=room is not None)


class Idx(_Paired):
    """Your own IDX files, plain or gzip: features in one file, labels in another.

    The format of MNIST: `features` are rows x height x width, or rows x features; `labels` one whole number a row.
    """

    type: Literal["idx"] = "idx"

    def _array(self, path: Path, kinds: str, room: Room | None) -> np.ndarray:
        import psutil

        from dnnrun.data.idx import mapped, read

        return read(path, largest=psutil.virtual_memory().available)[0] if room is None else mapped(path, room)
