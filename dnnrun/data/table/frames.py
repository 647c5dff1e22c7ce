"""Rows that are handed over in memory: data frames, columns by name, arrays; as a network of a table takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dnnrun.data.table.columns import Category, Columns, Encoded
from dnnrun.data.table.kinds import listed, typed
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import polars


def is_frame(x: Any) -> bool:
    """Whether it has columns with names: a frame of polars or pandas, or a mapping."""
    return isinstance(x, Mapping) or (hasattr(x, "columns") and (hasattr(x, "shape") or hasattr(x, "collect")))


def as_frame(x: Any, columns: Columns) -> polars.DataFrame:
    """A frame of polars or pandas, a mapping of columns, or an array with a column for each of `columns`, in order.

    Lazy frames are collected. Raises DataError for what is none.
    """
    import numpy as np
    import polars as pl

    if isinstance(x, pl.DataFrame | pl.LazyFrame):
        return x.lazy().collect()
    try:
        if isinstance(x, Mapping):
            return pl.DataFrame({str(name): _column(values) for name, values in x.items()}, strict=False)
        if is_frame(x):
            names = [str(name) for name in x.columns]
            if twice := {name: None for name in names if names.count(name) > 1}:
                raise DataError(f"the inputs: there are several columns {listed(list(twice))}; keep one of each")
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


def encode(frame: polars.DataFrame, columns: Columns, where: str, first: int = 0, decimal: str = ".") -> Encoded:
    """The rows of a frame as the network takes them; columns that training has not seen are not looked at.

    `decimal` stands before the fraction of a number in text. Raises DataError for columns that are missing and values
    that do not fit; `first` rows came before these.
    """
    return columns.encode(fitting(frame, columns, where, first, decimal), where, first)


def fitting(
    frame: polars.DataFrame, columns: Columns, where: str, first: int = 0, decimal: str = "."
) -> polars.DataFrame:
    """The columns that the network was trained on, as they were typed then. Raises DataError."""
    import polars as pl

    columns.check_names(frame.columns, where)
    known = columns.known(decimal)
    if list(columns.names) != frame.columns:
        frame = frame.select(columns.names)
    frame = frame.with_columns(
        frame[column.name].fill_nan(None).cast(pl.Int64)
        for column in columns.used
        if isinstance(column, Category) and _lost_wholeness(frame[column.name], column)
    )
    schema = frame.schema
    if all(schema[name].is_numeric() and kind == "number" for name, kind in known.types.items()):
        return frame
    return typed(frame, known, where, first=first)


def _lost_wholeness(series: polars.Series, column: Category) -> bool:
    """Whether codes that training knows as 3 stand there as 3.0, as pandas has them where one is missing."""
    if not series.dtype.is_float():
        return False
    there = series.drop_nulls().drop_nans()
    whole = bool((there == there.round()).all()) and bool((there.abs() < 2**53).all())
    return whole and not any(name.endswith(".0") for name in (*column.values, *column.rare))


def _column(values: Any) -> Any:
    """A column as polars takes it: what is missing in pandas (NaN among text, NaT, NA) as None, periods as dates."""
    import numpy as np

    missing = None
    if hasattr(values, "to_numpy") and not type(values).__module__.startswith("polars"):
        if hasattr(values, "dt") and hasattr(values.dt, "to_timestamp"):
            values = values.dt.to_timestamp()
        missing = values.isna().to_numpy() if hasattr(values, "isna") else None
        values = values.to_numpy()
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "O":
        if missing is None:
            return [None if value is None or value != value else value for value in values.tolist()]
        return [None if gone else value for value, gone in zip(values.tolist(), missing.tolist(), strict=True)]
    if values.dtype.kind in "mM" and np.datetime_data(values.dtype)[0] not in ("D", "ms", "us", "ns"):
        return values.astype(f"{values.dtype.kind}8[ms]")  # polars has no seconds, which pandas begins with
    return values
