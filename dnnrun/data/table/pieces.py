"""The columns of a table as frames of some rows each, in memory, or on disk where they would be too much for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun.data.table.dates import Order, Orders
from dnnrun.data.table.kinds import Known, typed

if TYPE_CHECKING:
    import numpy as np
    import polars

    from dnnrun.data.room import Room

LARGE = 1 << 24  # bytes that are gathered before they go to disk


@dataclass(frozen=True)
class Part:
    """Some rows: the columns of `frame`, and those of an Arrow file; `casts` are types that differ from the table's."""

    rows: int
    frame: polars.DataFrame
    file: Path | None = None
    casts: Mapping[str, Any] = field(default_factory=dict)

    def load(self, names: Sequence[str]) -> polars.DataFrame:
        """The columns of these names, in that order, with the table's types."""
        frame = self._plain(names)
        casts = {name: self.casts[name] for name in names if name in self.casts} if self.casts else None
        return frame.cast(casts) if casts else frame  # type: ignore[arg-type]

    def _plain(self, names: Sequence[str]) -> polars.DataFrame:
        if self.file is None:
            return self.frame if self.frame.columns == list(names) else self.frame.select(names)
        import polars as pl

        here = [name for name in names if name in self.frame.columns]
        stored = [name for name in names if name not in here]
        if not stored:
            return self.frame.select(here)
        found = pl.read_ipc(self.file, columns=stored)
        return found.hstack(self.frame.select(here)).select(names) if here else found.select(names)


