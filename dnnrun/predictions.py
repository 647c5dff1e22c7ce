"""What a trained network says of the rows of a file: read, predicted and written a batch at a time."""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun import files
from dnnrun.data.finding import find_all
from dnnrun.data.inputs import Inputs, located, open_inputs, takes
from dnnrun.data.room import Room
from dnnrun.data.source import Places
from dnnrun.data.table.columns import Columns, Encoded, Numeric
from dnnrun.data.table.csv import Form
from dnnrun.data.table.files import Table, format_of, open_table
from dnnrun.data.table.frames import encode
from dnnrun.data.table.kinds import is_plain, listed
from dnnrun.data.table.records import ahead
from dnnrun.data.table.unseen import Unseen
from dnnrun.errors import DataError
from dnnrun.trained import Trained

if TYPE_CHECKING:
    import polars

CELLS = 1 << 23  # of a batch: 32 MB as float32
MOST_ROWS = 1 << 16


@dataclass
class Predictions:
    """The predictions of rows of files, batch by batch: iterate it once; what there is to say of them is known then.

    `paths` are read; `made` gives the batches, as frames with a column `prediction`. `unseen` are the categories
    that training has not seen; `extra` are columns that it has not seen; `without_id` names the column that should name
    a row and is not there.
    """

    trained: Trained
    paths: Sequence[Path]
    made: Callable[[Predictions], Iterator[polars.DataFrame]]
    progress: Callable[[int, float], None] | None = None
    rows: int = 0
    unseen: Unseen = field(default_factory=Unseen)
    extra: list[str] = field(default_factory=list)
    without_id: str | None = None

    def __iter__(self) -> Iterator[polars.DataFrame]:
        began = time.monotonic()
        for frame in self.made(self):
            self.rows += len(frame)
            if self.progress:
                self.progress(self.rows, time.monotonic() - began)
            yield frame
        if not self.rows:
            raise DataError(f"{', '.join(map(str, self.paths))}: there are no rows to predict; give it data")

    def json_rows(self) -> list[dict[str, Any]]:
        """All of them as JSON takes them: dates as text, what is no number as null."""
        import polars as pl
        from polars import selectors as of

        written = of.temporal() | of.decimal() | of.categorical() | of.enum()
        found = (frame.with_columns(of.float().fill_nan(None), written.cast(pl.String)) for frame in self)
        return [row for frame in found for row in frame.to_dicts()]

    def notes(self) -> list[str]:
        """What a person should know of them."""
        told = []
        if self.extra:
            several = len(self.extra) > 1
            told.append(f"column{'s' * several} that training has not seen, not used: {listed(self.extra)}")
        told += self.unseen.lines()
        if self.without_id is not None:
            told.append(
                f"no column {self.without_id!r}, which names the rows; predictions are in the order of the rows"
            )
        return told

    def as_json(self) -> dict[str, Any]:
        """What `predict --json` prints beside the predictions."""
        return {
            "checkpoint": str(self.trained.checkpoint.folder),
            "rows": self.rows,
            "unknown": dict(self.unseen.counts),
            "extra": list(self.extra),
        }


