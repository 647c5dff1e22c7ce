"""Tables of a user's own: CSV, Parquet and Arrow files, one or several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from dnnrun.component import Shorthand
from dnnrun.data.finding import find_all
from dnnrun.data.source import Places, Raw, Rows, Source, Undecoded
from dnnrun.data.table.csv import NULL, Form
from dnnrun.data.table.dates import Orders
from dnnrun.data.table.files import Format, Table, check_wanted, digest, join, open_table
from dnnrun.data.table.kinds import Kind, Known, kind_of, listed, with_point
from dnnrun.data.table.pieces import Pieces
from dnnrun.data.table.records import Progress
from dnnrun.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import polars

    from dnnrun.data.table.columns import Columns

SPLITS = ("train", "validation", "test")
LARGE = 1 << 28  # bytes of a file that is worth a progress bar


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f"{name!r} stands there twice; name it once")
    return names


Names = Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_distinct)]
Some = Annotated[tuple[str, ...], Field(strict=False, min_length=1), AfterValidator(_distinct)]
OneName = Shorthand(_several, {"type": "string"})
OneOrMore = Annotated[Some, OneName]


class _Table(Source):
    """What the formats have in common."""

    path: OneOrMore = Field(description="the file, several, or a pattern such as part-*.csv")
    target: OneOrMore = Field(description="the column that is to be predicted, or several")
    columns: Names | None = Field(default=None, description="the columns to learn from; unset: all others")
    ignore: Names = Field(default=(), description="columns to leave out")
    types: Mapping[str, Kind] = Field(
        default_factory=dict, description="what columns hold where that is not to be told from their values"
    )
    weights: str | None = Field(default=None, description="the column that says how much a row counts")
    id: str | None = Field(default=None, description="the column that names a row; predict carries it along")
    split: str | None = Field(
        default=None, description="the column that says where a row belongs: train, validation or test"
    )
    test: Annotated[Annotated[float, Field(ge=0, lt=1)] | Some | None, OneName] = Field(
        default=None, description="files of test rows, or a fraction of all rows, stratified, the same for every seed"
    )
    validation: Annotated[Some | None, OneName] = Field(default=None, description="files of validation rows")

    def form(self) -> Form:
        """How its files are written."""
        return Form()

    def read(self, places: Places) -> Raw:
        """The columns as they are, not yet numbers. Raises DataError for what cannot be read or is not there."""
        return self._raw(places, Known(self.types, {}, self.form().decimal))

    def read_like(self, path: str, columns: Columns, places: Places) -> Raw:
        """Every row of another file, its columns read as those that a network was trained on. Raises DataError."""
        names = columns.names
        changed = {"path": (path,), "test": None, "validation": None, "split": None, "columns": names}
        own = {name: kind for name, kind in self.types.items() if name in names}
        changed |= {"ignore": (), "weights": None, "types": own}
        return self.model_copy(update=changed)._raw(places, columns.known(self.form().decimal))

    def _raw(self, places: Places, known: Known) -> Raw:
        """What `read` gives."""
        if self.split is not None and (self.test is not None or self.validation is not None):
            raise DataError(
                "data.source.split: the column says which rows test and validate; leave test and validation out"
            )
        main = self._open(self.path, places)
        tests = self._open(self.test, places) if isinstance(self.test, tuple) else []
        held = self._open(self.validation, places) if self.validation else []
        used = self._used(main[0])
        for tables in (main, tests, held):
            self._check_alike(main[0], tables, used)
        paths = [table.path for table in (*main, *held, *tests)]
        with _in_background(digest, paths) as hashes:
            train = self._read(main, used, places, known)
            alike = _alike(train, known)
            test = self._read(tests, used, places, alike) if tests else None
            validation = self._read(held, used, places, alike) if held else None
        apart: dict[str, np.ndarray] = {}
        whole = train
        if validation is not None:
            import numpy as np

            whole = join([train, validation], [paths[0], held[0].path])
            apart["validation"] = np.arange(len(train), len(whole))
        if self.split is not None:
            apart |= self._split(whole)
        options = self.model_dump(mode="json", exclude={"path", "test", "validation", "type", "id"})
        content = [options, hashes(), [len(main), len(held), len(tests)]]
        others = {*self.target, self.weights, self.id, self.split, *self.ignore}
        if self.columns is not None:
            others |= set(main[0].names) - set(self.columns)
        return Raw(
            train=self._rows(whole),
            test=None if test is None else self._rows(test),
            classes=(),
            image=None,
            largest=0,
            fingerprint=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            undecoded=Undecoded(
                where=str(paths[0]) if len(main) == 1 else f"{paths[0]} and {len(main) - 1} more",
                where_test=str(tests[0].path) if tests else "",
                apart=apart,
                test=self.test if isinstance(self.test, float) else None,
                unused=tuple(name for name in main[0].names if name in others),
                notes=_left_out((*main, *held, *tests)),
                categories=tuple(name for name, kind in self.types.items() if kind == "category"),
            ),
        )

    def _open(self, paths: Sequence[str], places: Places) -> list[Table]:
        return [open_table(path, self.form(), self._format()) for path in find_all(paths, places)]

    def _format(self) -> Format:
        return self.type  # type: ignore[attr-defined]

    def _used(self, table: Table) -> list[str]:
        """The columns that are read, in the file's order: the features, and what the options name."""
        single = {key: (value,) for key in ("weights", "id", "split") if (value := getattr(self, key)) is not None}
        several = {"target": self.target, "columns": self.columns or (), "ignore": self.ignore, "types": (*self.types,)}
        check_wanted(table.names, {**several, **single}, str(table.path))
        special = {*self.target, *(name for names in single.values() for name in names)}
        parts = [("target", name) for name in self.target] + [(key, name) for key, (name,) in single.items()]
        for at, (key, name) in enumerate(parts):
            for other, same in parts[:at]:
                if name == same:
                    raise DataError(f"data.source.{key}: {name!r} is the {other} already; name another column")
        for key, names in {"columns": self.columns or (), "ignore": self.ignore}.items():
            if both := [name for name in names if name in self.target]:
                raise DataError(f"data.source.{key}: {both[0]!r} is the target; leave it out there")
        wanted = set(table.names if self.columns is None else self.columns) - set(self.ignore)
        return [name for name in table.names if name in (wanted | special) and name != self.id]

    def _check_alike(self, first: Table, tables: Sequence[Table], used: Sequence[str]) -> None:
        for table in tables:
            if missing := [name for name in used if name not in table.names and name != self.split]:
                raise DataError(
                    f"{table.path}: without the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which "
                    f"{first.path} has; all files of a table want the same columns"
                )

    def _read(self, tables: Sequence[Table], used: Sequence[str], places: Places, known: Known) -> Pieces:
        written = [*self.target, *([self.split] if self.split else [])]

        def read(table: Table, known: Known) -> Pieces:
            names, told = [name for name in used if name in table.names], _telling(table.path, places)
            return table.read(names, written, known, places.room, told)

        found = [read(table, known) for table in tables]
        month: Orders = {name: order for one in found for name, order in one.orders.items() if order == "month"}
        for at, table in enumerate(tables):  # the days of a file may be so few that both ways fit
            if any(found[at].orders.get(name) == "day" for name in month):
                found[at] = read(table, replace(known, orders=known.orders | month))
        table = join(found, [table.path for table in tables])
        if len(table) and any(table.whole(self.target).null_count().row(0)):
            import numpy as np
            import polars as pl

            missing = pl.all_horizontal(pl.all().is_null())
            empty = [frame.select(missing).to_series().to_numpy() for _, frame in table.frames()]
            table = table.filtered(~np.concatenate(empty))  # empty lines are no rows
        if not len(table):
            raise DataError(f"{tables[0].path}: no rows below the header; give it data")
        return table

    def _rows(self, table: Pieces) -> Rows:
        import polars as pl

        special = {*self.target, self.weights, self.split}
        features = table.select([name for name in table.columns if name not in special])
        weights = None if self.weights is None else _weights(table.whole([self.weights]), self.weights)
        targets = table.whole(self.target)
        targets = targets.with_columns(
            with_point(one, self.form().decimal) for one in targets if one.dtype == pl.String
        )
        return Rows(features, targets, weights)  # pyright: ignore[reportArgumentType]

    def _split(self, table: Pieces) -> dict[str, np.ndarray]:
        """The row numbers of the splits that the split column names."""
        import numpy as np
        import polars as pl

        frame = table.whole([str(self.split)])
        names = frame[str(self.split)].cast(pl.String).str.strip_chars().str.to_lowercase()
        names = names.replace({"valid": "validation", "val": "validation"})
        if strange := sorted(set(names.unique()) - set(SPLITS), key=str):
            raise DataError(
                f"data.source.split: the column {self.split!r} holds {strange[0]!r}; wanted {', '.join(SPLITS)}"
            )
        found = {split: np.flatnonzero((names == split).to_numpy()) for split in SPLITS}
        if not len(found["train"]):
            raise DataError(f"data.source.split: no row of the column {self.split!r} says train")
        return {split: found[split] for split in ("validation", "test") if len(found[split])}


