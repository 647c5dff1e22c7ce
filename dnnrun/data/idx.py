"""The IDX format of the MNIST family: two zero bytes, a type, the number of dimensions, their sizes, the numbers.

Integers are big-endian; http://yann.lecun.com/exdb/mnist gives the definition. Gzip is told by content, not by name.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from pathlib import Path

import numpy as np

from dnnrun.data.inflate import CHUNK, RATIO, Inflated
from dnnrun.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LARGEST = 1 << 32
MOST_DIMENSIONS = 64  # of a NumPy array
REPLACE = "replace the file with a whole copy"


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
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
            raise DataError(f"{path}: this is {what}, wanted an IDX file; give the file's own path")
        with path.open("rb", buffering=0) as file:
            return _read(Inflated(file, str(path)), path, status.st_size, dimensions, largest)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file, wanted an IDX file; correct the path") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), wanted an IDX file; see to the file") from error


def _read(stream: Inflated, path: Path, size: int, dimensions: int | None, largest: int) -> tuple[np.ndarray, str]:
    if stream.empty:
        raise DataError(f"{path}: the file is empty, wanted an IDX file; {REPLACE}")
    digest = hashlib.sha256()
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
    digest.update(start + sizes)
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    dtype = np.dtype(TYPES[start[2]])
    wanted = math.prod(shape) * dtype.itemsize
    whole = wanted + 4 + len(sizes)
    declared = f"its header declares {' x '.join(map(str, shape))} {dtype.name}, {whole:,} bytes in all"
    if wanted > largest:
        raise DataError(f"{path}: {declared}, and {largest:,} were expected at most; it is damaged or another file")
    if not stream.gzip and size != whole:
        raise DataError(f"{path}: {declared}, and it has {size:,}; {REPLACE}")
    if stream.gzip and whole > RATIO * size:
        raise DataError(f"{path}: {declared}, more than {size:,} bytes of gzip can hold; {REPLACE}")
    buffer = np.empty(wanted, np.uint8)
    view, done = buffer.data, 0
    while done < wanted:
        chunk = stream.read(min(CHUNK, wanted - done))
        if not chunk:
            raise DataError(f"{path}: {declared}, and it has {whole - wanted + done:,}; {REPLACE}")
        digest.update(chunk)
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    if stream.read(1):
        raise DataError(f"{path}: {declared}, and it has more; {REPLACE}")
    if not dtype.isnative:
        buffer.view(dtype.newbyteorder("=")).byteswap(inplace=True)
    return buffer.view(dtype.newbyteorder("=")).reshape(shape), digest.hexdigest()


def _exactly(stream: Inflated, count: int, path: Path) -> bytes:
    result = b""
    while len(result) < count:
        chunk = stream.read(count - len(result))
        if not chunk:
            raise DataError(f"{path}: ends within its header, wanted an IDX file; {REPLACE}")
        result += chunk
    return result
