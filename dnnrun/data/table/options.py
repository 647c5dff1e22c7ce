"""How the columns of a table become numbers: the options of `data.preprocessing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dnnrun.component import Options

Scale = Literal["standardize", "min_max", "log", "none"]


class Constant(Options):
    """A value of one's own for what is missing."""

    constant: float = Field(description="what stands in for a missing number")


Missing = Literal["mean", "median"] | Constant


class ColumnOptions(Options):
    """The options of one column, over those of all."""

    numeric: Scale | None = Field(default=None, description="as preprocessing.numeric, for this column")
    missing: Missing | None = Field(default=None, description="as preprocessing.missing, for this column")
    indicator: bool | None = Field(default=None, description="as preprocessing.indicator, for this column")
    rare: int | None = Field(default=None, ge=0, description="as preprocessing.rare, for this column")
    most: int | None = Field(default=None, ge=1, description="as preprocessing.most, for this column")


class Preprocessing(Options):
    """How the columns of a table become numbers. All of it is learned from the training rows alone."""

    numeric: Scale = Field(
        default="standardize",
        description="numbers and dates: to mean 0 and deviation 1, to 0 ... 1, the logarithm standardized, or none",
    )
    missing: Missing = Field(
        default="median", description="what stands in for a missing number: mean, median, or {constant: x}"
    )
    indicator: bool = Field(
        default=True, description="a column that misses values while training gets another one, 1 where it does"
    )
    rare: int = Field(
        default=5, ge=0, description="categories of fewer training rows share one column, which unknown ones get too"
    )
    most: int = Field(default=100, ge=1, description="so many categories of a column at most, the most frequent ones")
    columns: Mapping[str, ColumnOptions] = Field(default_factory=dict, description="options of single columns by name")

    def of(self, name: str) -> ColumnOptions:
        """The options of a column, none unset."""
        own = self.columns.get(name, ColumnOptions())
        keys = ("numeric", "missing", "indicator", "rare", "most")
        whole = {key: getattr(self, key) if getattr(own, key) is None else getattr(own, key) for key in keys}
        return ColumnOptions.model_construct(**whole)
