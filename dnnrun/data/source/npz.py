"""NumPy's .npz files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from dnnrun.data.source import Places, Raw, Source

if TYPE_CHECKING:
    from dnnrun.data.arrays import Part

Files = str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
Side = Annotated[int, Field(gt=0)]
ImageSize = Annotated[tuple[Side, ...], Field(strict=False, min_length=3, max_length=3)]

IMAGE = "height, width and channels of an image that is a row; unset: as the shape of the features says"
LARGEST = (
    "the largest value a pixel can have; unset: of bytes 255, where any is more than 1; else 1, 255, 65535 by values"
)


class Npz(Source):
    """Arrays in a .npz file, as numpy.savez writes it.

    Features are rows x features, or images as rows x height x width (x channels). Labels are classes, as whole numbers
    or texts, one a row; or numbers with fractions, one or several a row. Several files are one after the other.
    """

    type: Literal["npz"] = "npz"
    path: Files = Field(description="the file, a pattern (`part-*.npz`), or a list of them")
    features: str = Field(default="x", description="the name of the array of features")
    labels: str = Field(default="y", description="the name of the array of labels")
    test: Files | None = Field(
        default=None, description="files of the test rows, their arrays named as those of `path`"
    )
    test_features: str | None = Field(default=None, description="the array of test features, in `test` or in `path`")
    test_labels: str | None = Field(default=None, description="the array of test labels, in `test` or in `path`")
    validation_features: str | None = Field(default=None, description="the array of validation features, in `path`")
    validation_labels: str | None = Field(default=None, description="the array of validation labels, in `path`")
    image: ImageSize | None = Field(default=None, description=IMAGE)
    largest: float | None = Field(default=None, gt=0, description=LARGEST)

    @model_validator(mode="after")
    def _both(self) -> Npz:
        if (self.test_features is None) != (self.test_labels is None):
            raise ValueError("test_features and test_labels belong together; name both arrays, or neither")
        if (self.validation_features is None) != (self.validation_labels is None):
            raise ValueError("validation_features and validation_labels belong together; name both arrays, or neither")
        return self

    def read(self, places: Places) -> Raw:
        """Features as uint8 or float32. Raises DataError where a file, an array or its shape is not what is wanted."""
        from dnnrun.data.arrays import raw_of
        from dnnrun.data.finding import find_all

        files = find_all(self.path, places)
        parts = {"train": self._part(files, self.features, self.labels, places)}
        if self.test is not None or self.test_features is not None:
            others = files if self.test is None else find_all(self.test, places)
            names = self.test_features or self.features, self.test_labels or self.labels
            parts["test"] = self._part(others, *names, places)
        if self.validation_features is not None and self.validation_labels is not None:
            parts["validation"] = self._part(files, self.validation_features, self.validation_labels, places)
        return raw_of(parts, self.image, self.largest)

    def _part(self, files: list[Path], features: str, labels: str, places: Places) -> Part:
        from dnnrun.data.npy import NUMBERS, TEXTS, Archive
        from dnnrun.data.parts import part_of

        archives = [Archive(path) for path in files]
        rows = [archive.read(features, NUMBERS, places.room) for archive in archives]
        told = [archive.read(labels, TEXTS) for archive in archives]
        wheres = [[f"{path}: {name}" for path in files] for name in (features, labels)]
        return part_of(rows, told, wheres, self.labels)
