"""What a column holds: numbers, false and true, dates, or categories; told by its type, and of text by its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import polars

Kind = Literal["number", "boolean", "date", "category"]

# Dates as they are commonly written; the day comes before the month unless no such reading fits all values.
FORMATS = (
    "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y/%m/%d",
    "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M",
)  # fmt: skip
BOOLEANS = ({"true", "false"}, {"True", "False"}, {"TRUE", "FALSE"})
_PLURALS = {"number": "numbers", "boolean": "true and false", "date": "dates"}
MOSTLY = 0.9  # of a column's values: if so many are numbers, the others are mistakes
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


def typed(
    frame: polars.DataFrame, types: Mapping[str, Kind], where: str, kept: Sequence[str] = (), first: int = 0
) -> polars.DataFrame:
    """The frame with its columns of text as what they hold; `kept` stay as they are; `first` rows came before.

    `types` says what columns hold where that is not to be told from their content. Raises DataError for a value that
    is not what its column holds, with its row, and for columns of lists and the like.
    """
    import polars as pl

    found = []
    for series in frame.get_columns():
        kind, dtype = types.get(series.name), series.dtype
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
            series = read_text(series, kind, where, first)
        elif not (series.dtype.is_numeric() or series.dtype.is_temporal() or series.dtype == pl.Boolean):
            raise DataError(
                f"{where}: the column {series.name!r} holds {dtype}, wanted numbers, text, dates, or true and false; "
                f"leave it out with data.source.ignore: [{series.name}]"
            )
        elif kind == "category":
            series = series.cast(pl.String)
        elif kind not in (None, kind_of(series.dtype)) and {kind, kind_of(series.dtype)} != {"number", "boolean"}:
            raise DataError(
                f"{where}: the column {series.name!r} holds {dtype}, wanted {_PLURALS[kind]}, as data.source.types or "
                "the training rows have it; correct it"
            )
        elif kind == "boolean" and series.dtype.is_numeric():
            _want_zero_or_one(series, where, first)
        found.append(series)
    return pl.DataFrame(found)


def read_text(series: polars.Series, kind: Kind | None, where: str, first: int = 0) -> polars.Series:
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
        values = series.cast(pl.Float64, strict=False)
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
    if kind in (None, "date") and (dates := as_dates(series)) is not None:
        return dates
    if kind == "date":
        raise DataError(
            f"{where}: the column {series.name!r} holds {there[0]!r}, and not all its values are dates of one form; "
            "write them as 2024-12-31"
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


def _is_nothing(series: polars.Series) -> bool:
    """Whether every value is missing, whatever the type they are missing of."""
    there = series.drop_nulls()
    return not len(there.drop_nans() if series.dtype.is_float() else there)


def _want_zero_or_one(series: polars.Series, where: str, first: int) -> None:
    """Raises DataError for a number that is neither, with its row; missing ones may be there."""
    values = series.fill_nan(None) if series.dtype.is_float() else series
    if (wrong := ((values != 0) & (values != 1)).fill_null(False)).any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{where}: row {first + row + 1:,}, column {series.name!r}: {series[row]} is neither true nor false "
            "(1, 0); correct it"
        )


def as_dates(series: polars.Series) -> polars.Series | None:
    """A column of text that is not all missing as dates, None where no form of writing fits all values."""
    import polars as pl

    there = series.drop_nulls()
    if not there.head(1)[0][:1].isdigit():
        return None
    for form in FORMATS:
        if there.head(100).str.to_datetime(form, strict=False).null_count():
            continue
        dates = series.str.to_datetime(form, strict=False)
        if dates.null_count() == series.null_count():
            return dates if "%H" in form else dates.cast(pl.Date)
    return None


def near(name: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant."""
    import difflib

    alike = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), alike, 1)
    return alike[found[0]] if found else None


def listed(names: Sequence[str]) -> str:
    """The names, the first twenty of many."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
