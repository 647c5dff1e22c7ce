"""What a target column asks for: a class, a number, or several labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnrun.data.source import TaskName
from dnnrun.data.table.kinds import has_commas, is_plain
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import polars

CLASSES = 20  # whole numbers of more different values than this are quantities
MOST = 10_000  # classes of text
BLURRED = 0.01  # of a target's deviation: the step between numbers of 32 bits that is too coarse


@dataclass(frozen=True)
class Target:
    """What is to be told of a row.

    `classes` are the classes as the file writes them, () for other tasks; `names` the target columns. `because` says
    what the task was inferred from, None where it was stated.
    """

    task: TaskName
    classes: tuple[str, ...]
    names: tuple[str, ...]
    because: str | None

    def labels(self, frame: polars.DataFrame, where: str) -> np.ndarray:
        """Class numbers (rows,) int32, or targets (rows, targets) float32. Raises DataError for what is none."""
        _refuse_unusable(frame, where)
        if self.task == "classification":
            return self._class_numbers(frame.to_series(), where)
        return np.column_stack([_numbers(series, where, self.task) for series in frame.get_columns()])

    def _class_numbers(self, series: polars.Series, where: str) -> np.ndarray:
        import polars as pl

        table = {name: number for number, name in enumerate(self.classes)}
        numbers = as_written(series).replace_strict(table, default=-1, return_dtype=pl.Int32).to_numpy()
        wrong = np.flatnonzero(numbers < 0)
        if len(wrong):
            raise DataError(
                f"{where}: row {wrong[0] + 1:,}: the target {series.name!r} is {as_written(series)[int(wrong[0])]!r}, "
                f"and the classes to train on are {_listed(self.classes)}; rows like it: {len(wrong):,}"
            )
        return np.ascontiguousarray(numbers)


def infer(frame: polars.DataFrame, stated: TaskName | None, where: str) -> Target:
    """What the training rows' target columns ask for, or what was `stated`. Raises DataError where that cannot be."""
    _refuse_unusable(frame, where)
    names = tuple(frame.columns)
    if len(names) > 1:
        return _of_several(frame, stated, where, names)
    series = frame.to_series()
    task, because = (stated, None) if stated else _task_of(series)
    if task == "regression":
        _refuse_blurred(series, where)
        return Target(task, (), names, because)
    if task == "multilabel":
        _numbers(series, where, task)
        return Target(task, (), names, because)
    text = as_written(series)
    distinct = text.unique()
    if len(distinct) < 2:
        raise DataError(
            f"{where}: the target {series.name!r} is {distinct[0]!r} in every row, one class; wanted two or more: give "
            "it rows of other classes, or another target"
        )
    if not stated and len(distinct) > CLASSES and _is_dates(series):
        raise DataError(
            f"{where}: the target {series.name!r} holds {len(distinct):,} different dates, wanted classes or numbers; "
            "write what is to be predicted as a number, such as days from a day on, or say data.task: classification"
        )
    if len(distinct) > MOST or (len(text) >= 50 and len(distinct) > len(text) / 2):
        raise DataError(
            f"{where}: the target {series.name!r} has {len(distinct):,} different values in {len(text):,} rows, too "
            "many for classes; "
            + (
                "they are numbers with a decimal comma: say data.source.decimal: ','"
                if has_commas(text)
                else "name another target, or say data.task: regression where they are numbers"
            )
        )
    return Target("classification", _ordered(distinct.to_list()), names, because)


def as_written(series: polars.Series) -> polars.Series:
    """A target column as text: false and true, whole numbers without a point, else as the file has it."""
    import polars as pl

    if series.dtype == pl.String:
        return series.str.strip_chars()
    if series.dtype.is_float() and bool(((series == series.round()) & (series.abs() < 2**53)).all()):
        return series.cast(pl.Int64).cast(pl.String)
    return series.cast(pl.String)


def _is_dates(series: polars.Series) -> bool:
    import polars as pl

    from dnnrun.data.table.dates import as_dates

    if series.dtype != pl.String:
        return series.dtype.is_temporal()
    return as_dates(series.str.strip_chars()) is not None


def _task_of(series: polars.Series) -> tuple[TaskName, str]:
    import polars as pl

    if series.dtype == pl.String:
        values = series.str.strip_chars().cast(pl.Float64, strict=False)
        if values.null_count():
            return "classification", "it holds text"
    elif series.dtype.is_numeric():
        values = series.cast(pl.Float64)
    else:
        return "classification", "it holds " + ("true and false" if series.dtype == pl.Boolean else "categories")
    distinct = values.n_unique()
    if not (values == values.round()).all():
        return "regression", "it holds numbers with fractions"
    if distinct > CLASSES or distinct > len(values) / 2 > 1:
        return "regression", f"it holds {distinct:,} different whole numbers"
    return "classification", f"it holds {distinct} different whole numbers"


