"""The chosen rows of a source in one array, each at its place: in memory, or on disk where there is room for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnrun.data.dataset import SPLITS, Dataset
from dnnrun.data.leaks import leaks
from dnnrun.data.room import InMemory, OnDisk, Placing, Room
from dnnrun.data.settle import learn
from dnnrun.data.source import Raw, Rows
from dnnrun.data.stacked import pieces
from dnnrun.data.table.columns import Columns
from dnnrun.data.table.frames import fitting

if TYPE_CHECKING:
    from dnnrun.data.table.options import Preprocessing


def arrange(
    raw: Raw,
    chosen: dict[str, Any],
    labels: dict[str, Any],
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    columns: Columns | None,
    room: Room | None,
    drain: bool,
) -> Dataset:
    """The rows `chosen` of each split, with their `labels`; the rest is as `select` has it."""
    fingerprint = raw.fingerprint
    dtype = np.float32 if raw.undecoded else raw.train.features.dtype
    if raw.undecoded is None:
        told = (), leaks(raw, chosen)
    else:
        learned = learn(raw, chosen, preprocessing, columns)
        columns, told = learned.columns, (learned.notes, learned.warnings)
        fingerprint = hashlib.sha256(json.dumps([fingerprint, columns.to_json()]).encode()).hexdigest()
    rows, width = sum(map(len, chosen.values())), columns.width if columns else raw.train.features.shape[1]
    out = InMemory(rows, width, dtype) if room is None else OnDisk(room, rows, width, dtype, room.stays)
    digest = hashlib.sha256(json.dumps([fingerprint, classes, width]).encode())
    if raw.task != "classification":
        digest.update(json.dumps([raw.task, raw.targets]).encode())
    weights = None if raw.train.weights is None else np.ones(rows, np.float32)
    splits, start = {}, 0
    for split in SPLITS:
        stop = start + len(chosen[split])
        digest.update(f"{split} {start} {stop}\n".encode())
        digest.update(chosen[split].astype("<i8"))
        if split in labels:
            digest.update(labels[split].astype("<i4" if raw.task == "classification" else "<f4").tobytes())
        if stop == start:
            continue
        source = raw.test if split == "test" and raw.test else raw.train
        if weights is not None and source.weights is not None:
            weights[start:stop] = source.weights[chosen[split]]
        splits[split], start = (start, stop), stop
    if columns is not None:
        encode(raw, chosen, splits, columns, out, drain)
    elif isinstance(out, InMemory):
        for split, (start, stop) in splits.items():
            source = raw.test if split == "test" and raw.test else raw.train
            np.take(source.features, chosen[split], axis=0, out=out.array[start:stop], mode="clip")
    else:
        _put(raw, chosen, splits, out)
    joined = np.concatenate([labels[split] for split in SPLITS if split in labels])
    joined = joined.astype(np.int32 if raw.task == "classification" else np.float32, copy=False)
    if weights is not None:
        digest.update(weights.astype("<f4").tobytes())
    beyond = len(raw.train.labels) if raw.test else 0
    origin = np.concatenate([chosen[split] + beyond * (split == "test") for split in SPLITS]).astype(np.int64)
    found = digest.hexdigest()
    return Dataset(
        out.done(), joined, splits, classes, raw.image, raw.largest, found, origin, fingerprint,
        raw.task, raw.targets, weights, columns, *told,
    )  # fmt: skip


def _put(raw: Raw, chosen: dict[str, Any], splits: Mapping[str, tuple[int, int]], out: OnDisk) -> None:
    """Put the chosen rows of arrays at their places, read from the first to the last."""
    for source, places in placed(raw, chosen, splits):
        for start, rows in pieces(source.features):
            there = places[start : start + len(rows)]
            kept = np.flatnonzero(there >= 0)
            if len(kept):
                out.put(there[kept], rows[kept])


def encode(
    raw: Raw,
    chosen: Mapping[str, np.ndarray],
    splits: Mapping[str, tuple[int, int]],
    columns: Columns,
    out: Placing,
    drain: bool = False,
) -> None:
    """Put the chosen rows of a table, (rows, width) float32, each split where `splits` says.

    `drain` lets go of the table on the way. Raises DataError for a number that is infinite or becomes so.
    """
    known = raw.undecoded
    assert known is not None
    for source, places in placed(raw, chosen, splits):
        table: Any = source.features
        where = known.where if source is raw.train else known.where_test
        for first, frame in table.frames(columns.names, drain):
            if source is not raw.train:  # a file of its own, whose columns may be of other types
                frame = fitting(frame, columns, where, first)
            columns.put(frame, places[first : first + len(frame)], out, where, first)


def placed(
    raw: Raw, chosen: Mapping[str, np.ndarray], splits: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[Rows, np.ndarray]]:
    """The rows of a source, then its test rows, each with where every row goes, (rows,); -1 for nowhere."""
    for source in (raw.train, raw.test):
        names = [split for split in splits if source is (raw.test if split == "test" and raw.test else raw.train)]
        if source is not None and names:
            places = np.full(len(source.labels), -1)
            for split in names:
                places[chosen[split]] = np.arange(*splits[split])
            yield source, places
