"""The `augment` section of `data`: what training changes at random in every row it takes, anew at every step."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dnnrun.component import Options
from dnnrun.errors import DataError

Image = tuple[int, int, int]
MOVES = ("shift", "flip")  # of pixels: only images have them


class Augment(Options):
    """Random changes of training rows. Evaluation takes rows as they are."""

    shift: int = Field(default=0, ge=0, description="every image is moved by up to this many pixels, each way")
    flip: Literal["horizontal", "vertical", "both"] | None = Field(
        default=None, description="half of the images are mirrored, left to right, upside down, or each of the two"
    )
    noise: float = Field(
        default=0.0, ge=0, description="standard deviation of normal noise on every value, in scaled units"
    )
    fill: Literal["black", "edge"] = Field(
        default="black", description="what comes in from outside as an image is moved: black, or its outermost pixels"
    )

    @model_validator(mode="after")
    def _something(self) -> Augment:
        if not self.shift and self.flip is None and not self.noise:
            raise ValueError("nothing to change; wanted shift, flip or noise, as {shift: 2}, or no augment at all")
        if self.fill != "black" and not self.shift:
            raise ValueError("fill is of what a shift lets in, and there is no shift; leave it out, or add one")
        return self

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return bool(self.shift) or self.flip is not None

    def check(self, image: Image | None) -> None:
        """Raise DataError where rows that are `image` (height, width, channels), None for a table, cannot be so."""
        if image is None:
            for name in MOVES:
                if getattr(self, name):
                    raise DataError(
                        f"data.augment.{name}: wants images, and this data is a table; leave it out (noise is for "
                        "tables too)"
                    )
        elif self.shift >= min(image[:2]):
            raise DataError(
                f"data.augment.shift: {self.shift} pixels move an image of {image[0]} x {image[1]} out of sight; "
                f"take less than {min(image[:2])}"
            )
