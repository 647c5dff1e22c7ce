"""Files of separated values, read by polars; what is wrong with one is told with its row and column."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun.data.table.kinds import Kind
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import polars

NULL = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "?")
SAMPLE = 1000  # rows that the types of columns are guessed from; the others are checked against them
HEAD = 1 << 24  # bytes that a header may take
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

    def read(self, wanted: Sequence[str], written: Sequence[str], types: Mapping[str, Kind]) -> polars.DataFrame:
        """The columns `wanted`: numbers as floats, all else as text; those in `written` as they are written.

        Raises DataError.
        """
        import polars as pl

        raw = {name.strip(): name for name in self.raw_names}
        columns = [raw[name] for name in wanted]
        dtypes = self._dtypes(columns, {raw[name] for name in written if name in raw}, types)
        try:
            frame = pl.read_csv(self._source(), columns=columns, schema_overrides=dtypes, **self._options())
        except pl.exceptions.PolarsError as error:
            frame = self._as_text(columns, error)
        frame = frame.select(pl.col(raw[name]).alias(name) for name in wanted)
        self._check_lengths(frame)
        return frame

    def scan(self, wanted: Sequence[str], numeric: Sequence[str], rows: int) -> Iterator[polars.DataFrame]:
        """The columns `wanted` in batches of about so many rows, in order; `numeric` as floats, the others as text.

        Where one of these is no number, that batch and those after it have them as text.
        """
        import polars as pl

        raw, done = {name.strip(): name for name in self.raw_names}, 0
        picked = [pl.col(raw[name]).alias(name) for name in wanted]
        floats = {raw[name]: pl.Float32 for name in numeric}
        try:
            dtypes = {name: floats.get(name, pl.String) for name in self.raw_names}
            lazy = pl.scan_csv(self._source(), schema=dtypes, **self._options(infer=None))
            for batch in lazy.select(picked).collect_batches(chunk_size=rows, maintain_order=True):
                done += len(batch)
                yield batch
        except pl.exceptions.ComputeError as error:
            if "could not parse" not in str(error):
                raise self._told(error) from None
            texts = dict.fromkeys(self.raw_names, pl.String)
            lazy = pl.scan_csv(self._source(), schema=texts, **self._options(infer=None)).select(picked)
            try:
                for batch in lazy.slice(done).collect_batches(chunk_size=rows, maintain_order=True):
                    yield batch
            except pl.exceptions.PolarsError as again:
                raise self._told(again) from None
        except pl.exceptions.PolarsError as error:
            raise self._told(error) from None

    def _source(self) -> Any:
        if self.form.encoding in ("utf-8", "utf8"):
            return self.path
        return io.BytesIO(_text(self.path, self.form.encoding).encode())

    def _options(self, infer: bool | None = False) -> dict[str, Any]:
        found: dict[str, Any] = {
            "separator": self.separator,
            "quote_char": self.form.quote or None,
            "null_values": [text for text in self.form.null if text],
            "empty_string_is_null": "" in self.form.null,
            "has_header": self.form.header,
            "decimal_comma": self.form.decimal == ",",
            "glob": False,
        }
        if infer is not None:
            found["infer_schema"] = infer
        return found

    def _dtypes(self, columns: Sequence[str], written: set[str], types: Mapping[str, Kind]) -> dict[str, Any]:
        """Float32 for a column of numbers where that is exact enough, else Float64; what is no number stays text."""
        import polars as pl

        try:
            sample = pl.read_csv(self._source(), columns=list(columns), n_rows=SAMPLE, **self._options())
        except pl.exceptions.PolarsError as error:
            raise self._told(error) from None
        guessed = [
            name for name in sample.columns if name not in written and types.get(name.strip()) in (None, "number")
        ]
        text = pl.col(guessed).str.strip_chars()
        if self.form.decimal == ",":
            text = text.str.replace(",", ".", literal=True)
        values = sample.select(text.cast(pl.Float64, strict=False))
        lost = values.null_count().row(0) if guessed else ()
        spread, largest = values.select(pl.all().std(ddof=0)), values.select(pl.all().abs().max())
        found = {}
        for name, missing in zip(guessed, lost, strict=True):
            if missing == len(sample) or missing > sample[name].null_count():
                continue
            most = largest[name].item()
            fine = most == 0 or 2**-24 * most < 1e-3 * spread[name].item()
            found[name] = pl.Float32 if fine else pl.Float64
        return found

    def _as_text(self, columns: Sequence[str], first: Exception) -> polars.DataFrame:
        """All as text, after a number was none; what does not fit is found later, with its row."""
        import polars as pl

        if "could not parse" not in str(first):
            raise self._told(first) from None
        try:
            return pl.read_csv(self._source(), columns=list(columns), **self._options())
        except pl.exceptions.PolarsError as error:
            raise self._told(error) from None

    def _check_lengths(self, frame: polars.DataFrame) -> None:
        """polars fills short rows up silently: where the last column misses values, look whether it is there."""
        if not len(frame) or (
            frame.width and not any(series[-1:].null_count() or series.null_count() for series in frame)
        ):
            return
        if self.raw_names[-1].strip() in frame.columns and not frame[self.raw_names[-1].strip()].null_count():
            return
        if (wrong := self._ragged()) is not None:
            raise wrong

    def _told(self, error: Exception) -> DataError:
        """What polars says, in our words."""
        text = str(error)
        if "utf-8" in text.lower():
            return wrong_encoding(self.path, self.form.encoding)
        if "more fields" in text and (ragged := self._ragged()) is not None:
            return ragged
        if "empty" in text.lower():
            return DataError(f"{self.path}: no rows below the header; give it data")
        quote = self._open_quote()
        if quote is not None:
            return quote
        return DataError(f"{self.path}: cannot be read as CSV ({text.splitlines()[0]}); correct it")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line each row ends on, and its cells."""
        with _open(self.path) as file:
            text = io.TextIOWrapper(
                file, self.form.encoding.replace("utf-8", "utf-8-sig"), errors="replace", newline=""
            )
            quoting = csv.QUOTE_MINIMAL if self.form.quote else csv.QUOTE_NONE
            csv.field_size_limit(1 << 30)
            reader = csv.reader(text, delimiter=self.separator, quotechar=self.form.quote or None, quoting=quoting)
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
    csv.field_size_limit(1 << 30)
    quoting = csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE
    lines = io.StringIO(head, newline="")
    reader = csv.reader(lines, delimiter=separator, quotechar=form.quote or None, quoting=quoting)
    names = next((row for row in reader if row), [])
    if not form.header:
        return Csv(path, form, tuple(f"column_{number}" for number in range(len(names))), separator)
    stripped = [name.strip() for name in names]
    if not any(stripped):
        raise DataError(f"{path}: its first line names no column; wanted a header")
    for name in stripped:
        if name and stripped.count(name) > 1:
            hint = " (if the first line is no header, say data.source.header: false)" if _number(name) else ""
            raise DataError(f"{path}: two columns are called {name!r}; give each a name of its own{hint}")
    return Csv(path, form, tuple(names), separator)


def _head(path: Path, form: Form) -> str:
    """The first lines of a file."""
    try:
        with _open(path) as file:
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
    except (OSError, EOFError) as error:
        raise DataError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); see to the file"
        ) from error
    if not data.strip():
        raise DataError(f"{path}: the file is empty; give it data")
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


def wrong_encoding(path: Path, encoding: str) -> DataError:
    """Where the first byte stands that is none of the encoding."""
    with _open(path) as file:
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


def _open(path: Path) -> Any:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def _text(path: Path, encoding: str) -> str:
    with _open(path) as file:
        try:
            return file.read().decode(encoding)
        except UnicodeDecodeError:
            raise wrong_encoding(path, encoding) from None


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
