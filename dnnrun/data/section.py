"""The `data` section of a spec, which pretraining has one of its own of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dnnrun.component import Options
from dnnrun.data.augment import Augment
from dnnrun.data.select import Selection
from dnnrun.data.source import Source


class Divide(Options):
    """Scaling by a number of one's own."""

    divide_by: float = Field(gt=0, description="every value is divided by it")


class Data(Selection):
    """Which rows the network learns from."""

    source: Source
    scale: Literal["none", "unit", "standardize"] | Divide | None = Field(
        default=None, description="unset: unit for images, standardize for tables"
    )
    stream: int | None = Field(
        default=None,
        gt=0,
        description="rows on the device at a time, in whole batches, the others on disk; unset: all rows",
    )
    augment: Augment | None = Field(default=None, description="what training changes at random in every row it takes")
