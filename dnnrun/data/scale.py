"""Scaling of features: fitted on the training rows alone, kept with the weights, applied on any device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from dnnrun.data.dataset import Dataset
from dnnrun.data.section import Divide
from dnnrun.data.stacked import pieces
from dnnrun.errors import CheckpointError, DataError

Kind = Literal["none", "unit", "standardize"]
Array = TypeVar("Array")
CELLS = 1 << 20  # turned into float64 in one go: 8 MB


@dataclass(frozen=True)
class Scaling:
    """x -> (x - offset) * factor, in float32.

    `none` leaves x; `unit` divides by `divide_by`, the largest value a pixel can have; `standardize` takes the `mean`
    and the population `std` of each column, with a std of 0 for a constant column, which becomes 0.
    """

    type: Kind = "none"
    divide_by: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def offset_factor(self) -> tuple[np.float32 | np.ndarray, np.float32 | np.ndarray]:
        """Two float32 scalars, or for `standardize` two float32 arrays of shape (width,)."""
        if self.type != "standardize":
            return np.float32(0), np.float32(1 / self.divide_by)
        std = np.asarray(self.std, np.float64)
        with np.errstate(divide="ignore", over="ignore"):
            factor = (1 / std).astype(np.float32)
        return np.asarray(self.mean, np.float32), np.where(np.isfinite(factor), factor, np.float32(0))

    def apply(self, x: Array) -> Array:
        """Scaled x as float32, of the same shape (..., width); a NumPy array gives one, a JAX array another."""
        offset, factor = self.offset_factor()
        values: Any = x
        return (values.astype("float32") - offset) * factor

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads: only what the type needs."""
        if self.type == "unit":
            return {"type": "unit", "divide_by": self.divide_by}
        if self.type == "standardize":
            return {"type": "standardize", "mean": list(self.mean), "std": list(self.std)}
        return {"type": self.type}

    @classmethod
    def from_json(cls, value: Any) -> Scaling:
        """The scaling that `to_json` wrote. Raises CheckpointError where it is none."""
        kind = value.get("type") if isinstance(value, Mapping) else None
        if kind == "columns":  # what dnnrun.data.table.columns makes of a table is scaled already
            return cls("none")
        fields = {"none": (), "unit": ("divide_by",), "standardize": ("mean", "std")}
        if not isinstance(kind, str) or kind not in fields or set(value) != {"type", *fields[kind]}:
            raise CheckpointError(f"its scaling is {_short(value)}, wanted one of {', '.join(get_args(Kind))}")
        if kind == "unit" and _number(value["divide_by"]) and value["divide_by"] > 0:
            return cls("unit", divide_by=value["divide_by"])
        if kind == "standardize":
            mean, std = value["mean"], value["std"]
            lists = isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) > 0
            if lists and all(map(_number, mean)) and all(_number(x) and x >= 0 for x in std):
                return cls("standardize", mean=tuple(mean), std=tuple(std))
        if kind == "none":
            return cls("none")
        raise CheckpointError(f"its scaling {_short(value)} has numbers that cannot be; the checkpoint is damaged")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def default_kind(image: tuple[int, int, int] | None) -> Kind:
    """What `data.scale` is where a spec does not say: unit for images, standardize for tables."""
    return "standardize" if image is None else "unit"


def fit(kind: Kind | Divide | None, dataset: Dataset) -> Scaling:
    """The scaling of that kind (None: the default) for the dataset's training rows. Raises DataError."""
    if dataset.columns is not None:
        if kind is not None:
            raise DataError(
                "data.scale: the columns of a table are scaled by data.preprocessing.numeric; leave scale out"
            )
        return Scaling("none")
    if isinstance(kind, Divide):
        return Scaling("unit", divide_by=kind.divide_by)
    kind = default_kind(dataset.image) if kind is None else kind
    if kind == "none":
        return Scaling("none")
    if kind == "unit":
        if dataset.image is None or not dataset.largest > 0:
            raise DataError(
                "data.scale: unit divides by the largest value of a pixel, and this data is a table; use standardize"
            )
        return Scaling("unit", divide_by=dataset.largest)
    mean, std = _moments(dataset.rows("train").features)
    return Scaling("standardize", mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation (float64, (width,)) of (rows, width); exactly 0 for a constant column.

    Two passes over pieces of the rows, so that squares never cancel and no float copy of the whole is made.
    """
    rows, width = features.shape
    total, squares = np.zeros(width), np.zeros(width)
    constant = np.ones(width, bool)
    for _, piece in pieces(features, CELLS):
        total += piece.sum(0, dtype=np.float64)
        constant &= (piece == features[0]).all(0)
    mean = total / rows
    for _, piece in pieces(features, CELLS):
        away = piece - mean
        squares += np.einsum("ij,ij->j", away, away)
    mean = np.where(constant, features[0], mean)
    return mean, np.where(constant, 0.0, np.sqrt(squares / rows))
