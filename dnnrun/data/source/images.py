"""A folder of images, one folder a class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from dnnrun.data.source import Places, Raw, Source

if TYPE_CHECKING:
    from dnnrun.data.arrays import Part
    from dnnrun.data.image import Decoder, Like

Side = Annotated[int, Field(gt=0)]


class Images(Source):
    """A folder of images by class: PATH/CLASS/*.png, .jpg and others; or PATH/train/CLASS/, PATH/test/CLASS/.

    The classes are the folders, in alphabetical order; rows stand with their classes mixed in proportion. `validation/`
    (or `val/`) beside `train/` holds the rows to validate on.
    """

    type: Literal["images"] = "images"
    path: str = Field(description="the folder that holds a folder a class, or train/, validation/ and test/ of such")
    mode: Literal["grey", "rgb"] | None = Field(
        default=None, description="what every image is turned into; unset: as the first one, and no colour may be lost"
    )
    size: Annotated[tuple[Side, ...], Field(strict=False, min_length=2, max_length=2)] | None = Field(
        default=None, description="height and width that every image is brought to; unset: they must be of one size"
    )
    background: Literal["black", "white"] | None = Field(
        default=None, description="what shows through transparent pixels; unset: they are refused"
    )

    @model_validator(mode="after")
    def _not_too_large(self) -> Images:
        from dnnrun.data.image import most_pixels

        if self.size and math.prod(self.size) > (most := most_pixels()):
            height, width = self.size
            raise ValueError(f"size: {height:,} x {width:,} pixels, wanted at most {most:,} in all; take less")
        return self

    def read(self, places: Places) -> Raw:
        """Pixels as uint8, from 0 to 255. Raises DataError, with its path, for a file that is no readable image."""
        from dnnrun.data.arrays import raw_of
        from dnnrun.data.finding import find
        from dnnrun.data.folders import splits_of

        root = find(self.path, places)
        folders = splits_of(root)
        learned, like = self._part(folders["train"], places)
        parts = {
            split: learned if split == "train" else self._part(folder, places, like)[0]
            for split, folder in folders.items()
        }
        return raw_of(parts, None, 255.0)

    def decoder(self) -> Decoder:
        """How files become pixels."""
        from dnnrun.data.image import Decoder

        height, width = self.size or (0, 0)
        return Decoder(self.mode, (height, width) if self.size else None, self.background)

    def _part(self, folder: Path, places: Places, like: Like | None = None) -> tuple[Part, Like]:
        """The images of a split, and what the first one is, which those of the other splits are `like`."""
        from dnnrun.data.arrays import Part
        from dnnrun.data.folders import by_class, mixed
        from dnnrun.data.stacked import below

        found, decoder = mixed(by_class(folder)), self.decoder()
        count, reading = len(found.paths), places.reading
        told = None if reading is None else lambda done: reading(str(folder), done, count)
        assert found.classes is not None
        like = like or decoder.like(found.paths[0])
        pixels = below([decoder.read_all(found.paths, places.room, told, like)])
        return Part(pixels, found.classes, str(folder), str(folder)), like
