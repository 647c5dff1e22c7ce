"""A spec for a table that nobody has described yet: looks at the file, chooses, and says why in comments."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun.data.source import Places, Raw, TaskName
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import polars

    from dnnrun.data.source.table import Arrow, Csv, Parquet

NAMED = re.compile(r"(.*[^a-z])?(id|uuid|guid|key|index|rowid|row_?number|unnamed: 0)", re.IGNORECASE)
FEW = 20  # columns named in a comment
TEST, VALIDATION = 0.2, 0.1  # shares of the rows, and of what is left
UNEVEN = 5  # times as many rows of the most frequent class as of the rarest
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "none", "y", "n"}


@dataclass(frozen=True)
class Proposal:
    """A spec as text, and what was found on the way. `rows` are those of the file, `features` the columns used."""

    text: str
    name: str
    task: TaskName
    rows: int
    features: tuple[str, ...]
    ignored: tuple[str, ...]
    suspicious: tuple[str, ...]


def propose(
    path: str,
    targets: Sequence[str],
    *,
    name: str | None = None,
    task: TaskName | None = None,
    row_id: str | None = None,
    ignore: Sequence[str] = (),
    places: Places | None = None,
) -> Proposal:
    """A spec for the table at `path` (a file or a pattern) that predicts the columns `targets`.

    Raises DataError for a file that cannot be read, a column that is not there, or a target that cannot be learned.
    """
    places = places or Places()
    source = _source(path, targets, ignore)
    _want_target(source, targets, path, places)
    raw = source.read(places)
    frame: Any = raw.train.features
    written: Any = raw.train.labels
    ids, texts, empty = _unfit(frame)
    row_id = row_id or next(iter(ids), None)
    left_out = [*ignore, *(column for column in ids if column != row_id), *texts]
    from dnnrun.data.settle import settle

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
    name = name or _name(path)
    lines = [
        *_head(path, name, targets, settled, frame.select(c for c in kept if c not in empty)),
        f"name: {_scalar(name)}",
        "data:",
        "  source:",
        f"    type: {source.type}",
        f"    path: {_scalar(path)}",
        f"    target: {_value(list(targets))}",
        *(
            []
            if row_id is None
            else [f"    id: {_scalar(row_id)}  # names a row: not learned from, carried along by predict"]
        ),
        *([f"    ignore: [{', '.join(map(_scalar, left_out))}]"] * bool(left_out)),
        f"    test: {TEST}  # drawn once, the same rows for every seed, touched at the end",
        *(f"    # {what}: {_listed(columns)}" for what, columns in notes.items() if columns),
        *_task_line(settled, task),
        f"  validation: {VALIDATION}  # of the other rows: chooses the best epoch",
        *_recipe(settled, len(frame)),
    ]
    found = (settled.task, len(frame), tuple(kept), tuple(left_out), tuple(suspicious))
    return Proposal("\n".join(lines) + "\n", name, *found)


def _source(path: str, targets: Sequence[str], ignore: Sequence[str]) -> Csv | Parquet | Arrow:
    from dnnrun.data.source.table import Arrow, Csv, Parquet
    from dnnrun.data.table.files import format_of

    kind = {"csv": Csv, "parquet": Parquet, "arrow": Arrow}[format_of(Path(path))]
    return kind(path=(path,), target=tuple(targets) or ("?",), ignore=tuple(ignore))


def _want_target(source: Any, targets: Sequence[str], path: str, places: Places) -> None:
    from dnnrun.data.table.files import find, open_table
    from dnnrun.data.table.kinds import listed

    if targets:
        return
    names = open_table(find([path], places.folders)[0], source.form()).names
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
        elif distinct == len(series) > 2 and NAMED.fullmatch(series.name) and (whole or series.dtype == pl.String):
            ids.append(series.name)
        elif is_text(series) or (series.dtype == pl.String and distinct == len(series) >= 20):
            texts.append(series.name)
    return ids, texts, empty


def _telling(frame: polars.DataFrame, written: polars.DataFrame, settled: Raw) -> list[str]:
    """Columns each of whose values comes with one value of the target, though there are fewer of them than rows."""
    import polars as pl

    if settled.task != "classification":
        return []
    target = written.to_series(0).alias("target of the table")
    found = []
    for series in frame.get_columns():
        distinct = series.n_unique()
        if 1 < distinct <= max(20, len(series) // 20):
            pairs = pl.DataFrame([series, target]).unique().height
            if pairs == distinct:
                found.append(series.name)
    return found


def _head(path: str, name: str, targets: Sequence[str], settled: Raw, frame: polars.DataFrame) -> list[str]:
    from dnnrun.data.table.kinds import kind_of

    rows, kinds = len(frame), dict[str, list[str]]()
    missing = []
    for series in frame.get_columns():
        kinds.setdefault(kind_of(series.dtype), []).append(series.name)
        nulls = series.null_count() + (int(series.is_nan().sum()) if series.dtype.is_float() else 0)
        if nulls:
            missing.append(f"{series.name} ({nulls / rows:.2g})" if nulls >= rows / 100 else f"{series.name} (<.01)")
    plural = {"number": "numbers", "date": "dates", "boolean": "true and false", "category": "categories"}
    return [
        f"# {path}: {rows:,} rows. Predicts {', '.join(targets)}: {_told(settled)}",
        *(f"# {plural[kind]}: {_listed(columns)}" for kind, columns in kinds.items()),
        *([f"# missing values, share of rows: {_listed(missing)}"] if missing else []),
        "#",
        f"# dnnrun train {name}.yaml",
        f"# dnnrun eval runs/{name} ; dnnrun predict runs/{name} NEW-ROWS -o predictions.csv",
    ]


def _told(settled: Raw) -> str:
    import numpy as np

    labels: Any = settled.train.labels
    if settled.task == "regression":
        if len(settled.targets) > 1:
            return f"regression of {len(settled.targets)} numbers"
        return f"regression, {labels.min():.6g} to {labels.max():.6g}, mean {labels.mean():.6g}"
    if settled.task == "multilabel":
        return f"{len(settled.targets)} labels a row, of which {labels.mean() * len(settled.targets):.2g} hold"
    counts = np.bincount(labels, minlength=len(settled.classes))
    parts = [f"{name} ({count:,})" for name, count in zip(settled.classes, counts, strict=True)]
    return f"{len(settled.classes)} classes: {_listed(parts)}"


def _task_line(settled: Raw, stated: TaskName | None) -> list[str]:
    because = "as stated" if stated else "read off the target's values; change it where that is wrong"
    return [f"  task: {settled.task}  # {because}"]


def _recipe(settled: Raw, rows: int) -> list[str]:
    """The network and how it is trained, by the number of rows to train on."""
    from dnnrun.data.advice import advised

    sections = advised(int(rows * (1 - TEST) * (1 - VALIDATION)), settled.task)
    lines = []
    for section, keys in sections.items():
        lines += [f"{section}:", *(f"  {key}: {_flow(value)}{_said(key, sections)}" for key, value in keys.items())]
        if section == "train" and settled.task == "classification":
            import numpy as np

            counts = np.bincount(settled.train.labels, minlength=len(settled.classes))
            if counts.min() * UNEVEN < counts.max():
                lines.append("  # class_weights: balanced  # where rare classes matter as much as frequent ones")
    return lines


def _said(key: str, sections: dict[str, Any]) -> str:
    """A comment for a key of the recipe."""
    early = "early_stopping" in sections["train"]
    comments = {
        "dropout": "holds the network back: raise it where validation falls behind train, lower it where both are poor",
        "epochs": "at most: it stops when validation no longer improves" if early else "too few rows to stop early by",
        "baseline": "beside the result: a constant, and a linear model",
    }
    return f"  # {comments[key]}" if key in comments else ""


def _flow(value: Any) -> str:
    """A value of the recipe as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


def _name(path: str) -> str:
    stem = Path(path.replace("*", "")).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "table"


def _scalar(text: str) -> str:
    """A text as YAML."""
    plain = PLAIN.fullmatch(text) and text.lower() not in RESERVED
    return text if plain else json.dumps(text, ensure_ascii=False)


def _value(names: list[str]) -> str:
    return _scalar(names[0]) if len(names) == 1 else f"[{', '.join(map(_scalar, names))}]"


def _listed(names: Sequence[str]) -> str:
    """Names on one line, the first ones of many, whatever they hold."""
    told = [re.sub(r"\s+", " ", name) for name in names[:FEW]]
    return ", ".join(told) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
