"""Files of separated values, read by polars; what is wrong with one is told with its row and column."""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun.data.table.kinds import Kind
from dnnrun.data.table.parse import LAST, NotNumbers, Parser, guess
from dnnrun.data.table.quotes import stray_quote
from dnnrun.data.table.records import Progress, open_plain, records
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import polars

NULL = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "?")
HEAD = 1 << 24  # bytes that a header may take
LONGEST_NAME = 1000  # characters
SEPARATORS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Form:
    """How a file is written. A `separator` of None is told from the name and the header."""

    separator: str | None = None
    decimal: str = "."
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool = True
    null: tuple[str, ...] = NULL


@dataclass(frozen=True)
class Csv:
    """A file of separated values. `names` are its columns; those without a name are left out."""

    path: Path
    form: Form
    raw_names: tuple[str, ...]
    separator: str
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(name.strip() for name in self.raw_names if name.strip()))

    def frames(
        self,
        wanted: Sequence[str],
        written: Sequence[str],
        types: Mapping[str, Kind],
        texts: set[str],
        progress: Progress | None = None,
    ) -> Iterator[polars.DataFrame]:
        """The columns `wanted` in frames of some rows each: numbers as such, all else, and `written`, as text.

        Raises NotNumbers where a column has to be text too, as those in `texts` are; DataError.
        """

        def numbers(piece: bytes) -> Mapping[str, Any]:
            return guess(self, piece, wanted, {*written, *texts}, types)

        for frame, again in self._parsed(wanted, numbers, progress):
            if again:
                raise NotNumbers(again)
            yield frame

    def scan(self, wanted: Sequence[str], numeric: Mapping[str, bool]) -> Iterator[polars.DataFrame]:
        """The columns `wanted` in frames of some rows each, in order; `numeric` as numbers, the others as text.

        `numeric` says of each whether it wants float64 rather than float32. Where one of these is no number, that frame
        and those after it have that column as text. Raises DataError.
        """
        import polars as pl

        def numbers(piece: bytes) -> Mapping[str, Any]:
            others = {name for name in wanted if name not in numeric}
            whole = [name for name, dtype in guess(self, piece, wanted, others, {}).items() if dtype == pl.Int16]
            whole = [name for name in whole if not numeric[name]]
            wide = {name: pl.Float64 if large else pl.Float32 for name, large in numeric.items()}
            return wide | dict.fromkeys(whole, pl.Int16)

        for frame, _ in self._parsed(wanted, numbers, None):
            yield frame

    def _parsed(
        self, wanted: Sequence[str], numbers: Callable[[bytes], Mapping[str, Any]], progress: Progress | None
    ) -> Iterator[tuple[polars.DataFrame, set[str]]]:
        """Frames, each with the columns that turned out to be text in it."""
        import polars as pl

        parser, header, again = None, self.form.header, set[str]()
        try:
            for piece in records(self.path, self.form.encoding, self.form.quote, progress):
                if header:
                    piece, header = piece[_first_record(piece, self.form.quote.encode()) :], False
                parser = parser or Parser(self, wanted, numbers(piece))
                again = set[str]()
                try:
                    frame = parser.frame(piece)
                except NotNumbers as error:
                    again = error.columns
                    parser.as_text(again)
                    frame = parser.frame(piece)
                self._check_lengths(frame, piece)
                if LAST in frame.columns:
                    frame.drop_in_place(LAST)
                yield frame, again
        except pl.exceptions.PolarsError as error:
            raise self._told(error) from None
        except UnicodeDecodeError:
            raise wrong_encoding(self.path, self.form.encoding) from None
        except (OSError, EOFError, zlib.error) as error:
            raise _unread(self.path, error) from error

    def _check_lengths(self, frame: polars.DataFrame, piece: bytes) -> None:
        """polars fills short rows up silently: where the last column misses values, look whether it is there."""
        if not frame[self.raw_names[-1].strip() if LAST not in frame.columns else LAST].null_count():
            return
        rows = self._rows(io.StringIO(piece.decode("utf-8", "replace"), newline=""))
        if any(row and len(row) != len(self.raw_names) for _, row in rows) and (wrong := self._ragged()) is not None:
            raise wrong

    def _told(self, error: Exception) -> DataError:
        """What polars says, in our words."""
        text = str(error)
        if "utf-8" in text.lower():
            return wrong_encoding(self.path, self.form.encoding)
        if ("more fields" in text or "n_extra" in text) and (ragged := self._ragged()) is not None:
            return ragged
        if "empty" in text.lower():
            return DataError(f"{self.path}: no rows below the header; give it data")
        quote = self._open_quote() or stray_quote(self.path, self.form.encoding, self.form.quote, self.separator)
        if quote is not None:
            return quote
        return DataError(f"{self.path}: cannot be read as CSV ({text.splitlines()[0]}); correct it")

    def _rows(self, text: Iterable[str] | None = None) -> Iterator[tuple[int, list[str]]]:
        """The line each row ends on, and its cells; of the whole file, or of a part of its text."""
        if text is None:
            with open_plain(self.path) as file:
                encoding = self.form.encoding.replace("utf-8", "utf-8-sig")
                yield from self._rows(io.TextIOWrapper(file, encoding, errors="replace", newline=""))
            return
        reader = _reader(text, self.separator, self.form.quote)
        for row in reader:
            yield reader.line_num, row

    def _ragged(self) -> DataError | None:
        """The first row that has more or fewer cells than the header."""
        number = -1 if self.form.header else 0
        for line, row in self._rows():
            if not row:
                continue
            number += 1
            if len(row) != len(self.raw_names):
                return DataError(
                    f"{self.path}:{line}: row {number:,} has {len(row)} value{'s' * (len(row) != 1)}, and the header "
                    f"names {len(self.raw_names)} columns; correct the row, or data.source.separator and quote"
                )
        return None

    def _open_quote(self) -> DataError | None:
        if not self.form.quote:
            return None
        start, last = 1, ""
        for line, row in self._rows():
            if line - start > 100 and any("\n" in cell for cell in row):
                last = f"{self.path}:{start}: a quote opens there and is not closed"
                break
            start = line + 1
        else:
            if any("\n" in cell for cell in row):  # pyright: ignore[reportPossiblyUnboundVariable]
                last = f"{self.path}: its last row has a quote that is not closed"
        return DataError(f"{last}; close it, or say data.source.quote: '' where quotes mean nothing") if last else None


