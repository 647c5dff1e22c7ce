"""A spec for a table that nobody has described yet: looks at the file, chooses, and says why in comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dnnrun.data.advice import advised
from dnnrun.data.source import Places, Raw, TaskName
from dnnrun.errors import DataError
from dnnrun.proposal.bending import gain_of, shown
from dnnrun.proposal.form import read_as
from dnnrun.proposal.text import Called, Proposal, listed, recipe, scalar, task_line, told, value_of

if TYPE_CHECKING:
    import polars

NAMED = re.compile(r"(.*[^a-z])?(id|uuid|guid|key|index|rowid|row_?number|unnamed: 0)", re.IGNORECASE)
TEST = 0.2  # of the rows
SEQUENCE = 1000  # rows; so many whole numbers without a gap count them


def of_table(
    path: str,
    targets: Sequence[str],
    *,
    called: Called,
    task: TaskName | None = None,
    row_id: str | None = None,
    ignore: Sequence[str] = (),
    weights: str | None = None,
    test: str | None = None,
    overrides: Sequence[str] = (),
    places: Places,
) -> Proposal:
    """A spec for the table at `path` (a file or a pattern) that predicts the columns `targets`; see `propose`."""
    targets, ignore = tuple(dict.fromkeys(targets)), tuple(dict.fromkeys(ignore))
    options = {"id": row_id, "weights": weights, "ignore": [*ignore], "test": test and [test]}
    source, said = read_as(path, targets, options, overrides, places)
    _want_target(source, targets, path, places)
    from dnnrun.data.settle import settle

    raw = source.read(places)
    frame: Any = raw.train.features.whole()  # type: ignore[attr-defined]
    written: Any = raw.train.labels
    ids, texts, empty = _unfit(frame)
    texts = [column for column in texts if source.types.get(column) != "category"]
    row_id = row_id or next(iter(ids), None)
    left_out = [*ignore, *(column for column in ids if column != row_id), *texts]
    settled = settle(raw, task)
    kept = [column for column in frame.columns if column not in {row_id, *left_out}]
    if not set(kept) - set(empty):
        raise DataError(f"{path}: no column is left to learn from beside {', '.join(targets)}; give it others")
    suspicious = _telling(frame.select(kept), written, settled)
    notes = {
        "empty, or the same in every row: left out by itself": empty,
        "text of too many different values for categories: ignored": texts,
        "different in every row, as names of rows are: ignored": [c for c in ids if c != row_id],
        "tells the target all by itself; ignore it if it is known only afterwards": suspicious,
    }
    called = called.by(path)
    found = shown(_to_learn_from(settled, [c for c in kept if c not in empty], TEST if test is None else None))
    sections = advised(int(len(frame) * (1 if test else 1 - TEST)), gain_of(found))
    lines = [
        *_head(path, targets, settled, frame.select(c for c in kept if c not in empty)),
        *called.lines(),
        "data:",
        "  source:",
        f"    type: {source.type}",
        f"    path: {scalar(path)}",
        f"    target: {value_of(list(targets))}",
        *said,
        *(
            []
            if row_id is None
            else [f"    id: {scalar(row_id)}  # names a row: not learned from, carried along by predict"]
        ),
        *([] if weights is None else [f"    weights: {scalar(weights)}"]),
        *([f"    ignore: [{', '.join(map(scalar, left_out))}]"] * bool(left_out)),
        f"    test: {TEST}  # drawn once, the same rows for every seed, touched at the end"
        if test is None
        else f"    test: {scalar(test)}  # touched at the end",
        *(f"    # {what}: {listed(columns)}" for what, columns in notes.items() if columns),
        task_line(settled.task, task),
        *recipe(sections, settled.task, settled.train.labels, found),
    ]
    told = (settled.task, len(frame), tuple(kept), tuple(left_out), tuple(suspicious))
    return Proposal("\n".join(lines) + "\n", called.run, *told)


def _to_learn_from(settled: Raw, columns: Sequence[str], test: float | None) -> Raw:
    """The training file with these columns; `test` is the share of its rows that are kept for the test."""
    train: Any = settled.train
    known: Any = settled.undecoded
    train = replace(train, features=train.features.select(columns))
    return replace(settled, train=train, test=None, undecoded=replace(known, test=test))


def _want_target(source: Any, targets: Sequence[str], path: str, places: Places) -> None:
    from dnnrun.data.finding import find_all
    from dnnrun.data.table.files import open_table
    from dnnrun.data.table.kinds import listed

    if targets:
        return
    names = open_table(find_all(path, places)[0], source.form()).names
    raise DataError(f"{path}: say which column is to be predicted, as --target {names[-1]!r}; it has {listed(names)}")


def _unfit(frame: polars.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """The columns that name rows, those that hold text, and those that hold nothing or the same everywhere."""
    import polars as pl

    from dnnrun.data.table.fit import is_text

    ids, texts, empty = [], [], []
    for series in frame.get_columns():
        there = series.drop_nulls()
        distinct = there.n_unique()
        whole = series.dtype.is_integer() or (series.dtype.is_float() and bool((there == there.round()).all()))
        if distinct < 2 and (distinct == 0 or not series.null_count()):
            empty.append(series.name)
        elif distinct == len(series) > 2 and (
            (NAMED.fullmatch(series.name) and (whole or series.dtype == pl.String)) or _counts(there, whole)
        ):
            ids.append(series.name)
        elif is_text(series) or (series.dtype == pl.String and distinct == len(series) >= 20):
            texts.append(series.name)
    return ids, texts, empty


def _counts(there: polars.Series, whole: bool) -> bool:
    """Whether these different numbers are those of rows, in whatever order."""
    if not whole or len(there) < SEQUENCE:
        return False
    lowest, highest = there.cast(float).min(), there.cast(float).max()
    return float(highest) - float(lowest) == len(there) - 1  # type: ignore[arg-type]


def _telling(frame: polars.DataFrame, written: polars.DataFrame, settled: Raw) -> list[str]:
    """Columns each of whose values comes with one value of the target, at most half as many as there are rows."""
    import polars as pl

    if settled.task != "classification":
        return []
    target = written.to_series(0).alias("target of the table")
    found = []
    for series in frame.get_columns():
        distinct = series.n_unique()
        if 1 < distinct <= min(max(20, len(series) // 20), len(series) // 2):
            pairs = pl.DataFrame([series, target]).unique().height
            if pairs == distinct:
                found.append(series.name)
    return found


def _head(path: str, targets: Sequence[str], settled: Raw, frame: polars.DataFrame) -> list[str]:
    from dnnrun.data.table.kinds import kind_of

    what = told(settled.task, settled.classes or settled.targets, settled.train.labels)
    rows, kinds = len(frame), dict[str, list[str]]()
    missing = []
    for series in frame.get_columns():
        kinds.setdefault(kind_of(series.dtype), []).append(series.name)
        nulls = series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)
        if nulls:
            missing.append(f"{series.name} ({nulls / rows:.2g})" if nulls >= rows / 100 else f"{series.name} (<.01)")
    plural = {"number": "numbers", "date": "dates", "boolean": "true and false", "category": "categories"}
    return [
        f"# {path}: {rows:,} rows. Predicts {', '.join(targets)}: {what}",
        *(f"# {plural[kind]}: {listed(columns)}" for kind, columns in kinds.items()),
        *([f"# missing values, share of rows: {listed(missing)}"] if missing else []),
    ]
