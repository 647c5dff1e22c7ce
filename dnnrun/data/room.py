"""Room on disk for rows that are more than memory holds; what is written there is gone with the process."""

from __future__ import annotations

import math
import mmap
import os
import shutil
import socket
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dnnrun.data.npy import head
from dnnrun.errors import DataError

BUCKET = 1 << 24  # bytes of rows that are put in order at a time, in memory


class Room:
    """A folder of its own in `folder`. Leavings of processes that were killed are cleared away when one is made.

    `stays` names the rows that other processes are to map, None where there are none such. Raises DataError where
    nothing can be written there.
    """

    def __init__(self, folder: Path):
        host = socket.gethostname()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"{host}-*"):
                process = left.name.removeprefix(f"{host}-").partition("-")[0]
                if process.isdecimal() and not _alive(int(process)):
                    shutil.rmtree(left, ignore_errors=True)
            self.folder = Path(tempfile.mkdtemp(prefix=f"{host}-{os.getpid()}-", dir=folder))
        except OSError as error:
            raise _unkept(folder, error) from error
        self.number = 0
        self.stays: str | None = None
        self._end = weakref.finalize(self, shutil.rmtree, self.folder, True)

    @classmethod
    def of(cls, cache: Path | None) -> Room:
        """A room in the folder that caches are kept in, None: the system's for what is temporary. Raises DataError."""
        return cls((cache or Path(tempfile.gettempdir())) / "rows")

    def close(self) -> None:
        """Take the folder away; rows that are mapped stay until nothing maps them."""
        self._end()

    def file(self) -> Path:
        """The name of a new file."""
        self.number += 1
        return self.folder / f"{self.number:06d}"

    def check(self, size: int) -> None:
        """Raise DataError where less than so many bytes are free."""
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise DataError(
                f"{self.folder.parent}: the rows take {size / 2**20:,.1f} MiB on disk, and {free / 2**20:,.1f} MiB are "
                "free; name another folder with DNNRUN_CACHE, or make room"
            )

    def append(self, path: Path, values: Any) -> None:
        """Write the bytes of `values` behind what the file has. Raises DataError where they find no room."""
        try:
            with path.open("ab") as file:
                file.write(values)
        except OSError as error:
            raise _unkept(self.folder.parent, error) from error

    def rows(
        self, pieces: Iterable[Any], shape: Sequence[int], dtype: Any, fortran: bool = False, name: str | None = None
    ) -> np.ndarray:
        """An array mapped from a file of its own, whose bytes are those of `pieces` one after the other.

        The file is gone when nothing maps it any more; with a `name` it is a .npy file that stays as long as the room.
        Raises DataError where it finds no room.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not size:
            return np.empty(shape, dtype)
        self.check(size)
        path = self.file() if name is None else self.folder / f"{name}.npy"
        start = b"" if name is None else head(shape, np.dtype(dtype))
        try:
            self.append(path, start)
            for piece in pieces:
                self.append(path, piece)
            return np.memmap(path, dtype, "r", len(start), tuple(shape), "F" if fortran else "C")
        finally:
            if name is None:
                path.unlink(missing_ok=True)


class Placing(Protocol):
    """Where rows are put, in any order, each at its place."""

    def put(self, places: np.ndarray, rows: np.ndarray) -> None: ...

    def done(self) -> np.ndarray: ...


class InMemory:
    """An array (rows, width) that begins where a CPU's XLA takes it without a copy: at a multiple of 64 bytes.

    It takes memory page by page as rows are put there, not at once.
    """

    def __init__(self, rows: int, width: int, dtype: Any):
        size = rows * width * np.dtype(dtype).itemsize
        memory = np.frombuffer(mmap.mmap(-1, max(size, 1)), np.uint8)
        self.array = memory[:size].view(dtype).reshape(rows, width)

    def put(self, places: np.ndarray, rows: np.ndarray) -> None:
        self.array[places] = rows

    def done(self) -> np.ndarray:
        return self.array


class OnDisk:
    """The same in a file that is mapped: rows are dealt out to buckets as they come, and each bucket put in order.

    With a `name` the file stays as long as the room.
    """

    def __init__(self, room: Room, rows: int, width: int, dtype: Any, name: str | None = None):
        self.room, self.name, self.shape, self.dtype = room, name, (rows, width), np.dtype(dtype)
        self.each = max(1, BUCKET // max(1, width * self.dtype.itemsize))
        room.check(rows * width * self.dtype.itemsize * 2)
        self.buckets = [(room.file(), room.file()) for _ in range(-(-rows // self.each))]
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self.size = 0

    def put(self, places: np.ndarray, rows: np.ndarray) -> None:
        self.waiting.append((places, np.array(rows, self.dtype)))
        self.size += self.waiting[-1][1].nbytes
        if self.size >= BUCKET:
            self._deal()

    def done(self) -> np.ndarray:
        self._deal()
        return self.room.rows((rows.data for rows in self._sorted()), self.shape, self.dtype, name=self.name)

    def _deal(self) -> None:
        if not self.waiting:
            return
        places = np.concatenate([places for places, _ in self.waiting])
        rows = np.concatenate([rows for _, rows in self.waiting])
        self.waiting, self.size = [], 0
        order = np.argsort(places, kind="stable")
        bounds = np.searchsorted(places[order], np.arange(len(self.buckets) + 1) * self.each)
        for (where, what), start, stop in zip(self.buckets, bounds[:-1], bounds[1:], strict=True):
            if start < stop:
                mine = order[start:stop]
                self.room.append(where, places[mine].astype(np.int64).data)
                self.room.append(what, rows[mine].data)

    def _sorted(self) -> Iterator[np.ndarray]:
        for number, (where, what) in enumerate(self.buckets):
            first = number * self.each
            rows = np.empty((min(self.each, self.shape[0] - first), self.shape[1]), self.dtype)
            if where.exists():
                rows[np.fromfile(where, np.int64) - first] = np.fromfile(what, self.dtype).reshape(-1, self.shape[1])
                where.unlink()
                what.unlink()
            yield rows


def release(rows: np.ndarray) -> None:
    """Let go of the memory that a mapped file's rows took when they were looked at."""
    base: Any = rows
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and (mapped := getattr(base, "_mmap", None)) is not None:
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)
            return
        base = base.base


def _unkept(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder}: rows cannot be kept there ({error.strerror}); name another folder with DNNRUN_CACHE")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
