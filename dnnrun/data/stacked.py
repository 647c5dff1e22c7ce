"""Arrays below each other as one, read where they lie: mapped from disk, no more than some rows in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dnnrun.data.room import release

CELLS = 1 << 22  # looked at in one go
Turn = Callable[[np.ndarray, int], np.ndarray]


class Stacked:
    """`arrays`, (rows, ...) each, as one of `shape`; a slice of it is an array in memory.

    `turn` makes of each slice, given the number of its first row, what has the type `dtype`. Unset: the type that all
    arrays fit into.
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray | Stacked],
        row: tuple[int, ...] | None = None,
        dtype: Any = None,
        turn: Turn | None = None,
    ):
        self.arrays, self.turn = list(arrays), turn
        self.common = np.result_type(*(array.dtype for array in arrays))
        self.dtype = self.common if dtype is None else np.dtype(dtype)
        self.shape = (sum(map(len, arrays)), *(arrays[0].shape[1:] if row is None else row))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        found, first = [], 0
        for array in self.arrays:
            piece = array[max(0, start - first) : max(0, stop - first)]
            first += len(array)
            if len(piece):
                found.append(np.asarray(piece).astype(self.common, copy=False).reshape(len(piece), *self.shape[1:]))
        whole = found[0] if len(found) == 1 else np.concatenate(found or [np.empty((0, *self.shape[1:]), self.common)])
        return whole if self.turn is None else self.turn(whole, start)

    def flattened(self) -> Stacked:
        """The same with rows of one dimension."""
        return Stacked(self.arrays, (math.prod(self.shape[1:]),), self.dtype, self.turn)

    def turned(self, dtype: Any, turn: Turn) -> Stacked:
        """The same in another type: each slice as `turn` makes it, which is given the number of its first row."""
        return Stacked([self], dtype=dtype, turn=turn)

    def release(self) -> None:
        """Let go of the memory that was mapped to look at it."""
        for array in self.arrays:
            _release(array)


def below(arrays: Sequence[Any]) -> Any:
    """Arrays below each other: in memory where all of them are, else read where they lie."""
    if any(isinstance(array, np.memmap | Stacked) for array in arrays):
        return Stacked(arrays)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def pieces(rows: np.ndarray | Stacked, cells: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Some rows at a time, of about so many values, each with the number of its first.

    What is mapped of them is let go of after their turn.
    """
    step = max(1, (cells or CELLS) // max(1, math.prod(rows.shape[1:])))
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step]
        _release(rows)


def _release(rows: np.ndarray | Stacked) -> None:
    if isinstance(rows, Stacked):
        rows.release()
    else:
        release(rows)
