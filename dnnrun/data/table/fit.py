"""Columns from the training rows: what a number is scaled by, what stands in for what is missing, which categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnrun.data.table.columns import Category, Column, Columns, Numeric
from dnnrun.data.table.kinds import kind_of, listed, near, numbers
from dnnrun.data.table.options import ColumnOptions, Constant, Preprocessing
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import polars

    from dnnrun.data.table.pieces import Pieces

TOGETHER = 64  # columns looked at in one go, so that no copy of a wide table is held
CELLS = 1 << 24  # of a table on disk, looked at in one go
DISTINCT = 1000  # a column of text with more different values than this is no category


@dataclass(frozen=True)
class Fitted:
    """The columns, and what there is to say of them."""

    columns: Columns
    notes: tuple[str, ...]


def fit(table: Pieces, rows: np.ndarray, options: Preprocessing, unused: Sequence[str]) -> Fitted:
    """The preprocessing of a typed table, learned from `rows` of it; constant and empty columns are left out, and said.

    `unused` are names beside those of the table. Raises DataError for text, for infinite numbers, for options of a
    column that is not there, and where no column is left.
    """
    _check_names(table.columns, options)
    used: list[Column] = []
    constant, empty = [], []
    together = TOGETHER if table.room is None else max(1, min(TOGETHER, CELLS // len(table)))
    for start in range(0, table.width, together):
        part = table.whole(table.columns[start : start + together], rows)
        for series, facts in zip(part.get_columns(), _facts(part), strict=True):
            column = _fit_column(series, facts, options.of(series.name))
            if column is None:
                (empty if facts["missing"] == len(rows) else constant).append(series.name)
            else:
                used.append(column)
    notes = [
        f"left out, as {what}: {listed(names)}"
        for what, names in (("no training row has a value", empty), ("it is the same in all training rows", constant))
        if names
    ]
    if not used:
        raise DataError(f"no column is left to learn from ({'; '.join(notes) or 'there is none beside the target'})")
    return Fitted(Columns(tuple(used), (*unused, *empty, *constant)), tuple(notes))


def _facts(part: polars.DataFrame) -> list[dict[str, Any]]:
    """Of each column: missing, and of numbers mean, deviation, min, max, median (where some are missing)."""
    import polars as pl

    numeric = [name for name, kind in part.schema.items() if kind_of(kind) != "category"]
    whole = numbers(part, numeric)
    of = {
        "mean": whole.select(pl.all().mean()),
        "deviation": whole.select(pl.all().std(ddof=0)),
        "min": whole.select(pl.all().min()),
        "max": whole.select(pl.all().max()),
    }
    found: list[dict[str, Any]] = []
    for series in part.get_columns():
        facts: dict[str, Any] = {"missing": series.null_count()}
        if series.name in whole.columns:
            facts["missing"] = whole[series.name].null_count()
            facts |= {what: values[series.name].item() for what, values in of.items()}
            if facts["missing"]:
                facts["median"] = whole[series.name].median()
        found.append(facts)
    return found


def _fit_column(series: polars.Series, facts: dict[str, Any], options: ColumnOptions) -> Column | None:
    kind = kind_of(series.dtype)
    if kind == "category":
        return _category(series, facts["missing"], options)
    if facts["missing"] == len(series):
        return None
    if not all(math.isfinite(facts[name]) for name in ("min", "max")):
        raise DataError(
            f"the column {series.name!r} holds {facts['min'] if math.isinf(facts['min']) else facts['max']:g}; "
            "correct it, or leave it empty"
        )
    indicator = bool(options.indicator) and facts["missing"] > 0
    if facts["min"] == facts["max"] and not indicator:
        return None
    return _numeric(series, facts, options, kind, indicator)


def _numeric(
    series: polars.Series, facts: dict[str, Any], options: ColumnOptions, kind: str, indicator: bool
) -> Numeric:
    assert options.numeric is not None
    fill = _fill(facts, options)
    scale = "none" if kind == "boolean" else options.numeric
    offset, factor = 0.0, 1.0
    if scale == "min_max":
        offset, factor = facts["min"], _over(facts["max"] - facts["min"])
    elif scale == "standardize":
        offset, factor = facts["mean"], _over(0.0 if facts["min"] == facts["max"] else facts["deviation"])
    elif scale == "log":
        plain = numbers(series.to_frame(), [series.name]).to_series()
        logs = plain.sign() * plain.abs().log1p()
        offset, factor = float(logs.mean()), _over(float(logs.std(ddof=0)))  # pyright: ignore[reportArgumentType]
    return Numeric(series.name, kind, scale, float(offset), factor, fill, indicator)


def _fill(facts: dict[str, Any], options: ColumnOptions) -> float:
    if isinstance(options.missing, Constant):
        return options.missing.constant
    if options.missing == "median" and "median" in facts:
        return float(facts["median"])
    return float(facts["mean"])


def _over(value: float) -> float:
    """One over it, 0 where that cannot be: a constant column stays 0."""
    return 1 / value if value > 0 and 1 / value < float("inf") else 0.0


def _category(series: polars.Series, missing: int, options: ColumnOptions) -> Category | None:
    """The categories in alphabetical order: the most frequent ones, and not the rare ones."""
    import polars as pl

    assert options.rare is not None
    assert options.most is not None
    counts = series.cast(pl.String).drop_nulls().value_counts()
    table = sorted(zip(counts.to_series(0), counts.to_series(1), strict=True), key=lambda pair: (-pair[1], pair[0]))
    if len(table) + bool(missing) < 2:
        return None
    kept = [name for name, count in table if count >= options.rare][: options.most]
    if not kept:  # all are rare: the most frequent ones are better than nothing
        kept = [name for name, _ in table[: options.most]]
    rare = {name for name, _ in table} - set(kept)
    return Category(series.name, tuple(sorted(kept)), tuple(sorted(rare)), missing > 0)


def _check_names(names: Sequence[str], options: Preprocessing) -> None:
    for name in options.columns:
        if name not in names:
            meant = near(name, names)
            hint = f"did you mean {meant!r}?" if meant else f"there are {listed(names)}"
            raise DataError(f"data.preprocessing.columns: there is no column {name!r}; {hint}")


def is_text(series: polars.Series) -> bool:
    """Whether a column holds too many different texts to be categories."""
    import polars as pl

    if series.dtype not in (pl.String, pl.Categorical):
        return False
    there, distinct = len(series) - series.null_count(), series.drop_nulls().n_unique()
    return distinct > DISTINCT or (there >= 50 and distinct > there / 2)


def _column(table: Pieces, name: str) -> polars.Series:
    return table.whole([name]).to_series()


def check_text(table: Pieces, categories: Sequence[str] = ()) -> None:
    """Raises DataError where a column, but for `categories`, holds text rather than categories."""
    found = []
    for name, dtype in table.schema.items():
        if name not in categories and kind_of(dtype) == "category" and is_text(series := _column(table, name)):
            found.append((name, series.drop_nulls().n_unique()))
    if found:
        several = len(found) > 1
        names = ", ".join(name for name, _ in found)
        told = ", ".join(f"{name!r} ({distinct:,} different values)" for name, distinct in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        one = found[0][0]
        raise DataError(
            f"the column{'s' * several} {told}{more} of {len(table):,} rows "
            f"{'hold' if several else 'holds'} text, which is not read; leave {'them' if several else 'it'} out with "
            f"data.source.ignore: [{names}], or take it as categories with data.source.types: {{{one}: category}}"
        )