def _of_several(frame: polars.DataFrame, stated: TaskName | None, where: str, names: tuple[str, ...]) -> Target:
    if stated == "classification":
        raise DataError(
            f"data.task: classification, and {len(names)} targets ({_listed(names)}); name one, or use multilabel"
        )
    _refuse_text(frame, where, names)
    columns = [_numbers(series, where, stated or "regression") for series in frame.get_columns()]
    if stated != "multilabel":
        for series in frame.get_columns():
            _refuse_blurred(series, where)
    zeros_and_ones = all(np.isin(values, (0, 1)).all() for values in columns)
    task: TaskName = stated or ("multilabel" if zeros_and_ones else "regression")
    because = None if stated else ("all hold 0 and 1" if zeros_and_ones else "they hold numbers")
    return Target(task, (), names, because)


def _refuse_text(frame: polars.DataFrame, where: str, names: tuple[str, ...]) -> None:
    """Raises DataError where one of several targets is no number: which, what it holds, and the ways out."""
    found, two = [], True
    for series in frame.get_columns():
        wrong = np.flatnonzero(np.isnan(_values(series)))
        if len(wrong):
            first, rows = str(series[int(wrong[0])]), f"{len(wrong):,} row{'s' * (len(wrong) > 1)}"
            found.append(f"{series.name!r} is no number in {rows}, first {first!r} in row {wrong[0] + 1:,}")
            two = two and series.n_unique() == 2
    if not found:
        return
    told = "; ".join(found[:5]) + (f"; and {len(found) - 5} more columns" if len(found) > 5 else "")
    labels = ", or write what is yes or no as 1 and 0" if two else ""
    raise DataError(
        f"{where}: the targets {_listed(names)}: several are either all numbers (regression) or all labels of 0 and 1 "
        f"(multilabel), and {told}. Predict one at a time, naming a single target{labels}"
    )


def _values(series: polars.Series) -> np.ndarray:
    """The targets (rows,) float64, NaN for what is no number."""
    import polars as pl

    if series.dtype == pl.String:
        text = series.str.strip_chars().str.to_lowercase().replace({"true": "1", "false": "0"})
        return text.cast(pl.Float64, strict=False).to_numpy()
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return series.cast(pl.Float64).to_numpy()
    return np.full(len(series), np.nan)


def _numbers(series: polars.Series, where: str, task: str) -> np.ndarray:
    """The targets (rows,) float32."""
    found, most = _values(series), np.finfo(np.float32).max
    wrong = ~(np.abs(found) <= most) if task == "regression" else ~np.isin(found, (0, 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        number = f"a number of at most {most:.2g}" if np.isfinite(found[row]) else "a number"
        raise DataError(
            f"{where}: row {row + 1:,}: the target {series.name!r} is {series[row]!r}, wanted "
            f"{number if task == 'regression' else '0 or 1'} for {task}; rows like it: {int(wrong.sum()):,}"
        )
    return found.astype(np.float32)


def _refuse_blurred(series: polars.Series, where: str) -> None:
    """Raises DataError for targets whose differences are lost in 32 bits, and for what is no number."""
    kept, found = _numbers(series, where, "regression"), _values(series)
    step, spread = float(np.spacing(np.abs(kept).max())), float(found.std())
    if spread and step > BLURRED * spread:
        raise DataError(
            f"{where}: the target {series.name!r} lies around {found.mean():.6g} and deviates by {spread:.3g}, and "
            f"numbers of 32 bits have steps of {step:.3g} there; subtract a constant from it, and add it to predictions"
        )


def _refuse_unusable(frame: polars.DataFrame, where: str) -> None:
    """Raises DataError for columns of lists and the like, and for values that are missing or infinite."""
    import polars as pl

    for series in frame.get_columns():
        if not is_plain(series.dtype):
            raise DataError(
                f"{where}: the target {series.name!r} holds {series.dtype}, wanted classes or numbers; write it as "
                "text or as a number, or name another target"
            )
        real = series.dtype.is_float()
        missing = series.is_null() | series.is_nan() if real else series.is_null()
        if missing.any():
            text = " (in CSV, NA, None, ? and the like are missing, unless data.source.null lists others)"
            raise DataError(
                f"{where}: row {int(missing.arg_true()[0]) + 1:,}: the target {series.name!r} is missing; "
                f"rows like it: {int(missing.sum()):,}; fill it in, or drop them{text * (series.dtype == pl.String)}"
            )
        if real and (wrong := series.is_infinite()).any():
            raise DataError(
                f"{where}: row {int(wrong.arg_true()[0]) + 1:,}: the target {series.name!r} is infinite; "
                f"rows like it: {int(wrong.sum()):,}; correct it, or drop them"
            )


def _ordered(names: list[Any]) -> tuple[str, ...]:
    """Numbers by size, false before true, else alphabetical."""
    try:
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    except ValueError:
        return tuple(sorted(names))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