class Pieces:
    """A table. `schema` gives its columns in their order, and their types, which those of single parts fit into.

    `orders` says of columns that were dates in text what came first in them, where that was in doubt.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        schema: Mapping[str, Any],
        room: Room | None = None,
        orders: Mapping[str, Order | None] | None = None,
    ):
        self.parts, self.schema, self.room = list(parts), dict(schema), room
        self.orders: Orders = dict(orders or {})
        self.rows = sum(part.rows for part in self.parts)
        self.joined: polars.DataFrame | None = None

    def __len__(self) -> int:
        return self.rows

    @property
    def columns(self) -> list[str]:
        return list(self.schema)

    @property
    def width(self) -> int:
        return len(self.schema)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.width

    def select(self, names: Sequence[str]) -> Pieces:
        """These columns, in that order."""
        return Pieces(self.parts, {name: self.schema[name] for name in names}, self.room, self.orders)

    def drop(self, name: str) -> Pieces:
        return self.select([other for other in self.schema if other != name])

    def whole(self, names: Sequence[str] | None = None, rows: np.ndarray | None = None) -> polars.DataFrame:
        """These columns, or all, as one frame in memory; of all rows, or of those where `rows` is true."""
        import polars as pl

        names = self.columns if names is None else list(names)
        if self.room is not None:
            frame = pl.concat([part.load(names) for part in self.parts], rechunk=False)
        else:
            if self.joined is None:  # no copy
                self.joined = pl.concat([part.load(self.columns) for part in self.parts], rechunk=False)
            frame = self.joined.select(names)
        return frame if rows is None else frame.filter(rows)

    def frames(self, names: Sequence[str] | None = None, drain: bool = False) -> Iterator[tuple[int, polars.DataFrame]]:
        """Frames of these columns, or all, one after the other, each with the number of its first row.

        `drain` lets go of each after its turn, with all of its columns.
        """
        names = self.columns if names is None else names
        if drain:
            self.joined = None
        first, at = 0, 0
        while at < len(self.parts):
            part = self.parts[at]
            yield first, part.load(names)
            first += part.rows
            if drain:
                if part.file is not None:
                    part.file.unlink()
                del self.parts[at], part
            else:
                at += 1

    def blocks(self, names: Sequence[str], rows: int) -> Iterator[tuple[int, polars.DataFrame]]:
        """Frames as `frames` gives them, but of so many rows each, the last one apart."""
        import polars as pl

        first, rest = 0, None
        for _, frame in self.frames(names):
            frame = frame if rest is None else pl.concat([rest, frame], rechunk=False)
            whole = len(frame) // rows * rows
            for start in range(0, whole, rows):
                yield first + start, frame.slice(start, rows)
            first += whole
            rest = frame.slice(whole)
        if rest is not None and len(rest):
            yield first, rest

    def filtered(self, keep: np.ndarray) -> Pieces:
        """The rows where `keep` is true."""
        found, first = [], 0
        for part in self.parts:
            mask = keep[first : first + part.rows]
            first += part.rows
            if not mask.all():
                if part.file is not None:
                    import polars as pl

                    pl.read_ipc(part.file).filter(mask).write_ipc(part.file)
                frame = part.frame.filter(mask) if part.frame.width else part.frame
                part = replace(part, rows=int(mask.sum()), frame=frame)
            found.append(part)
        return Pieces(found, self.schema, self.room, self.orders)


class Gathering:
    """Takes the raw frames of a file and makes a table of them.

    With a `room` no more than some of the numbers are in memory, and of texts what different ones there are.
    """

    def __init__(self, room: Room | None, known: Known, written: Sequence[str]):
        self.room, self.written = room, written
        self.known = replace(known, orders=dict(known.orders))
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self.rows: list[int] = []
        self.numbers: list[polars.DataFrame | Path] = []
        self.others: list[polars.DataFrame] = []
        self.dtypes: list[dict[str, Any]] = []
        self.waiting: list[polars.DataFrame] = []
        self.count = 0

    def add(self, frame: polars.DataFrame) -> None:
        """The next rows: numbers, and what is not known yet."""
        import polars as pl

        numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric() and self._is_number(name)]
        others = frame.drop(numbers)
        self.others.append(others if self.room is None else others.with_columns(pl.col(pl.String).cast(pl.Categorical)))
        count, frame = len(frame), frame.select(numbers)
        if self.waiting and frame.schema != self.waiting[0].schema:
            self._store()
        self.waiting.append(frame)
        self.count += count
        if self.room is None or sum(part.estimated_size() for part in self.waiting) > LARGE:
            self._store()

    def done(self, names: Sequence[str], where: str) -> Pieces:
        """The table, its columns typed, in the order of `names`. Raises DataError for values that do not fit."""
        import polars as pl

        if self.waiting:
            self._store()
        others = pl.concat(self.others, how="vertical_relaxed", rechunk=False)
        self.others = []
        known = pl.DataFrame([self._typed(others.select(name), where) for name in others.columns])
        schema = {**known.schema, **common(self.dtypes)}
        parts, first = [], 0
        for rows, numbers, dtypes in zip(self.rows, self.numbers, self.dtypes, strict=True):
            own, cast = known.slice(first, rows), casts(dtypes, schema)
            first += rows
            if isinstance(numbers, Path):
                parts.append(Part(rows, own, numbers, cast))
            else:
                parts.append(Part(rows, _beside(numbers, own), None, cast))
        return Pieces(parts, {name: schema[name] for name in names}, self.room, self.known.orders)

    def _is_number(self, name: str) -> bool:
        return name not in self.written and self.known.types.get(name) in (None, "number")

    def _typed(self, column: polars.DataFrame, where: str) -> polars.Series:
        import polars as pl

        if self.room is None:
            return typed(column, self.known, where, self.written).to_series()
        plain = column.cast({pl.Categorical: pl.String})
        found = typed(plain, self.known, where, self.written).to_series()
        keep = found.dtype == pl.String and found.name not in self.written
        return found.cast(pl.Categorical) if keep else found

    def _store(self) -> None:
        import polars as pl

        frame = pl.concat(self.waiting, rechunk=False)
        self.rows.append(self.count)
        self.waiting, self.count = [], 0
        self.dtypes.append(dict(frame.schema))
        if self.room is None or not frame.width:
            self.numbers.append(frame)
            return
        path = self.room.file()
        self.room.check(2 * int(frame.estimated_size()))
        frame.write_ipc(path)
        self.numbers.append(path)


def common(schemas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The types that frames of these types fit into. Raises polars' SchemaError where there are none."""
    import polars as pl

    if all(schema == schemas[0] for schema in schemas[1:]):
        return dict(schemas[0])
    empty = [pl.DataFrame(schema=dict(schema)) for schema in schemas]
    return dict(pl.concat(empty, how="vertical_relaxed").schema)


def casts(own: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The types of `wanted` that are not those of `own`."""
    return {name: wanted[name] for name, dtype in own.items() if dtype != wanted[name]}


def _beside(left: polars.DataFrame, right: polars.DataFrame) -> polars.DataFrame:
    """The columns of both; a frame without columns has no rows."""
    return left.hstack(right) if left.width and right.width else left if left.width else right