def predict_files(
    trained: Trained,
    paths: Sequence[str],
    *,
    proba: bool = False,
    id: str | None = None,
    places: Places | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Predictions:
    """The predictions of one table, or of several one after the other, with nothing read yet but their headers.

    `id` is the column that names a row; unset: that of the spec. Raises DataError, CheckpointError.
    """
    places = places or Places()
    source: Any = trained.spec.data.source
    columns = trained.columns
    if columns is None or any(takes(found) for path in paths if (found := Path(path)).exists()):
        if id is not None:
            raise DataError("--id: arrays and images have no columns; leave it out (files are named by their paths)")
        room = _room(places)
        given = [open_inputs(located(path, places), trained.expected, room=room) for path in paths]
        return Predictions(trained, [inputs.path for inputs in given], partial(_of_inputs, given, proba), progress)
    found = find_all(paths, places)
    tables = [open_table(path, source.form() if hasattr(source, "form") else Form()) for path in found]
    known = id or getattr(source, "id", None)
    lacking = [table for table in tables if known is not None and known not in table.names]
    if id is not None and lacking:
        raise DataError(f"--id: {lacking[0].path} has no column {id!r}; it has {listed(lacking[0].names)}")
    told = Predictions(
        trained, found, partial(_of_tables, tables, columns, proba, None if lacking else known), progress
    )
    told.without_id = known if lacking else None
    if known is not None and not lacking and known in trained.told_names(proba):
        raise DataError(
            f"{tables[0].path}: the column {known!r}, which names the rows, is called like one of the predictions; "
            "give it another name, or name the rows by another column with --id"
        )
    for table in tables:
        told.extra += [name for name in columns.check_names(table.names, str(table.path)) if name not in told.extra]
    return told


def _room(places: Places) -> Room | None:
    """Where packed arrays are put so that they need not be in memory; None where nothing can be written."""
    try:
        return Room.of(places.cache)
    except DataError:
        return None


def _of_tables(
    tables: Sequence[Table], columns: Columns, proba: bool, id: str | None, told: Predictions
) -> Iterator[polars.DataFrame]:
    wanted = list(columns.names) if id is None or id in columns.names else [*columns.names, id]
    numbers = (column for column in columns.used if isinstance(column, Numeric) and column.kind == "number")
    numeric = {column.name: column.wants_float64 for column in numbers if column.name != id}
    size = max(1, min(MOST_ROWS, CELLS // columns.width))

    def encoded(table: Table) -> Iterator[tuple[polars.DataFrame, Encoded]]:
        first, decimal = 0, table.file.form.decimal if table.file else "."
        for whole in table.scan(wanted, numeric, size):
            for start in range(0, len(whole), size):
                batch = whole.slice(start, size)
                yield batch, encode(batch, columns, str(table.path), first, decimal)
                first += len(batch)

    for table in tables:
        for batch, rows in ahead(encoded(table)):
            told.unseen.add(rows.unseen)
            frame = told.trained.told(rows.matrix, proba)
            yield frame if id is None else frame.insert_column(0, _naming(batch[id], table.path))


def _naming(column: polars.Series, path: Path) -> polars.Series:
    """The column that names rows. Raises DataError where its values cannot be written."""
    if not is_plain(column.dtype):
        raise DataError(
            f"{path}: the column {column.name!r}, which names the rows, holds {column.dtype}, wanted text, "
            "numbers or dates; name them by another column with --id"
        )
    return column


def _of_inputs(given: Sequence[Inputs], proba: bool, told: Predictions) -> Iterator[polars.DataFrame]:
    """Of arrays and of images; those of images stand beside their paths, in a column `file`."""
    import polars as pl

    for inputs in given:
        for piece in inputs.pieces():
            frame = told.trained.told(told.trained.inputs(piece.features), proba)
            yield frame.insert_column(0, pl.Series("file", list(piece.ids))) if inputs.id_name == "file" else frame


def write(predictions: Predictions, output: Path) -> None:
    """All of them into a CSV or Parquet file, whole or not at all. Raises DataError for another kind of file."""
    suffix = output.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet", ".pq"):
        raise DataError(f"--output: {output}: wanted a name that ends in .csv, .tsv or .parquet")
    if output.exists() and any(path.exists() and path.samefile(output) for path in predictions.paths):
        raise DataError(f"--output: {output} is the file with the rows; choose another name")
    if format_of(output) == "csv":
        files.write_atomic(output, csv_chunks(predictions, "\t" if suffix == ".tsv" else ","))
    else:
        files.write_atomic(output, _parquet_chunks(predictions))


def csv_chunks(predictions: Predictions, separator: str = ",") -> Iterator[bytes]:
    """The text of a CSV file, a batch at a time."""
    header = True
    for frame in predictions:
        yield frame.write_csv(include_header=header, separator=separator).encode()
        header = False


def _parquet_chunks(predictions: Predictions) -> Iterator[bytes]:
    """The bytes of a Parquet file as polars writes them in a thread of its own."""
    from polars.io.plugins import register_io_source

    batches = iter(predictions)
    first = next(batches)  # there is one, or an error that says so
    pipe, failed = _Pipe(), []

    def source(columns: Any, predicate: Any, rows: Any, size: Any) -> Iterator[polars.DataFrame]:
        yield first
        try:
            yield from batches
        except GeneratorExit:  # polars was interrupted, and says so
            raise
        except BaseException as error:  # polars would tell it in words of its own
            failed.append(error)
            raise

    def work() -> None:
        try:
            register_io_source(source, schema=first.schema).sink_parquet(pipe)  # type: ignore[arg-type]
        except BaseException as error:
            failed.append(error)
        pipe.pieces.put(None)

    thread = threading.Thread(target=work, name="parquet", daemon=True)
    thread.start()
    while (piece := pipe.pieces.get()) is not None:
        yield piece
    thread.join()
    if failed:
        raise failed[0]


class _Pipe(io.RawIOBase):
    """A file that hands what is written to it to another thread."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes | None] = queue.Queue(16)
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        self.pieces.put(piece)
        self.count += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self.count
