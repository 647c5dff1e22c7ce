"""NumPy's .npy and .npz: headers are checked against the file before anything is allocated; pickles are refused."""

from __future__ import annotations

import math
import stat
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import psutil

from dnnrun.data.inflate import CHUNK, RATIO
from dnnrun.errors import DataError

if TYPE_CHECKING:
    from dnnrun.data.room import Room

HEADER = 10_000  # bytes; that of a real array has about 100
MOST_DIMENSIONS = 64  # of a NumPy array
NUMBERS, TEXTS = "biuf", "biufUS"
DAMAGED: tuple[type[Exception], ...] = (  # what zipfile raises for a damaged archive: more than it documents
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


def read_npy(path: Path, kinds: str = NUMBERS, wanted: str = "a .npy file", mapped: bool = False) -> np.ndarray:
    """The array of a .npy file; with `mapped`, one that is read from disk where it is used.

    Raises DataError where the file is none, holds pickled objects, or is cut short.
    """
    with _opened(path, wanted) as (file, size):
        if mapped:
            shape, fortran, dtype = _header(str(path), file, size, kinds)
            if not math.prod(shape):
                return np.empty(shape, dtype)
            if file.tell() + math.prod(shape) * dtype.itemsize <= size:
                return np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C")
            file.seek(0)  # to say how it is cut short
        return read_array(str(path), file, size, kinds)


class Archive:
    """The arrays of an .npz file by name, read one by one. Raises DataError where it is damaged."""

    def __init__(self, path: Path):
        self.path = path
        with _opened(path, "an .npz file") as (file, _), self._checked(), zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        if len(self._members) < len(members):
            raise DataError(f"{path}: two of its arrays have one name; save it again with numpy.savez")

    @property
    def names(self) -> list[str]:
        """The names of its arrays, in their order."""
        return list(self._members)

    def read(self, name: str, kinds: str = NUMBERS, room: Room | None = None) -> np.ndarray:
        """One of its arrays; with a `room`, one that is mapped from disk: from there where it is packed.

        Raises DataError where it has none of that name, or cannot be read.
        """
        if name not in self._members:
            raise DataError(f"{self.path}: has no array {name!r}; it has {', '.join(self.names) or 'none'}")
        member = self._members[name]
        where = f"{self.path}: {name}"
        if member.file_size > RATIO * max(member.compress_size, 1):
            raise DataError(
                f"{where}: declares {member.file_size:,} bytes, more than its {member.compress_size:,} packed ones can "
                "hold; the file is damaged"
            )
        with self._checked(), zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
            if room is not None:
                return self._mapped(where, member, file, kinds, room)
            return read_array(where, file, member.file_size, kinds)  # type: ignore[arg-type]

    def _mapped(self, where: str, member: zipfile.ZipInfo, file: Any, kinds: str, room: Room) -> np.ndarray:
        shape, fortran, dtype = _header(where, file, member.file_size, kinds)
        begins, values = file.tell(), _values(where, file, math.prod(shape) * dtype.itemsize)
        if member.compress_type != zipfile.ZIP_STORED or not math.prod(shape):
            return room.rows(values, shape, dtype, fortran)
        for _ in values:  # read for the archive's checksum alone
            pass
        with self.path.open("rb") as whole:
            whole.seek(member.header_offset + 26)  # what stands before the values, as the zip format has it
            names, extra = struct.unpack("<HH", whole.read(4))
            offset = member.header_offset + 30 + names + extra + begins
            return np.memmap(whole, dtype, "r", offset, shape, "F" if fortran else "C")

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except DAMAGED as error:
            raise DataError(f"{self.path}: not a whole .npz file ({error}); save it again") from None


def read_array(where: str, file: BinaryIO, size: int, kinds: str = "biufV") -> np.ndarray:
    """The array that `file` begins with; the file has `size` bytes, and `where` is what errors call it.

    `kinds` are those of NumPy's dtypes that are accepted. Raises DataError where it is none of these, larger than the
    file or than the free memory, or cut short.
    """
    shape, fortran, dtype = _header(where, file, size, kinds)
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > (free := psutil.virtual_memory().available):
        raise DataError(f"{where}: its {wanted:,} bytes of values are more than the {free:,} of memory that are free")
    content = file.read(wanted)
    if len(content) < wanted:
        raise _cut_short(where, len(content), wanted)
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def head(shape: Sequence[int], dtype: np.dtype) -> bytes:
    """What a .npy file begins with, of an array in C's order."""
    file = BytesIO()
    told = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(file, told)
    return file.getvalue()


def _values(where: str, file: BinaryIO, wanted: int) -> Iterator[bytes]:
    """The next bytes of `file`, so many as are wanted. Raises DataError where there are less."""
    done = 0
    while done < wanted:
        if not (piece := file.read(min(CHUNK, wanted - done))):
            raise _cut_short(where, done, wanted)
        done += len(piece)
        yield piece


def _cut_short(where: str, done: int, wanted: int) -> DataError:
    return DataError(f"{where}: cut short, {done:,} of {wanted:,} bytes of values; copy the file again")


def _header(where: str, file: BinaryIO, size: int, kinds: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type, with `file` left at the first value."""
    advice = "save plain numbers with numpy.save or numpy.savez"
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that Python 2 wrote it, which takes nothing from its numbers
            shape, fortran, dtype = read(file, max_header_size=HEADER)
    except OSError:
        raise
    except Exception as error:  # NumPy's parser raises more than it documents: TokenError, IndexError, TypeError, ...
        told = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise DataError(f"{where}: not a NumPy array ({told}); {advice}") from None
    if dtype.hasobject or dtype.kind not in kinds:
        what = "pickled objects, which could run code" if dtype.hasobject else f"values of type {dtype}"
        raise DataError(f"{where}: holds {what}; {advice}")
    possible = all(type(extent) is int and 0 <= extent <= sys.maxsize for extent in shape)
    if not possible or len(shape) > MOST_DIMENSIONS or not dtype.itemsize:
        raise DataError(f"{where}: declares the shape {list(shape)}; the file is damaged")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > size:
        raise DataError(
            f"{where}: declares {wanted:,} bytes of values ({'x'.join(map(str, shape))}) and the file has {size:,}; "
            "it is damaged"
        )
    return shape, fortran, dtype


@contextmanager
def _opened(path: Path, wanted: str) -> Iterator[tuple[BinaryIO, int]]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
            raise DataError(f"{path}: {what}; wanted {wanted}")
        with path.open("rb") as file:
            yield file, status.st_size
    except FileNotFoundError:
        raise DataError(f"{path}: not found; wanted {wanted}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); wanted {wanted}") from None
