"""The IDX format of the MNIST family: two zero bytes, a type, the number of dimensions, their sizes, the numbers.

Integers are big-endian; http://yann.lecun.com/exdb/mnist gives the definition. Gzip is told by content, not by name.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dnnrun.data.inflate import CHUNK, RATIO, Inflated
from dnnrun.data.npy import MOST_DIMENSIONS
from dnnrun.errors import DataError

if TYPE_CHECKING:
    from dnnrun.data.room import Room

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LARGEST = 1 << 32
REPLACE = "replace the file with a whole copy"


@dataclass(frozen=True)
class _Declared:
    """What a file says it holds: `told` is how errors say it, `header` the bytes that say it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    header: bytes
    told: str

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read(
    path: str | os.PathLike[str], *, dimensions: int | None = None, largest: int = LARGEST
) -> tuple[np.ndarray, str]:
    """The array in an IDX file, and the sha256 (hex) of the file's content, inflated if it is gzip.

    The array has the shape that the header declares, C-contiguous, in native byte order. Nothing is allocated before
    the declared size was compared with the file's and with `largest` (bytes), and no more is ever inflated. Raises
    DataError where the file is missing, no IDX file, has another number of `dimensions` than wanted, is cut off, or
    goes on after its end.
    """
    path = Path(path)
    with _opened(path) as (stream, size):
        declared = _declared(stream, path, size, dimensions, largest)
        digest = hashlib.sha256(declared.header)
        buffer, done = np.empty(declared.size, np.uint8), 0
        for chunk in _values(stream, path, declared):
            digest.update(chunk)
            buffer.data[done : done + len(chunk)] = chunk
            done += len(chunk)
    native = declared.dtype.newbyteorder("=")
    if not declared.dtype.isnative:
        buffer.view(native).byteswap(inplace=True)
    return buffer.view(native).reshape(declared.shape), digest.hexdigest()


def mapped(path: Path, room: Room) -> np.ndarray:
    """The array in an IDX file mapped from disk: from where it lies, or from `room` where it is gzip.

    It is checked as by `read`, which raises the same; its bytes are in the file's order.
    """
    with _opened(path) as (stream, size):
        declared = _declared(stream, path, size, None, None)
        if stream.gzip or not declared.size:
            return room.rows(_values(stream, path, declared), declared.shape, declared.dtype)
        return np.memmap(path, declared.dtype, "r", len(declared.header), declared.shape)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Inflated, int]]:
    """The content of a file, and the file's own size."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
            raise DataError(f"{path}: this is {what}, wanted an IDX file; give the file's own path")
        with path.open("rb", buffering=0) as file:
            yield Inflated(file, str(path)), status.st_size
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file, wanted an IDX file; correct the path") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), wanted an IDX file; see to the file") from error


def _declared(stream: Inflated, path: Path, size: int, dimensions: int | None, largest: int | None) -> _Declared:
    """What the header says, compared with what the file can hold."""
    if stream.empty:
        raise DataError(f"{path}: the file is empty, wanted an IDX file; {REPLACE}")
    start = _exactly(stream, 4, path)
    if start[:2] != b"\0\0" or start[2] not in TYPES or not start[3]:
        raise DataError(
            f"{path}: begins with {start.hex(' ')}, wanted an IDX file (00 00, a type, the number of dimensions), "
            "plain or gzip; the path leads to another kind of file"
        )
    if dimensions is None and start[3] > MOST_DIMENSIONS:
        raise DataError(f"{path}: its number of dimensions is {start[3]}, wanted at most {MOST_DIMENSIONS}; {REPLACE}")
    if dimensions is not None and start[3] != dimensions:
        raise DataError(
            f"{path}: its number of dimensions is {start[3]}, wanted {dimensions}; the path leads to another IDX file"
        )
    sizes = _exactly(stream, 4 * start[3], path)
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    dtype = np.dtype(TYPES[start[2]])
    wanted = math.prod(shape) * dtype.itemsize
    whole = wanted + 4 + len(sizes)
    told = f"its header declares {' x '.join(map(str, shape))} {dtype.name}, {whole:,} bytes in all"
    if largest is not None and wanted > largest:
        raise DataError(f"{path}: {told}, and {largest:,} were expected at most; it is damaged or another file")
    if not stream.gzip and size != whole:
        raise DataError(f"{path}: {told}, and it has {size:,}; {REPLACE}")
    if stream.gzip and whole > RATIO * size:
        raise DataError(f"{path}: {told}, more than {size:,} bytes of gzip can hold; {REPLACE}")
    return _Declared(shape, dtype, start + sizes, told)


def _values(stream: Inflated, path: Path, declared: _Declared) -> Iterator[bytes]:
    """The bytes behind the header, as many as it declares. Raises DataError where there are less or more."""
    done = 0
    while done < declared.size:
        if not (chunk := stream.read(min(CHUNK, declared.size - done))):
            raise DataError(f"{path}: {declared.told}, and it has {len(declared.header) + done:,}; {REPLACE}")
        done += len(chunk)
        yield chunk
    if stream.read(1):
        raise DataError(f"{path}: {declared.told}, and it has more; {REPLACE}")


def _exactly(stream: Inflated, count: int, path: Path) -> bytes:
    result = b""
    while len(result) < count:
        chunk = stream.read(count - len(result))
        if not chunk:
            raise DataError(f"{path}: ends within its header, wanted an IDX file; {REPLACE}")
        result += chunk
    return result
