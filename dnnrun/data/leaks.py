"""Rows of a split of its own, from other files or marked by a column, that are training rows too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dnnrun.data.source import Raw, Rows
from dnnrun.data.stacked import pieces


def leaks(raw: Raw, chosen: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What to warn of: how many of the rows chosen to validate or test are among those chosen to train on.

    Splits that are drawn from the training rows are not looked at.
    """
    told, own, trained = [], None, None
    for split in ("validation", "test"):
        rows = chosen[split]
        if split not in _apart(raw) or not len(rows):
            continue
        if own is None or trained is None:
            own = _hashes(raw.train, raw)
            trained = np.unique(own[chosen["train"]])
        hashes = _hashes(raw.test, raw) if split == "test" and raw.test else own
        same = int(np.isin(hashes[rows], trained).sum())
        if same:
            what = "column" if raw.undecoded else "value"
            told.append(
                f"{same:,} of {len(rows):,} {split} rows are training rows too, the same in every {what}: "
                f"what is measured on them is too good"
            )
    return tuple(told)


def _apart(raw: Raw) -> tuple[str, ...]:
    """The splits that the source had apart from the training rows."""
    if raw.undecoded is None:
        return raw.apart
    return (*raw.undecoded.apart, *(("test",) if raw.test else ()))


def _hashes(rows: Rows, raw: Raw) -> np.ndarray:
    """A number for each row, the same for rows that are the same."""
    return _of_table(rows) if raw.undecoded else _of_arrays(rows)


def _of_table(rows: Rows) -> np.ndarray:
    """Numbers are compared as float64."""
    import polars as pl

    table: Any = rows.features
    columns, found = rows.labels.reshape(len(rows.labels), -1).T, []
    for first, frame in table.frames():
        own = slice(first, first + len(frame))
        more = pl.DataFrame({f"target {number}": column[own] for number, column in enumerate(columns)})
        frame = frame.cast({name: pl.Float64 for name, dtype in frame.schema.items() if dtype.is_numeric()})
        frame = frame.cast({pl.Categorical: pl.String})
        found.append(frame.hstack(more).hash_rows(0).to_numpy())
    return np.concatenate(found)


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
