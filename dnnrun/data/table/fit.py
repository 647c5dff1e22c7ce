"""Columns from the training rows: what a number is scaled by, what stands in for what is missing, which categories."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dnnrun.data.table.columns import Category, Column, Columns, Numeric
from dnnrun.data.table.dates import either_way
from dnnrun.data.table.kinds import as_floats, has_commas, infinite, kind_of, listed, near, numbers
from dnnrun.data.table.options import ColumnOptions, Constant, Preprocessing
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import polars

    from dnnrun.data.table.pieces import Pieces

BLOCK = 2048  # rows looked at in one go
EMPTY, SAME = "no training row has a value", "it is the same in all training rows"
DISTINCT = 1000  # a column of text with more different values than this is no category


Values = Callable[[], "polars.Series"]


@dataclass(frozen=True)
class Fitted:
    """The columns, and what there is to say of them."""

    columns: Columns
    notes: tuple[str, ...]


def fit(table: Pieces, rows: np.ndarray, options: Preprocessing, unused: Sequence[str], where: str) -> Fitted:
    """The preprocessing of a typed table, learned from `rows` of it; constant and empty columns are left out, and said.

    `unused` are names beside those of the table, `where` names its file. Raises DataError for text, for infinite
    numbers, for options of a column that is not there, and where no column is left.
    """
    import numpy as np

    _check_names(table.columns, options)
    learned = np.zeros(len(table), bool)
    learned[rows] = True
    facts = _facts(table, learned)
    _refuse_infinite(table, learned, facts, where)
    used: list[Column] = []
    constant, empty, doubtful = [], [], []
    for name in table.columns:

        def values(name: str = name) -> polars.Series:
            return table.whole([name], learned).to_series().rechunk()

        column = _fit_column(name, kind_of(table.schema[name]), values, facts.get(name), len(rows), options.of(name))
        order = table.orders.get(name)
        if isinstance(column, Numeric) and order is not None:
            column = replace(column, order=order)
            if either_way(table.whole([name]).to_series()):
                doubtful.append(name)
        if isinstance(column, str):
            (empty if column == EMPTY else constant).append(name)
        else:
            used.append(column)
    notes = [f"left out, as {what}: {listed(names)}" for what, names in ((EMPTY, empty), (SAME, constant)) if names]
    if doubtful:
        notes.append(f"dates read as day/month/year, though month/day/year fits them too: {listed(doubtful)}")
    if not used:
        raise DataError(f"no column is left to learn from ({'; '.join(notes) or 'there is none beside the target'})")
    return Fitted(Columns(tuple(used), (*unused, *empty, *constant)), tuple(notes))


@dataclass(frozen=True)
class Facts:
    """Of a column of numbers: how many values are missing, and what the others come to."""

    missing: int
    mean: float
    deviation: float
    least: float
    most: float


def _facts(table: Pieces, learned: np.ndarray) -> dict[str, Facts]:
    """Of each column of numbers, over the rows `learned`; the same however the table lies in pieces.

    Means and deviations of blocks of rows are put together as by Chan, Golub and LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances" (1979).
    """
    import numpy as np

    names = [name for name, dtype in table.schema.items() if kind_of(dtype) != "category"]
    if not names:
        return {}
    count, mean, squares = (np.zeros(len(names)) for _ in range(3))
    least, most = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for first, frame in table.blocks(names, BLOCK):
        mine = learned[first : first + len(frame)]
        x = as_floats(frame, names)
        x = x if mine.all() else x[mine]
        if not len(x):
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            there = np.full(len(names), len(x), np.float64)
            total, low, high = x.sum(0), x.min(0), x.max(0)
            if np.isnan(total).any():
                absent = np.isnan(x)
                there -= absent.sum(0)
                low, high = np.where(absent, np.inf, x).min(0), np.where(absent, -np.inf, x).max(0)
                total = np.where(absent, 0, x).sum(0)
            own = total / np.maximum(there, 1)
            away = x - own
            if (there < len(x)).any():
                away = np.where(np.isnan(x), 0, away)
            both = np.maximum(count + there, 1)
            step = own - mean
            squares += np.einsum("ij,ij->j", away, away) + step * step * count * there / both
            mean += step * there / both
        count += there
        least, most = np.minimum(least, low), np.maximum(most, high)
    deviation = np.sqrt(squares / np.maximum(count, 1))
    missing = (int(learned.sum()) - count).astype(int)
    told = zip(missing, mean, deviation, least, most, strict=True)
    return {name: Facts(int(one[0]), *map(float, one[1:])) for name, one in zip(names, told, strict=True)}


def _refuse_infinite(table: Pieces, learned: np.ndarray, facts: Mapping[str, Facts], where: str) -> None:
    """Raise DataError for a training row that holds an infinite number, or one too large for its column's type."""
    import numpy as np

    for name, known in facts.items():
        if known.missing == int(learned.sum()) or (math.isfinite(known.least) and math.isfinite(known.most)):
            continue
        values = as_floats(table.whole([name]), [name])[:, 0]
        row = int(np.flatnonzero(np.isinf(values) & learned)[0])
        raise infinite(where, row, name, float(values[row]))


def _fit_column(
    name: str, kind: str, values: Values, facts: Facts | None, rows: int, options: ColumnOptions
) -> Column | str:
    """The column, or why it is none: EMPTY or SAME."""
    if facts is None:
        series = values()
        missing = series.null_count()
        return _category(series, missing, options) or (EMPTY if missing == rows else SAME)
    if facts.missing == rows:
        return EMPTY
    indicator = bool(options.indicator) and facts.missing > 0
    if facts.least == facts.most and not indicator:
        return SAME
    return _numeric(name, values, facts, options, kind, indicator)


def _numeric(name: str, values: Values, facts: Facts, options: ColumnOptions, kind: str, indicator: bool) -> Numeric:
    assert options.numeric is not None
    fill = _fill(values, facts, options)
    scale = "none" if kind == "boolean" else options.numeric
    offset, factor = 0.0, 1.0
    if scale == "min_max":
        offset, factor = facts.least, _over(facts.most - facts.least)
    elif scale == "standardize":
        offset, factor = facts.mean, _over(0.0 if facts.least == facts.most else facts.deviation)
    elif scale == "log":
        plain = _plain(values())
        logs = plain.sign() * plain.abs().log1p()
        offset, factor = float(logs.mean()), _over(float(logs.std(ddof=0)))  # pyright: ignore[reportArgumentType]
    if not factor and facts.least != facts.most:
        raise DataError(
            f"the column {name!r} goes from {facts.least:g} to {facts.most:g}, and numbers of 64 bits do not hold the "
            f"squares of that; write it in another unit, or leave it out with data.source.ignore: [{name}]"
        )
    return Numeric(name, kind, scale, float(offset), factor, fill, indicator)


def _fill(values: Values, facts: Facts, options: ColumnOptions) -> float:
    if isinstance(options.missing, Constant):
        return options.missing.constant
    if options.missing == "median" and facts.missing:
        return float(_plain(values()).median())  # pyright: ignore[reportArgumentType]
    return facts.mean


def _plain(series: polars.Series) -> polars.Series:
    return numbers(series.to_frame(), [series.name]).to_series()


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
            if has_commas(series):
                raise DataError(
                    f"the column {name!r} holds numbers with a decimal comma, such as {series.drop_nulls()[0]!r}; say "
                    "data.source.decimal: ','"
                )
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
