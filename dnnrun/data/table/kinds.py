"""What a column holds: numbers, false and true, dates, or categories; told by its type, and of text by its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dnnrun.data.table.dates import GUESSED, Orders, as_dates, wanted
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import polars

Kind = Literal["number", "boolean", "date", "category"]

BOOLEANS = ({"true", "false"}, {"True", "False"}, {"TRUE", "FALSE"})
FINE = 1e-3  # of a column's deviation: what a value may be off by where float32 is to do
MOSTLY = 0.9  # of a column's values: if so many are numbers, the others are mistakes
COMMA = r"^\s*([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)\s*$"  # a number with a decimal comma
MANY = 10  # different numbers in such a column; codes like 1, 2, A are categories


def kind_of(dtype: Any) -> Kind:
    """What a typed column holds."""
    import polars as pl

    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "number"
    if dtype.is_temporal():
        return "date"
    return "category"


def numbers(frame: polars.DataFrame, names: Sequence[str]) -> polars.DataFrame:
    """These columns as float64: a date as days since 1970 (UTC), a duration in days, false and true as 0 and 1, NaN as
    missing."""
    import polars as pl

    schema = frame.schema

    def number(name: str) -> polars.Expr:
        dtype, column = schema[name], pl.col(name)
        if dtype == pl.Datetime:
            return column.dt.epoch("us").cast(pl.Float64) / 86_400e6
        if dtype == pl.Duration:
            return column.dt.total_microseconds().cast(pl.Float64) / 86_400e6
        if dtype == pl.Time:
            return column.cast(pl.Int64).cast(pl.Float64) / 86_400e9
        if dtype.is_float():
            return column.cast(pl.Float64).fill_nan(None)
        return column.cast(pl.Float64)

    if all(schema[name].is_numeric() for name in names):  # many columns as one expression: a hundred times faster
        return frame.select(pl.col(names).cast(pl.Float64).fill_nan(None))
    return frame.select(number(name) for name in names)


def as_floats(frame: polars.DataFrame, names: Sequence[str]) -> np.ndarray:
    """These columns as `numbers` has them, (rows, columns); NaN where one is missing."""
    import numpy as np
    import polars as pl

    own = frame if list(names) == frame.columns else frame.select(names)
    if set(own.dtypes) <= {pl.Float32, pl.Int16}:
        return own.to_numpy(order="c").astype(np.float64)
    return numbers(own, names).to_numpy(order="c")


@dataclass(frozen=True)
class Known:
    """What is known of the columns of a file before its values are looked at.

    `types` says what columns hold where their values do not tell; `trained`: what they held in training. Dates of a
    column that `orders` has are read in that order; what is found of others is added. `decimal` stands before the
    fraction of a number in text.
    """

    types: Mapping[str, Kind] = field(default_factory=dict)
    orders: Orders = field(default_factory=dict)
    decimal: str = "."
    trained: bool = False


def typed(
    frame: polars.DataFrame, known: Known, where: str, kept: Sequence[str] = (), first: int = 0
) -> polars.DataFrame:
    """The frame with its columns of text as what they hold; `kept` stay as they are; `first` rows came before.

    Raises DataError for a value that is not what its column holds, with its row, and for columns of lists and the like.
    """
    import polars as pl

    found = []
    for series in frame.get_columns():
        kind, dtype = known.types.get(series.name), series.dtype
        if series.name in kept:
            found.append(series)
            continue
        if dtype in (pl.Categorical, pl.Enum):
            series = series.cast(pl.String)
        if dtype == pl.Null or (kind not in (None, kind_of(dtype)) and _is_nothing(series)):
            series = pl.Series(series.name, [None] * len(series), _DTYPES()[kind or "number"])
        if series.dtype == pl.String:
            series = series.str.strip_chars()
            series = series.set(series == "", None)
            series = read_text(series, kind, where, first, known)
        elif not (series.dtype.is_numeric() or series.dtype.is_temporal() or series.dtype == pl.Boolean):
            raise DataError(
                f"{where}: the column {series.name!r} holds {dtype}, wanted numbers, text, dates, or true and false"
                + ("" if known.trained else f"; leave it out with data.source.ignore: [{series.name}]")
            )
        elif kind == "category":  # codes of training may have lost their wholeness: that is seen to later
            series = series if known.trained and series.dtype.is_numeric() else series.cast(pl.String)
        else:
            _check_kind(series, kind, where, first, known.trained)
        found.append(series)
    return pl.DataFrame(found)


def _check_kind(series: polars.Series, kind: Kind | None, where: str, first: int, trained: bool) -> None:
    """Raises DataError where a column that is no text does not hold what it should, `kind`."""
    found = kind_of(series.dtype)
    if kind in (None, found) or (kind, found) == ("number", "boolean"):
        return
    if (kind, found) != ("boolean", "number"):
        because = f"it was of kind {kind} in training" if trained else f"data.source.types wants {kind}"
        raise DataError(f"{where}: the column {series.name!r} holds {series.dtype}, and {because}; correct it")
    values = series.fill_nan(None) if series.dtype.is_float() else series
    if (wrong := (values != 0) & (values != 1)).any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{where}: row {first + row + 1:,}, column {series.name!r}: {series[row]} is neither true nor "
            "false (1, 0); correct it"
        )


def _is_nothing(series: polars.Series) -> bool:
    """Whether every value is missing, whatever the type they are missing of."""
    there = series.drop_nulls()
    return not len(there.drop_nans() if series.dtype.is_float() else there)


def has_commas(series: polars.Series) -> bool:
    """Whether a column of text holds numbers with a decimal comma, and not whole ones whose thousands it divides."""
    import polars as pl

    if series.dtype != pl.String:
        return False
    there = series.drop_nulls().str.strip_chars()
    commas = there.str.contains(COMMA)
    if not commas.any() or there.filter(commas).str.contains(r",\d{3}$").all():
        return False
    return with_point(there, ",").cast(pl.Float64, strict=False).null_count() == 0


def with_point(series: polars.Series, decimal: str) -> polars.Series:
    """A column of text, its numbers written with a point."""
    return series.str.replace(COMMA, "${1}.${2}") if decimal == "," else series


def read_text(series: polars.Series, kind: Kind | None, where: str, first: int, known: Known) -> polars.Series:
    """A column of text as what it holds, or as `kind`. Raises DataError for values that do not fit, with the row."""
    import polars as pl

    if kind == "category":
        return series
    there = series.drop_nulls()
    if not len(there):
        return series.cast(pl.Float64) if kind is None else series.cast(_DTYPES()[kind], strict=False)
    if kind in (None, "boolean"):
        distinct = there.unique()
        words = set(distinct.head(5))
        if len(distinct) <= 2 and any(words <= pair for pair in BOOLEANS):
            return series.str.to_lowercase() == "true"
        if kind == "boolean":
            return _as_boolean(series, where, first)
    if kind in (None, "number"):
        values = with_point(series, known.decimal).cast(pl.Float64, strict=False)
        wrong = series.is_not_null() & values.is_null()
        bad = int(wrong.sum())
        if bad == 0:
            return values
        good = len(there) - bad
        if kind == "number" or (good >= MOSTLY * len(there) and values.n_unique() > MANY):
            row = int(wrong.arg_true()[0])
            told = f"{where}: row {first + row + 1:,}, column {series.name!r}: {series[row]!r} is no number"
            if kind == "number":
                raise DataError(f"{told}, and the column holds numbers; correct it, or leave it empty")
            raise DataError(
                f"{told}, and {good:,} of {len(there):,} values of that column are; correct it, name it in "
                f"data.source.null if it stands for a missing value, or say data.source.types: "
                f"{{{series.name}: category}}"
            )
    if kind in (None, "date"):
        orders = (known.orders[series.name],) if series.name in known.orders else GUESSED
        if (dates := as_dates(series, orders)) is not None:
            found, order = dates
            if order is not None:
                known.orders[series.name] = order
            return found
    if kind == "date":
        raise DataError(
            f"{where}: the column {series.name!r} holds {there[0]!r}, and not all its values are dates of one form; "
            f"{wanted(series.name, known.orders)}"
        )
    return series


def _DTYPES() -> dict[Kind, Any]:
    import polars as pl

    return {"number": pl.Float64, "boolean": pl.Boolean, "date": pl.Date, "category": pl.String}


def _as_boolean(series: polars.Series, where: str, first: int) -> polars.Series:
    """false and true from text of two values that say so."""
    import polars as pl

    table = {"true": True, "yes": True, "y": True, "t": True, "1": True}
    table |= {"false": False, "no": False, "n": False, "f": False, "0": False}
    values = series.str.to_lowercase().replace_strict(table, default=None, return_dtype=pl.Boolean)
    wrong = series.is_not_null() & values.is_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{where}: row {first + row + 1:,}, column {series.name!r}: {series[row]!r} is neither true nor "
            "false (yes, no, 1, 0); correct it"
        )
    return values


def is_plain(dtype: Any) -> bool:
    """Whether values of this type of polars are text, numbers, dates or truth values: no lists, bytes, durations."""
    import polars as pl

    return not (dtype.is_nested() or dtype in (pl.Binary, pl.Duration, pl.Object))


def infinite(where: str, row: int, column: str, value: float) -> DataError:
    """What to say of a number that is infinite, or becomes so in the type that it is kept in; `row` 0 is the first."""
    said = f"{where}: " if where else ""
    told = f"{said}row {row + 1:,}, column {column!r}: {value:g} is infinite or too large"
    return DataError(f"{told}; correct it, or leave it empty")


def near(name: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant."""
    import difflib

    alike = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), alike, 1)
    return alike[found[0]] if found else None


def listed(names: Sequence[str]) -> str:
    """The names, the first twenty of many."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
