"""The bytes of a file of separated values in pieces of whole records, so that no more than some of them are held."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from dnnrun.errors import DataError

PIECE = 1 << 24  # bytes
LONGEST = 1 << 26  # bytes of a record: far longer than a text in a cell is, and short enough to be held

T = TypeVar("T")
Progress = Callable[[int], None]  # called with the bytes of the file that are done


def open_plain(path: Path) -> Any:
    """The file for reading bytes, unpacked where it is gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def records(path: Path, encoding: str, quote: str, progress: Progress | None = None) -> Iterator[bytes]:
    """Pieces of the file as UTF-8, of about 16 MB, each ending where a record does; the last one where the file does.

    A line end between two quotes ends no record. The next piece is read while the caller has one. Raises DataError for
    a record of more than 64 MB, whose quote was never closed, UnicodeDecodeError for bytes of another encoding than
    said, OSError, EOFError and zlib.error for a damaged file.
    """
    return ahead(_pieces(path, encoding, quote.encode(), progress))


def ahead(made: Iterator[T]) -> Iterator[T]:
    """What `made` gives, each made in a thread while the caller has the one before."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, made, None)
        while (one := coming.result()) is not None:
            coming = thread.submit(next, made, None)
            yield one


def _pieces(path: Path, encoding: str, quote: bytes, progress: Progress | None) -> Iterator[bytes]:
    held: list[bytes] = []  # what is read of a record that has not ended, joined once it has
    size = opened = told = 0
    for data in _blocks(path, encoding, progress):
        cut = _end(data, quote, opened)
        if cut:
            piece = b"".join([*held, data[:cut]])
            told += len(piece)
            yield piece
            held, size, opened, data = [], 0, 0, data[cut:]
        held.append(data)
        size += len(data)
        opened = (opened + data.count(quote)) % 2 if quote else 0
        if size > LONGEST:
            raise _endless(path, encoding, told, any(b"\n" in part for part in held))
    if size:
        yield b"".join(held)


def _blocks(path: Path, encoding: str, progress: Progress | None) -> Iterator[bytes]:
    """The file as UTF-8 as it comes, without a byte order mark."""
    decoder = None if encoding in ("utf-8", "utf8") else codecs.getincrementaldecoder(encoding)()
    marked = False
    with open_plain(path) as file:
        while data := file.read(PIECE):
            if decoder is not None:
                data = decoder.decode(data).encode()
            if not marked:
                data, marked = data.removeprefix(codecs.BOM_UTF8), True
            if progress is not None:
                progress(_place(file))
            yield data
        if decoder is not None:
            yield decoder.decode(b"", True).encode()


def _endless(path: Path, encoding: str, told: int, quoted: bool) -> DataError:
    """What is wrong with a record of more than LONGEST bytes, the first after `told` ; `quoted`: line ends in it."""
    line = 1
    for data in _blocks(path, encoding, None):
        line += data.count(b"\n", 0, told)
        told -= len(data)
        if told <= 0:
            break
    most = f"{LONGEST >> 20} MB"
    if quoted:
        return DataError(
            f"{path}:{line}: a quote opens there and is not closed within {most}; close it, or say "
            "data.source.quote: '' where quotes mean nothing"
        )
    return DataError(f"{path}:{line}: a row of more than {most}; wanted a row on a line of its own")


def _place(file: Any) -> int:
    """How far the file is read, in bytes as it lies on disk."""
    return cast(Any, file.fileobj).tell() if isinstance(file, gzip.GzipFile) else file.tell()


def _end(data: bytes, quote: bytes, opened: int) -> int:
    """Behind the last line end of `data` that no quote encloses, 0 where there is none; `opened`: it begins in one."""
    cut = data.rfind(b"\n") + 1
    if not quote:
        return cut
    inside = (opened + data.count(quote, 0, cut)) % 2
    while cut and inside:
        before = data.rfind(b"\n", 0, cut - 1) + 1
        inside = (inside + data.count(quote, before, cut)) % 2
        cut = before
    return cut
