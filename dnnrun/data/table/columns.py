"""What became of each column of a table on the training rows, and the float32 matrix that it makes of any rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dnnrun.data.table.dates import GUESSED, Order, Orders
from dnnrun.data.table.kinds import FINE, Known, infinite, listed, near, numbers
from dnnrun.data.table.unseen import Unseen
from dnnrun.errors import CheckpointError, DataError

if TYPE_CHECKING:
    import polars

    from dnnrun.data.room import Placing

VERSION = 1
BLOCK = 2048  # rows encoded in one go
STRIP = 1 << 17  # numbers scaled in one go: they stay in a core's cache
SCALES = ("standardize", "min_max", "log", "none")
KINDS = ("number", "boolean", "date")


@dataclass(frozen=True)
class Numeric:
    """A column of numbers, of dates (days since 1970, UTC) or of false and true (0 and 1).

    x -> (x - offset) * factor, after sign(x) log(1 + |x|) where `scale` is log; a missing x is `fill`, and where
    `indicator` a second column is 1 there and 0 elsewhere. `order`: what comes first in dates of text, day or month.
    """

    name: str
    kind: str
    scale: str
    offset: float
    factor: float
    fill: float
    indicator: bool
    order: Order | None = None

    @property
    def width(self) -> int:
        return 1 + self.indicator

    @property
    def wants_float64(self) -> bool:
        """Whether its values are so large beside their differences that float32 would blur them."""
        if self.scale not in ("standardize", "min_max") or not self.factor:
            return False
        return abs(self.offset * self.factor) * 2**-24 >= FINE


@dataclass(frozen=True)
class Category:
    """A column of categories: one column for each of `values`, 1 where it holds; then, where training rows had some,
    one for all `rare` ones, which unknown ones get too, and one for what is missing."""

    name: str
    values: tuple[str, ...]
    rare: tuple[str, ...]
    missing: bool
    kind: ClassVar[str] = "category"

    @property
    def width(self) -> int:
        return len(self.values) + bool(self.rare) + self.missing


Column = Numeric | Category


@dataclass(frozen=True)
class Columns:
    """The columns that are used, in the order of the training file.

    `unused` are the other columns of the training file (the target, dropped ones ...), which may be there later on or
    not.
    """

    used: tuple[Column, ...]
    unused: tuple[str, ...] = ()

    @cached_property
    def width(self) -> int:
        """The columns of the matrix."""
        return sum(column.width for column in self.used)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.used)

    def known(self, decimal: str = ".") -> Known:
        """How the columns of another file are read: as what they held in training."""
        orders: Orders = {column.name: column.order for column in self.used if isinstance(column, Numeric)}
        kinds: dict[str, Any] = {column.name: column.kind for column in self.used}
        return Known(kinds, orders, decimal, trained=True)

    def feature_names(self) -> list[str]:
        """What each column of the matrix holds, as `age`, `age missing`, `city=Rome`, `city rare`."""
        found: list[str] = []
        for column in self.used:
            if isinstance(column, Numeric):
                found += [column.name, f"{column.name} missing"][: column.width]
            else:
                found += [f"{column.name}={value}" for value in column.values]
                found += [f"{column.name} rare"] * bool(column.rare) + [f"{column.name} missing"] * column.missing
        return found

    def check_names(self, names: Sequence[str], where: str) -> list[str]:
        """The names that were not there in training. Raises DataError, naming what is missing."""
        there = set(names)
        if missing := [name for name in self.names if name not in there]:
            known = {*self.names, *self.unused}
            alike = {name: near(name, [other for other in names if other not in known]) for name in missing}
            told = ", ".join(f"{name!r}{f' (is it {alike[name]!r}?)' * bool(alike[name])}" for name in missing[:10])
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise DataError(
                f"{where}: without the column{'s' * (len(missing) > 1)} {told}{more}, which the network was trained "
                f"on; it has {listed(names)}. Add what is missing; the order does not matter"
            )
        known = {*self.names, *self.unused}
        return [name for name in names if name not in known]

    def encode(self, frame: polars.DataFrame, where: str = "", first: int = 0) -> Encoded:
        """The rows of a typed frame as (rows, width) float32; more columns may be there, in any order.

        `first` is the number of the rows before these, for messages. Raises DataError for a number that is infinite
        or becomes so.
        """
        out = np.empty((len(frame), self.width), np.float32)
        unseen = Unseen()
        for start in range(0, len(frame), BLOCK):
            part = frame.slice(start, BLOCK)
            unseen.add(self.encode_into(part, out[start : start + len(part)], where, first + start))
        return Encoded(out, unseen)

    def put(self, frame: polars.DataFrame, places: np.ndarray, out: Placing, where: str, first: int) -> None:
        """Put the rows of a frame where `places` says, (rows,) row numbers of `out`; -1: nowhere."""
        block = np.empty((BLOCK, self.width), np.float32)
        for start in range(0, len(frame), BLOCK):
            there = places[start : start + BLOCK]
            kept = np.flatnonzero(there >= 0)
            if len(kept):
                rows, part = frame.slice(start, BLOCK), block[: len(there)]
                if len(kept) < len(there) // 4:
                    self._few(rows, kept, part, where, first + start)
                else:
                    self.encode_into(rows, part, where, first + start)
                    part = part if len(kept) == len(part) else part[kept]
                out.put(there[kept], part[: len(kept)])

    def _few(self, rows: polars.DataFrame, kept: np.ndarray, out: np.ndarray, where: str, first: int) -> None:
        """Encode the rows `kept` into the first ones of `out`."""
        try:
            self.encode_into(rows[kept], out[: len(kept)], where, first)
        except DataError:
            self.encode_into(rows, out, where, first)  # tells the row by its right number
            raise

    def encode_into(self, frame: polars.DataFrame, out: np.ndarray, where: str = "", first: int = 0) -> Unseen:
        """Write the rows into `out`, (rows, width) float32; the categories that training has not seen."""
        if self._numeric.names:
            values = self._values(frame)
            rows = max(1, STRIP // values.shape[1])
            for start in range(0, len(values), rows):
                self._numbers(values[start : start + rows], out[start : start + rows], where, first + start)
        return self._categories(frame, out)

    def _values(self, frame: polars.DataFrame) -> np.ndarray:
        """The numeric columns, (rows, columns) float64, or float32 or int16 where that is exact; NaN for a missing one.

        int16 where none is missing.
        """
        import polars

        names = self._numeric.names
        own = frame if names == frame.columns else frame.select(names)
        if set(own.dtypes) <= {polars.Float32, polars.Int16}:
            found = own.to_numpy(order="c")
            return found if found.dtype == np.int16 else found.astype(np.float32, copy=False)
        return numbers(frame, names).to_numpy(order="c")

    def _numbers(self, values: np.ndarray, out: np.ndarray, where: str, first: int) -> None:
        numeric = self._numeric
        whole = values.dtype == np.int16
        values = values.astype(np.float32) if whole else values
        offset, factor, fill = (part.astype(values.dtype) for part in (numeric.offset, numeric.factor, numeric.fill))
        missing = None
        if not whole and not math.isfinite(values.sum()):
            missing = np.isnan(values)
            values = np.where(missing, fill, values)
        with np.errstate(over="ignore", invalid="ignore"):
            if len(numeric.log):
                values = values.copy()
                values[:, numeric.log] = np.sign(values[:, numeric.log]) * np.log1p(np.abs(values[:, numeric.log]))
            scaled = values - offset
            scaled *= factor
            out[:, numeric.places] = scaled
            total = (scaled if scaled.dtype == np.float32 else out[:, numeric.places]).sum()  # as float32: what is kept
        if len(numeric.indicators):
            out[:, numeric.indicators] = 0 if missing is None else missing[:, numeric.indicated]
        if not math.isfinite(total) and not (finite := np.isfinite(out[:, numeric.places])).all():
            row, column = np.argwhere(~finite)[0]
            raise infinite(where, int(first + row), numeric.names[column], float(values[row, column]))

    def _categories(self, frame: polars.DataFrame, out: np.ndarray) -> Unseen:
        import polars

        unseen = Unseen()
        start = 0
        for column in self.used:
            stop = start + column.width
            if isinstance(column, Category):
                text = frame.get_column(column.name).cast(polars.String)
                codes, missing = self._codes(column, text)
                out[:, start:stop] = 0
                hit = codes < len(column.values)
                out[np.flatnonzero(hit), start + codes[hit]] = 1
                other = ~hit & ~missing
                if column.rare:
                    out[other, start + len(column.values)] = 1
                strange = other & (codes > len(column.values))
                if column.missing:
                    out[missing, stop - 1] = 1
                if strange.any():
                    unseen.see(column.name, text.filter(polars.Series(strange)))
            start = stop
        return unseen

    def _codes(self, column: Category, text: polars.Series) -> tuple[np.ndarray, np.ndarray]:
        """The number of each row's category, len(values) for a rare one, one more for any other; what is missing."""
        import polars

        table = dict.fromkeys(column.rare, len(column.values))
        table |= {value: number for number, value in enumerate(column.values)}
        codes = text.replace_strict(table, default=len(column.values) + 1, return_dtype=polars.Int32).to_numpy()
        return codes, text.is_null().to_numpy()

    @cached_property
    def _numeric(self) -> _NumericColumns:
        return _NumericColumns(self.used)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        used = [{"kind": column.kind, **asdict(column)} for column in self.used]
        for entry in used:
            if entry.get("order", "") is None:
                del entry["order"]
            entry |= {key: list(entry[key]) for key in ("values", "rare") if key in entry}
        return {"type": "columns", "version": VERSION, "columns": used, "unused": list(self.unused)}

    @classmethod
    def from_json(cls, value: Any) -> Columns | None:
        """What `to_json` wrote, None for the preprocessing of what is no table. Raises CheckpointError."""
        if not isinstance(value, Mapping) or value.get("type") != "columns":
            return None
        if value.get("version") != VERSION:
            raise CheckpointError(
                f"its columns are written in version {value.get('version')}, and this dnnrun reads {VERSION}; update it"
            )
        try:
            used = tuple(_column(dict(entry)) for entry in value["columns"])
            unused = tuple(str(name) for name in value["unused"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"its columns cannot be read ({error}); the checkpoint is damaged") from None
        return cls(used, unused)


@dataclass
class Encoded:
    """Rows as the network takes them, and the categories among them that training has not seen."""

    matrix: np.ndarray
    unseen: Unseen = field(default_factory=Unseen)


class _NumericColumns:
    """The numeric columns side by side: where they go in the matrix, and by which numbers."""

    def __init__(self, used: Sequence[Column]):
        self.names: list[str] = []
        places, indicators, indicated, log = [], [], [], []
        start, found = 0, []
        for column in used:
            if isinstance(column, Numeric):
                if column.scale == "log":
                    log.append(len(found))
                if column.indicator:
                    indicators.append(start + 1)
                    indicated.append(len(found))
                places.append(start)
                found.append(column)
                self.names.append(column.name)
            start += column.width
        # side by side as a slice: a hundred times faster to write into than single columns
        together = places == list(range(len(places)))
        self.places: Any = slice(0, len(places)) if together else np.array(places, np.int64)
        self.indicators, self.indicated = np.array(indicators, np.int64), np.array(indicated, np.int64)
        self.log = np.array(log, np.int64)
        self.offset = np.array([column.offset for column in found])
        self.factor = np.array([column.factor for column in found])
        self.fill = np.array([column.fill for column in found])


def _column(entry: dict[str, Any]) -> Column:
    kind = entry.pop("kind")
    if kind == "category":
        entry |= {key: tuple(map(str, entry[key])) for key in ("values", "rare")}
        return Category(**entry)
    found = Numeric(kind=kind, **entry)
    numbers = (found.offset, found.factor, found.fill)
    known = kind in KINDS and found.scale in SCALES and found.order in (None, *GUESSED)
    if not known or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{found.name!r}")
    return found
