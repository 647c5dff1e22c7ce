"""Rows of a split of its own, of other files or marked by a column, that are training rows too, or of their groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dnnrun.data.source import Raw, Rows
from dnnrun.data.stacked import pieces
from dnnrun.data.table.columns import Category, Columns
from dnnrun.data.table.frames import fitting
from dnnrun.data.table.kinds import numbers


def leaks(raw: Raw, chosen: Mapping[str, np.ndarray], columns: Columns | None = None) -> tuple[str, ...]:
    """What to warn of: how many of the rows chosen to validate or test are among those chosen to train on.

    And how many are of groups that these are of. Splits that are drawn from the training rows are not looked at.
    `columns` are those of a table.
    """
    told, own, trained = [], None, None
    for split in ("validation", "test"):
        rows = chosen[split]
        if split not in _apart(raw) or not len(rows):
            continue
        if own is None or trained is None:
            own = _hashes(raw.train, raw, columns)
            trained = np.unique(own[chosen["train"]])
        held = raw.test if split == "test" else None
        hashes = own if held is None else _hashes(held, raw, columns)
        same = int(np.isin(hashes[rows], trained).sum())
        if same:
            what = "value" if columns is None else "column"
            told.append(
                f"{same:,} of {len(rows):,} {split} rows are training rows too, the same in every {what}: "
                f"what is measured on them is too good"
            )
        same = _of_their_groups(raw, rows, chosen["train"], held is not None)
        if same:
            told.append(
                f"{same:,} of {len(rows):,} {split} rows are of groups that training rows are of too: what is "
                "measured on them may be too good"
            )
    return tuple(told)


def _of_their_groups(raw: Raw, rows: np.ndarray, train: np.ndarray, apart: bool) -> int:
    """How many of the rows, of the test file where they are `apart`, are of groups that training rows are of."""
    known = raw.undecoded
    groups = known and (known.groups_test if apart else known.groups)
    if known is None or known.groups is None or groups is None:
        return 0
    return int(np.isin(groups[rows], known.groups[train]).sum())


def _apart(raw: Raw) -> tuple[str, ...]:
    """The splits that the source had apart from the training rows."""
    if raw.undecoded is None:
        return raw.apart
    return (*raw.undecoded.apart, *(("test",) if raw.test else ()))


def _hashes(rows: Rows, raw: Raw, columns: Columns | None) -> np.ndarray:
    """A number for each row, the same for rows that are the same."""
    return _of_arrays(rows) if columns is None else _of_table(rows, raw, columns)


def _of_table(rows: Rows, raw: Raw, columns: Columns) -> np.ndarray:
    """Of the columns that are used and the targets. Numbers are compared as float64, or as both files have them."""
    import polars as pl

    table: Any = rows.features
    labels, found = rows.labels.reshape(len(rows.labels), -1).T, []
    texts = [column.name for column in columns.used if isinstance(column, Category)]
    names = [name for name in columns.names if name not in texts]
    less = {name: pl.Float32 for name in _coarse(raw) if name in names}
    where = raw.undecoded.where_test if raw.undecoded and rows is raw.test else None
    for first, frame in table.frames(columns.names):
        own = slice(first, first + len(frame))
        frame = frame if where is None else fitting(frame, columns, where, first)
        values = numbers(frame, names).cast(less)  # pyright: ignore[reportArgumentType]
        targets = [pl.Series(f"target {number}", column[own]) for number, column in enumerate(labels)]
        whole = [*values, *(frame[name].cast(pl.String) for name in texts), *targets]
        found.append(pl.DataFrame(whole).hash_rows(0).to_numpy())
    return np.concatenate(found)


def _coarse(raw: Raw) -> set[str]:
    """The columns of numbers that a file was read of as less than 64 bits."""
    import polars as pl

    tables: list[Any] = [rows.features for rows in (raw.train, raw.test) if rows is not None]
    return {name for table in tables for name, dtype in table.schema.items() if dtype in (pl.Float32, pl.Int16)}


def _of_arrays(rows: Rows) -> np.ndarray:
    found = np.empty(len(rows.labels), np.uint64)
    labels = rows.labels.reshape(len(rows.labels), -1)
    for first, piece in pieces(rows.features):
        own = slice(first, first + len(piece))
        found[own] = _sums(piece, 1) + _sums(labels[own].astype(np.float32), 2)
    return found


def _sums(rows: np.ndarray, seed: int) -> np.ndarray:
    """(rows,) uint64 of rows (rows, width), uint8 or float32: eight bytes at a time, each place mixed its own way."""
    if rows.dtype == np.float32:
        rows = rows + np.float32(0)  # -0 is 0
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8))).view(np.uint64)
    keys = np.random.Philox(key=seed).random_raw(words.shape[1]) | np.uint64(1)
    mixed = words * keys
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0x9E3779B97F4A7C15)  # odd, as the keys are: two words at one place never become the same
    mixed ^= mixed >> np.uint64(29)
    return mixed.sum(1, dtype=np.uint64)