class Csv(_Table):
    """A table in files of separated values: CSV or TSV, plain or gzip."""

    type: Literal["csv"] = "csv"
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        default=None, description="unset: a tab in .tsv, else what the header shows: comma, tab, semicolon or |"
    )
    decimal: Literal[".", ","] = Field(default=".", description="what stands before the fraction of a number")
    quote: Annotated[str, Field(max_length=1)] = Field(
        default='"', description="what text is quoted with; '' for nothing"
    )
    encoding: str = Field(default="utf-8", description="how the text is encoded, as cp1252 or latin-1")
    header: bool = Field(
        default=True, description="whether the first line names the columns, else column_0, column_1 ..."
    )
    null: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=NULL, description="what stands for a missing value"
    )

    def form(self) -> Form:
        return Form(self.separator, self.decimal, self.quote, self.encoding, self.header, self.null)


class Parquet(_Table):
    """A table in Parquet files."""

    type: Literal["parquet"] = "parquet"


class Arrow(_Table):
    """A table in Arrow IPC (Feather) files."""

    type: Literal["arrow"] = "arrow"


def _alike(train: Pieces, known: Known) -> Known:
    """How files beside the training file are read: their columns hold what its columns hold."""
    kinds: dict[str, Kind] = {name: kind_of(dtype) for name, dtype in train.schema.items()}
    kinds |= known.types
    orders: Orders = {name: train.orders.get(name) for name, kind in kinds.items() if kind == "date"}
    return replace(known, types=kinds, orders=orders, trained=True)


