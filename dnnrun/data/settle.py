"""From the columns of a table to rows to learn from: what is predicted, which rows are in which split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnrun.data.dataset import Dataset
from dnnrun.data.leaks import leaks
from dnnrun.data.source import Raw, Rows
from dnnrun.data.split import fold_groups, fold_rows, split_groups, split_rows
from dnnrun.data.table.columns import Columns
from dnnrun.data.table.fit import check_text, fit
from dnnrun.data.table.frames import fitting
from dnnrun.data.table.kinds import listed
from dnnrun.data.table.unseen import Unseen
from dnnrun.data.target import Target, infer
from dnnrun.data.task import kinds as kinds_of
from dnnrun.errors import DataError

if TYPE_CHECKING:
    from dnnrun.data.select import Selection
    from dnnrun.data.table.options import Preprocessing

DRAW = 0  # the seed of a table's own test rows, the same whatever the run's


def settle(raw: Raw, task: Any = None, groups: str | None = None) -> Raw:
    """A table with its target columns as labels; what is no table stays as it is. Raises DataError.

    `groups` is the column whose rows of one value stay together; it is not learned from.
    """
    known = raw.undecoded
    if known is None:
        if groups is not None:
            raise DataError("data.groups: the source has no columns; leave it out")
        return raw
    if isinstance(raw.train.labels, np.ndarray):
        return raw
    if not raw.train.features.shape[1]:
        raise DataError(f"{known.where}: there is no column to learn from beside {listed(raw.train.labels.columns)}")  # type: ignore
    target = infer(raw.train.labels, task, known.where)
    notes = list(known.notes)
    if target.because:
        notes.append(f"{', '.join(target.names)}: {target.task}, since {target.because}")
    train = replace(raw.train, labels=target.labels(raw.train.labels, known.where))  # type: ignore
    test = raw.test and replace(raw.test, labels=target.labels(raw.test.labels, known.where_test))  # type: ignore
    if groups is not None:
        if groups in (*known.unused, *target.names):
            raise DataError(
                f"data.groups: {groups!r} is not read from {known.where}: data.source names it as target, id, weights "
                "or split, or ignores it; take it out there. Nothing is learned from a column of groups, and predict "
                "--id carries it along"
            )
        train, test, own, others = _grouped(train, test, groups, known.where)
        known = replace(known, groups=own, groups_test=others, unused=(*known.unused, groups))
    known = replace(known, notes=tuple(notes))
    names = () if target.task == "classification" else target.names
    return replace(
        raw, train=train, test=test, classes=target.classes, task=target.task, targets=names, undecoded=known
    )


def _grouped(
    train: Rows, test: Rows | None, groups: str, where: str
) -> tuple[Rows, Rows | None, np.ndarray, np.ndarray | None]:
    """The rows without the column of groups, and the number of each one's group; -1 of a test row: of another."""
    import polars as pl

    table: Any = train.features
    if groups not in table.columns:
        raise DataError(f"data.groups: {where} has no column {groups!r} to learn from; it has {listed(table.columns)}")
    column = table.whole([groups]).to_series()
    if column.null_count():
        row = int(column.is_null().arg_true()[0]) + 1
        raise DataError(f"data.groups: {where}: row {row:,}: {groups!r} is missing; fill it in")
    table = {name: number for number, name in enumerate(column.cast(pl.String).unique(maintain_order=True))}

    def numbered(column: pl.Series) -> np.ndarray:
        return column.cast(pl.String).replace_strict(table, default=-1, return_dtype=pl.Int64).to_numpy()

    own = replace(train, features=_without(train.features, groups))
    if test is None:
        return own, None, numbered(column), None
    held: Any = test.features
    others = numbered(held.whole([groups]).to_series())
    return own, replace(test, features=_without(held, groups)), numbered(column), others


def _without(frame: Any, name: str) -> Any:
    return frame.drop(name)


