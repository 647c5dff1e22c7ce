"""Files of tables: which format each is of, and their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dnnrun.data.table.csv import Csv, Form, open_csv
from dnnrun.data.table.dates import Orders
from dnnrun.data.table.kinds import Known, listed, near
from dnnrun.data.table.parse import NotNumbers
from dnnrun.data.table.pieces import Gathering, Pieces, casts, common
from dnnrun.data.table.records import Progress, ahead
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import polars

    from dnnrun.data.room import Room

ROWS = 1 << 16  # of a file whose columns have types, in a frame
Format = Literal["csv", "parquet", "arrow"]
SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".ipc": "arrow", ".feather": "arrow",
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".txt": "csv", ".gz": "csv", ".data": "csv",
}  # fmt: skip


def format_of(path: Path, otherwise: Format = "csv") -> Format:
    """The format that a file's name says."""
    return SUFFIXES.get(path.suffix.lower(), otherwise)


@dataclass(frozen=True)
class Table:
    """An opened file: the names of its columns are known."""

    path: Path
    names: tuple[str, ...]
    file: Csv | None  # None for a file whose columns have types

    def read(
        self,
        wanted: Sequence[str],
        written: Sequence[str],
        known: Known,
        room: Room | None = None,
        progress: Progress | None = None,
    ) -> Pieces:
        """The columns `wanted`, typed; those in `written` as the file writes them. Raises DataError.

        `room` is where its rows are kept, None for memory.
        """
        gathering = Gathering(room, known, written)
        if self.file is None:
            if room is None:
                gathering.add(self._collected(wanted))
            else:
                for frame in self.scan(wanted, {}, ROWS):
                    gathering.add(frame)
            return gathering.done(wanted, str(self.path))
        texts = set[str]()
        while True:
            try:
                for frame in self.file.frames(wanted, written, known.types, texts, progress):
                    gathering.add(frame)
            except NotNumbers as error:  # the beginning of the file looked like numbers
                texts |= error.columns
                gathering.clear()
                continue
            return gathering.done(wanted, str(self.path))

    def scan(self, wanted: Sequence[str], numeric: Mapping[str, bool], rows: int) -> Iterator[polars.DataFrame]:
        """The columns `wanted` in frames of some rows, in order; of CSV `numeric` as numbers, else text.

        `numeric` is as for a Csv. `rows` says about how many, of files whose columns have types. The next ones are read
        while the caller has one.
        """
        if self.file is not None:
            yield from ahead(self.file.scan(wanted, numeric))
            return
        import polars as pl

        try:
            yield from _lazy(self.path).select(wanted).collect_batches(chunk_size=rows, maintain_order=True)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unread(error) from None

    def _collected(self, wanted: Sequence[str]) -> polars.DataFrame:
        import polars as pl

        try:
            return _lazy(self.path).select(wanted).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unread(error) from None

    def _unread(self, error: Exception) -> DataError:
        return DataError(f"{self.path}: cannot be read ({_line(error)}); replace the file")


def open_table(path: Path, form: Form, otherwise: Format = "csv") -> Table:
    """The file with its header read. Raises DataError where it cannot be."""
    if format_of(path, otherwise) == "csv":
        found = open_csv(path, form)
        return Table(path, found.names, found)
    import polars as pl

    try:
        return Table(path, tuple(_lazy(path).collect_schema().names()), None)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; correct the path") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = {"parquet": "a Parquet", "arrow": "an Arrow IPC"}[format_of(path, otherwise)]
        raise DataError(f"{path}: cannot be read as {kind} file ({_line(error)}); replace the file") from None


def _lazy(path: Path) -> polars.LazyFrame:
    import polars as pl

    if format_of(path) == "arrow":
        return pl.scan_ipc(path, glob=False)
    return pl.scan_parquet(path, glob=False)


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def check_wanted(names: Sequence[str], wanted: Mapping[str, Sequence[str]], where: str) -> None:
    """Raises DataError where an option (its key in `wanted`) names a column that the file lacks."""
    for option, columns in wanted.items():
        for name in columns:
            if name not in names:
                meant = near(name, names)
                hint = f"did you mean {meant!r}?" if meant else f"it has {listed(names)}"
                raise DataError(f"data.source.{option}: {where} has no column {name!r}; {hint}")


def digest(paths: Sequence[Path]) -> list[str]:
    """The sha256 (hex) of each file's bytes."""
    import hashlib

    def one(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(one, paths))


def join(tables: Sequence[Pieces], paths: Sequence[Path]) -> Pieces:
    """Files of one table below each other. Raises DataError where a column's type differs."""
    import polars as pl

    if len(tables) == 1:
        return tables[0]
    first, schemas = tables[0], [tables[0].schema]
    for table, path in zip(tables[1:], paths[1:], strict=True):
        own = {name: table.schema[name] for name in first.schema}
        for name, dtype in first.schema.items():
            both = (dtype, own[name])
            if dtype != own[name] and not all(kind.is_numeric() or kind == pl.Boolean for kind in both):
                empty = [not len(one.whole([name]).drop_nulls()) for one in (first, table)]
                if not any(empty):
                    raise DataError(
                        f"{path}: the column {name!r} holds {_what(own[name])}, and in {paths[0]} it holds "
                        f"{_what(dtype)}; make them alike, or say data.source.types: {{{name}: category}}"
                    )
                own[name] = dtype if empty[1] else own[name]
                if empty[0]:
                    schemas = [{**schema, name: own[name]} for schema in schemas]
        schemas.append(own)
    schema = common(schemas)
    parts = [
        replace(part, casts={**part.casts, **casts(table.schema, schema)}) for table in tables for part in table.parts
    ]
    orders: Orders = {name: order for table in tables for name, order in table.orders.items()}
    return Pieces(parts, schema, first.room, orders)


def _what(dtype: Any) -> str:
    from dnnrun.data.table.kinds import kind_of

    return {"number": "numbers", "boolean": "true and false", "date": "dates", "category": "text"}[kind_of(dtype)]