def open_csv(path: Path, form: Form) -> Csv:
    """The file, its header read. Raises DataError for an empty file, bytes of another encoding, names twice."""
    head = _head(path, form)
    separator = form.separator or _separator(path, head)
    names = next((row for row in _reader(io.StringIO(head, newline=""), separator, form.quote) if row), [])
    if not form.header:
        return Csv(path, form, tuple(f"column_{number}" for number in range(len(names))), separator)
    stripped = [name.strip() for name in names]
    open_quote = form.quote and "\n" in names[-1] and head.count(form.quote) % 2
    if open_quote or any(len(name) > LONGEST_NAME for name in stripped):
        told = max(stripped, key=len)[:20]
        raise DataError(
            f"{path}:1: the header has a name without end, {told!r} and so on; close the quote that opens there, or "
            "say data.source.quote: '' where quotes mean nothing"
        )
    if not any(stripped):
        raise DataError(f"{path}: its first line names no column; wanted a header")
    for name in stripped:
        if name and stripped.count(name) > 1:
            hint = " (if the first line is no header, say data.source.header: false)" if _number(name) else ""
            raise DataError(f"{path}: two columns are called {name!r}; give each a name of its own{hint}")
    return Csv(path, form, tuple(names), separator)


def _reader(text: Iterable[str], separator: str, quote: str) -> Any:
    """Rows of cells, however long one is."""
    csv.field_size_limit(1 << 30)
    quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    return csv.reader(text, delimiter=separator, quotechar=quote or None, quoting=quoting)


def _head(path: Path, form: Form) -> str:
    """The first lines of a file."""
    try:
        with open_plain(path) as file:
            start = file.read(4)
            if start[:2] in (b"\xff\xfe", b"\xfe\xff") and "16" not in form.encoding:
                raise DataError(f"{path}: its text is UTF-16; say data.source.encoding: utf-16")
            if start == b"PAR1":
                raise DataError(f"{path}: this is a Parquet file; say data.source.type: parquet, or call it .parquet")
            if start[:2] == b"PK":
                raise DataError(f"{path}: this is a zip file or a spreadsheet, wanted CSV; export it as CSV")
            data = start
            while b"\n" not in data.lstrip() and len(data) < HEAD and (more := file.read(1 << 16)):
                data += more
            while data.count(b'"') % 2 and len(data) < HEAD and (more := file.read(1 << 16)):
                data += more
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; correct the path") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: this is a folder, wanted a file; name a file, or several as {path}/*.csv") from error
    except (OSError, EOFError, zlib.error) as error:
        raise _unread(path, error) from error
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise DataError(f"{path}: the file is empty; give it data")
    if b"\r" in data.strip() and b"\n" not in data:
        raise DataError(
            f"{path}: its lines end in CR alone, as on an old Macintosh; save it with line ends of LF or CRLF"
        )
    encoding = "utf-8-sig" if form.encoding in ("utf-8", "utf8") else form.encoding
    try:
        return data.decode(encoding)
    except LookupError:
        raise DataError(
            f"data.source.encoding: there is no encoding {form.encoding!r}; use utf-8, latin-1, cp1252 ..."
        ) from None
    except UnicodeDecodeError as error:
        if error.end >= len(data) - 4 and error.reason.startswith("unexpected end"):
            return data.decode(encoding, errors="ignore")
        raise wrong_encoding(path, form.encoding) from None


def _unread(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); see to the file")


def _first_record(text: bytes, quote: bytes) -> int:
    """Behind the first record that is not empty: the header."""
    start = stop = 0
    while stop < len(text):
        stop = text.find(b"\n", stop) + 1 or len(text)
        if quote and text.count(quote, start, stop) % 2:
            continue
        if text[start:stop].strip():
            break
        start = stop
    return stop


def wrong_encoding(path: Path, encoding: str) -> DataError:
    """Where the first byte stands that is none of the encoding."""
    with open_plain(path) as file:
        for number, line in enumerate(file):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return DataError(
                    f"{path}:{number + 1}: the byte 0x{byte:02x} is not {encoding.upper()}; if the file is written in "
                    "another encoding, say which, as data.source.encoding: cp1252 (Windows) or latin-1"
                )
    return DataError(f"{path}: its text is not {encoding.upper()}; say data.source.encoding")


def _separator(path: Path, head: str) -> str:
    """By the name where that says it, else what stands most often in the first line."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".tsv", ".tab")):
        return "\t"
    first = next((line for line in head.splitlines() if line.strip()), "")
    return max(SEPARATORS, key=lambda separator: (first.count(separator), -SEPARATORS.index(separator)))


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