def whole(raw: Raw, target: Target, columns: Columns) -> Dataset:
    """All rows of a table that was read for a trained network, as its test rows; they stand as training rows too."""
    known, table = raw.undecoded, raw.train.features
    assert known is not None
    labels = target.labels(raw.train.labels, known.where)  # pyright: ignore[reportArgumentType]
    features, unseen = np.empty((len(labels), columns.width), np.float32), Unseen()
    for first, frame in table.frames(drain=True):  # pyright: ignore[reportAttributeAccessIssue]
        fitted = fitting(frame, columns, known.where, first)
        unseen.add(columns.encode_into(fitted, features[first : first + len(frame)], known.where, first))
    origin, rows = np.arange(len(labels)), (0, len(labels))
    return Dataset(
        features, labels, {"train": rows, "test": rows}, target.classes, None, 0, raw.fingerprint, origin,
        raw.fingerprint, target.task, () if target.classes else target.names, raw.train.weights, columns,
        warnings=tuple(unseen.lines()),
    )  # fmt: skip


def divide(raw: Raw, options: Selection, seed: int) -> dict[str, np.ndarray]:
    """The row numbers of each split: those that the source tells apart, then what `options` draws by the seed."""
    known = raw.undecoded
    kinds, groups = kinds_of(raw), known.groups if known else None
    apart: Mapping[str, np.ndarray] = known.apart if known else {}
    if raw.validation:
        apart = {"validation": np.arange(len(kinds) - raw.validation, len(kinds))}
    mine = np.ones(len(kinds), bool)
    for rows in apart.values():
        mine[rows] = False
    rest = np.flatnonzero(mine)
    test = apart.get("test", np.arange(0 if raw.test is None else len(raw.test.labels)))
    if known and known.test:
        draw = _test_rows(kinds[rest], None if groups is None else groups[rest], known.test)
        test, rest = np.sort(rest[draw[1]]), np.sort(rest[draw[0]])
    if "validation" in apart:
        if options.fold:
            raise DataError("data.fold: the source has validation rows of its own; leave them or the fold out")
        return {"train": rest, "validation": apart["validation"], "test": test}
    if groups is not None and isinstance(options.validation, int) and options.validation and not options.fold:
        raise DataError(
            f"data.groups: data.validation takes the first {options.validation} rows, whatever their group; "
            "give it a fraction"
        )
    if options.fold:
        of, number = options.fold.of, options.fold.number
        drawn = (
            fold_rows(kinds[rest], of, number, seed) if groups is None else fold_groups(groups[rest], of, number, seed)
        )
    elif groups is None:
        drawn = split_rows(kinds[rest], options.validation, seed)
    else:
        drawn = split_groups(groups[rest], options.validation, seed)
    return {"train": rest[drawn[0]], "validation": rest[drawn[1]], "test": test}


@dataclass(frozen=True)
class Learned:
    """The columns of a table, what there is to say of them, and what a person should look at."""

    columns: Columns
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def _test_rows(kinds: np.ndarray, groups: np.ndarray | None, share: float) -> tuple[np.ndarray, np.ndarray]:
    try:
        return split_rows(kinds, share, DRAW) if groups is None else split_groups(groups, share, DRAW)
    except DataError as error:
        raise DataError(str(error).replace("data.validation", "data.source.test")) from None


def learn(raw: Raw, chosen: Mapping[str, np.ndarray], options: Preprocessing, columns: Columns | None) -> Learned:
    """The columns of a table, learned from its training rows where they are not known yet. Raises DataError."""
    known, table = raw.undecoded, raw.train.features
    assert known is not None
    notes = known.notes
    if columns is None:
        check_text(table, known.categories)  # pyright: ignore[reportArgumentType]
        fitted = fit(table, chosen["train"], options, known.unused, known.where)  # pyright: ignore[reportArgumentType]
        columns, notes = fitted.columns, (*notes, *fitted.notes)
    return Learned(columns, notes, leaks(raw, chosen, columns))
