"""A stream of bytes, gzip or plain as its first bytes say, read with a bound: no archive can fill the memory."""

from __future__ import annotations

import hashlib
import zlib
from typing import IO

from dnnrun.errors import DataError

CHUNK = 1 << 20
RATIO = 1032  # deflate packs at most 258 bytes into 2 bits
MAGIC = b"\x1f\x8b"


class Inflated:
    """Reads `file` (binary, at its start); `name` is what errors call it. Raises DataError for damaged gzip."""

    def __init__(self, file: IO[bytes], name: str):
        self.file, self.name = file, name
        self._input = file.read(CHUNK)
        self.gzip = self._input.startswith(MAGIC)
        self.empty = not self._input
        self._engine = zlib.decompressobj(31)

    def read(self, limit: int = CHUNK) -> bytes:
        """Between 1 and `limit` bytes, or b"" at the end, once the gzip's own checksum agreed."""
        if self.gzip:
            return self._inflate(limit)
        if self._input:
            result, self._input = self._input[:limit], self._input[limit:]
            return result
        return self.file.read(limit)

    def _inflate(self, limit: int) -> bytes:
        while not self._engine.eof or self._next_member():
            if not self._input:
                self._input = self.file.read(CHUNK)
            ended = not self._input
            try:
                result = self._engine.decompress(self._input, limit)
            except zlib.error as error:
                raise DataError(
                    f"{self.name}: its gzip data is damaged ({error}); replace the file with a whole copy"
                ) from error
            self._input = self._engine.unconsumed_tail
            if result:
                return result
            if ended and not self._engine.eof:
                raise DataError(f"{self.name}: its gzip data is cut off; replace the file with a whole copy")
        return b""

    def _next_member(self) -> bool:
        """Whether another gzip member follows the one that ended; zero padding is skipped, as gzip does."""
        rest = self._engine.unused_data
        while True:
            rest = rest.lstrip(b"\0")
            if len(rest) >= 2:
                break
            more = self.file.read(CHUNK)
            if not more:
                break
            rest += more
        if not rest:
            self._engine = zlib.decompressobj(31)
            self._input, self.gzip = b"", False  # the end: from here on, read() finds nothing
            return False
        if not rest.startswith(MAGIC):
            raise DataError(f"{self.name}: other bytes follow its gzip data; replace the file with a whole copy")
        self._engine, self._input = zlib.decompressobj(31), rest
        return True


def digest(file: IO[bytes], name: str, largest: int) -> str:
    """sha256 (hex) of the content, inflated. Raises DataError where it is damaged or over `largest` bytes."""
    stream, found, size = Inflated(file, name), hashlib.sha256(), 0
    while chunk := stream.read():
        size += len(chunk)
        if size > largest:
            raise DataError(f"{name}: holds more than the {largest:,} bytes that were wanted; it is another file")
        found.update(chunk)
    return found.hexdigest()