def _left_out(tables: Sequence[Table]) -> tuple[str, ...]:
    """What there is to say of columns without a name, which pandas writes for its index, and of some files alone."""
    told, first = [], tables[0]
    if count := len(first.file.raw_names) - len(first.names) if first.file is not None else 0:
        told.append(f"left out, without a name: {count} column{'s' * (count > 1)}")
    if more := list(dict.fromkeys(name for table in tables for name in table.names if name not in first.names)):
        told.append(f"left out, as {first.path} has none: {listed(more)}")
    return tuple(told)


def _weights(frame: polars.DataFrame, name: str) -> np.ndarray:
    import polars as pl

    if not frame.schema[name].is_numeric():
        raise DataError(f"data.source.weights: the column {name!r} holds no numbers, wanted 0 or more in each row")
    if frame[name].null_count():
        row = int(frame[name].is_null().arg_true()[0]) + 1
        raise DataError(f"data.source.weights: row {row:,}: {name!r} is missing; fill it in, 0 to leave the row out")
    return frame[name].cast(pl.Float32).to_numpy()


def _telling(path: Path, places: Places) -> Progress | None:
    """What a reader of this file calls with the bytes that are done; None for a file that takes no time."""
    size, told = path.stat().st_size, places.reading
    if told is None or size < LARGE:
        return None
    return lambda done: told(path.name, done, size)


def _in_background(function, *arguments):
    """Run it in a thread while the block runs; calling what the block gets returns the result."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import contextmanager

    @contextmanager
    def running():
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(function, *arguments).result

    return running()
