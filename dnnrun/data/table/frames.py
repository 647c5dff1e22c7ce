"""Rows that are handed over in memory: data frames, columns by name, arrays; as a network of a table takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dnnrun.data.table.columns import Columns, Encoded
from dnnrun.data.table.kinds import typed
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import polars


def is_frame(x: Any) -> bool:
    """Whether it has columns with names: a frame of polars or pandas, or a mapping."""
    return isinstance(x, Mapping) or (hasattr(x, "columns") and hasattr(x, "shape"))


def as_frame(x: Any, columns: Columns) -> polars.DataFrame:
    """A frame of polars or pandas, a mapping of columns, or an array with a column for each of `columns`, in order.

    Raises DataError for what is none.
    """
    import numpy as np
    import polars as pl

    if isinstance(x, pl.DataFrame):
        return x
    try:
        if isinstance(x, Mapping):
            return pl.DataFrame({str(name): _column(values) for name, values in x.items()}, strict=False)
        if is_frame(x):
            names = [str(name) for name in x.columns]
            return pl.DataFrame({name: _column(x.iloc[:, at]) for at, name in enumerate(names)}, strict=False)
        array = np.asarray(x)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError(
            f"inputs that are no table ({str(error).splitlines()[0]}); wanted columns of one length"
        ) from None
    if array.ndim != 2 or array.shape[1] != len(columns.used):
        raise DataError(
            f"inputs of shape {list(array.shape)}; wanted a data frame or a mapping of columns by name, or "
            f"[rows, {len(columns.used)}] in the order of training: {', '.join(columns.names[:10])}"
            + (" ..." if len(columns.names) > 10 else "")
        )
    return pl.DataFrame({name: _column(array[:, at]) for at, name in enumerate(columns.names)}, strict=False)


def encode(frame: polars.DataFrame, columns: Columns, where: str, first: int = 0) -> Encoded:
    """The rows of a frame as the network takes them; columns that training has not seen are not looked at.

    Raises DataError for columns that are missing and values that do not fit; `first` rows came before these.
    """
    return columns.encode(fitting(frame, columns, where, first), where, first)


def fitting(frame: polars.DataFrame, columns: Columns, where: str, first: int = 0) -> polars.DataFrame:
    """The columns that the network was trained on, as they were typed then. Raises DataError."""
    columns.check_names(frame.columns, where)
    kinds: dict[str, Any] = {column.name: column.kind for column in columns.used}
    if list(columns.names) != frame.columns:
        frame = frame.select(columns.names)
    schema = frame.schema
    if all(schema[name].is_float() and kind == "number" for name, kind in kinds.items()):
        return frame
    return typed(frame, kinds, where, first=first)


def _column(values: Any) -> Any:
    """A column as polars takes it: what pandas writes for missing (NaN among text, NaT) as None."""
    import numpy as np

    if hasattr(values, "to_numpy") and not type(values).__module__.startswith("polars"):
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind == "O":
        return [None if value is None or value != value else value for value in values.tolist()]
    return values
