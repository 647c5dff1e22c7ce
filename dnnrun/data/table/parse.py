"""Pieces of a file of separated values as frames: numbers as numbers of a few bytes, all else as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dnnrun.data.table.kinds import FINE, Kind

if TYPE_CHECKING:
    import polars

    from dnnrun.data.table.csv import Csv

SAMPLE, FEWEST = 1000, 250  # rows that the types of columns are guessed from; the others are checked against them
MOST = 1e38  # about what float32 can hold
CELLS = 1 << 18  # values that are looked at, where the table is so wide that its sample would take long
LAST = "\n"  # no column can be called that: names are stripped
WHOLE = r"^-?\d{1,4}$"  # fits 16 bits


class NotNumbers(Exception):
    """Columns that were taken for numbers and have a value that is none."""

    def __init__(self, columns: set[str]):
        self.columns = columns


def guess(file: Csv, piece: bytes, wanted: Sequence[str], texts: set[str], types: Mapping[str, Kind]) -> dict[str, Any]:
    """The columns of `wanted` that look like numbers at the beginning of the file, `texts` apart, and their dtypes.

    16 bits for whole numbers of up to four digits, else Float32 where that is exact enough, else Float64.
    """
    import polars as pl

    rows = min(SAMPLE, max(FEWEST, CELLS // len(wanted)))
    sample = _read(file, piece, dict.fromkeys(wanted, pl.String), nulls=True, n_rows=rows).select(wanted)
    guessed = [name for name in wanted if name not in texts and types.get(name) in (None, "number")]
    if not guessed:
        return {}
    values = _as_numbers(file, sample.select(guessed))
    lost, there = values.null_count().row(0), sample.select(guessed).null_count().row(0)
    whole = sample.select(pl.col(guessed).str.contains(WHOLE).all()).row(0)
    spread = values.select(pl.all().std(ddof=0)).row(0)
    largest = values.select(pl.all().abs().max()).row(0)
    found: dict[str, Any] = {}
    for at, name in enumerate(guessed):
        if lost[at] == len(sample) or lost[at] > there[at]:
            continue
        fine = largest[at] == 0 or (2**-24 * largest[at] < FINE * spread[at] and largest[at] < MOST)
        found[name] = (pl.Int16 if whole[at] else pl.Float32) if fine else pl.Float64
    return found


class Parser:
    """Makes frames of `wanted` columns: those in `numbers` as such, the others as text.

    What stands for a missing value is looked for among numbers only once a piece has something that is no number: that
    saves a fifth of the time.
    """

    def __init__(self, file: Csv, wanted: Sequence[str], numbers: Mapping[str, Any]):
        import polars as pl

        self.file = file
        self.dtypes: dict[str, Any] = {name: numbers.get(name, pl.String) for name in wanted}
        self.nulls = any(map(_is_number, file.form.null))

    def frame(self, piece: bytes) -> polars.DataFrame:
        """The rows of a piece, as `_read` has them. Raises NotNumbers, and PolarsError for what is no table."""
        import polars as pl

        while True:
            try:
                frame = _read(self.file, piece, self.dtypes, self.nulls)
                break
            except pl.exceptions.ComputeError as error:
                if "could not parse" not in str(error):
                    raise
            if pl.Int16 in self.dtypes.values():
                self.dtypes = {name: pl.Float32 if kind == pl.Int16 else kind for name, kind in self.dtypes.items()}
            elif not self.nulls:
                self.nulls = True
            else:
                raise NotNumbers(self._wrong(piece))
        return frame if self.nulls else self._without(frame)

    def as_text(self, columns: set[str]) -> None:
        """Take these columns as text from here on."""
        import polars as pl

        self.dtypes |= dict.fromkeys(columns, pl.String)

    def _without(self, frame: polars.DataFrame) -> polars.DataFrame:
        """The frame, its texts that stand for a missing value missing."""
        import polars as pl

        texts = [name for name, dtype in frame.schema.items() if dtype == pl.String and name != LAST]
        null = [text for text in self.file.form.null if text]
        if not texts or not null:
            return frame
        column = pl.col(texts)
        return frame.with_columns(pl.when(column.is_in(null)).then(None).otherwise(column).name.keep())

    def _wrong(self, piece: bytes) -> set[str]:
        """The columns of numbers that hold something else."""
        import polars as pl

        numbers = [name for name, dtype in self.dtypes.items() if dtype != pl.String]
        texts = _read(self.file, piece, dict.fromkeys(numbers, pl.String), nulls=True).select(numbers)
        values = _as_numbers(self.file, texts)
        lost = zip(numbers, values.null_count().row(0), texts.null_count().row(0), strict=True)
        return {name for name, missing, before in lost if missing > before} or set(numbers)


def _read(file: Csv, piece: bytes, dtypes: Mapping[str, Any], nulls: bool, n_rows: int | None = None) -> Any:
    """The columns `dtypes`, in that order, and at the end that in the last place, called LAST where it is none of them.

    polars passes over what stands behind the last column that it is asked for, be it too much or too little.
    """
    import polars as pl

    places = {name.strip(): place for place, name in enumerate(file.raw_names)}
    chosen = {places[name]: name for name in dtypes}
    chosen.setdefault(len(file.raw_names) - 1, LAST)
    schema = {str(place): dtypes.get(chosen.get(place, ""), pl.String) for place in range(len(file.raw_names))}
    frame = pl.read_csv(
        piece,
        has_header=False,
        schema=schema,
        columns=sorted(chosen),
        n_rows=n_rows,
        separator=file.separator,
        quote_char=file.form.quote or None,
        null_values=[text for text in file.form.null if text] if nulls else None,
        empty_string_is_null="" in file.form.null,
        decimal_comma=file.form.decimal == ",",
        missing_columns="insert",
    )
    frame.columns = [chosen[place] for place in sorted(chosen)]
    wanted = [*dtypes, *([LAST] if LAST in frame.columns else [])]
    return frame if frame.columns == wanted else frame.select(wanted)


def _as_numbers(file: Csv, texts: polars.DataFrame) -> polars.DataFrame:
    """Columns of text as Float64, missing where one is no number."""
    import polars as pl

    text = pl.all().str.strip_chars()
    if file.form.decimal == ",":
        text = text.str.replace(",", ".", literal=True)
    return texts.select(text.cast(pl.Float64, strict=False))


def _is_number(text: str) -> bool:
    """Whether it would be read as a number, "nan" apart."""
    try:
        return float(text.replace(",", ".")) == float(text.replace(",", "."))
    except ValueError:
        return False
