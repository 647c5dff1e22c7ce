"""IDX files: what is read is what was written; whatever else a file may hold has its exact message."""

from __future__ import annotations

import gzip
import hashlib
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from dnnrun.data import idx
from dnnrun.errors import DataError
from tests.data.idxfile import CODES, idx_bytes

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
GOOD = idx_bytes(IMAGES)
HEADER = "its header declares 3 x 4 x 5 uint8, 76 bytes in all"
NOT_IDX = (
    "wanted an IDX file (00 00, a type, the number of dimensions), plain or gzip; the path leads to another kind of "
    "file"
)
WHOLE = "replace the file with a whole copy"


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_reads_what_was_written(dtype: str, packed: bool, tmp_path: Path) -> None:
    array = np.arange(-6, 18).reshape(2, 3, 4).astype(dtype)
    content = idx_bytes(array)
    path = tmp_path / "any-name"
    path.write_bytes(gzip.compress(content) if packed else content)
    found, digest = idx.read(path, dimensions=3)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert digest == hashlib.sha256(content).hexdigest()


def test_gzip_in_members_and_padded(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(GOOD[:30]) + gzip.compress(b"") + gzip.compress(GOOD[30:]) + b"\0" * 100)
    found, digest = idx.read(path)
    np.testing.assert_array_equal(found, IMAGES)
    assert digest == hashlib.sha256(GOOD).hexdigest()


def test_larger_than_a_chunk(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 3, (2, 1_200_001), dtype=np.uint8)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(idx_bytes(array), 1))
    np.testing.assert_array_equal(idx.read(path)[0], array)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


PACKED = gzip.compress(GOOD, mtime=0)

BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", f"the file is empty, wanted an IDX file; {WHOLE}"),
    "a web page": (b"<!DOCTYPE html>", f"begins with 3c 21 44 4f, {NOT_IDX}"),
    "a packed web page": (gzip.compress(b"<!DOCTYPE html>"), f"begins with 3c 21 44 4f, {NOT_IDX}"),
    "an unknown type": (b"\0\0\x07\x03" + GOOD[4:], f"begins with 00 00 07 03, {NOT_IDX}"),
    "no dimension": (b"\0\0\x08\0", f"begins with 00 00 08 00, {NOT_IDX}"),
    "labels": (idx_bytes(IMAGES[0, 0]), "its number of dimensions is 1, wanted 3; the path leads to another IDX file"),
    "half a header": (GOOD[:10], f"ends within its header, wanted an IDX file; {WHOLE}"),
    "three bytes": (GOOD[:3], f"ends within its header, wanted an IDX file; {WHOLE}"),
    "an empty gzip": (gzip.compress(b""), f"ends within its header, wanted an IDX file; {WHOLE}"),
    "cut off": (GOOD[:-1], f"{HEADER}, and it has 75; {WHOLE}"),
    "too long": (GOOD + b"x", f"{HEADER}, and it has 77; {WHOLE}"),
    "cut off, then packed": (gzip.compress(GOOD[:-1]), f"{HEADER}, and it has 75; {WHOLE}"),
    "too long, then packed": (gzip.compress(GOOD + b"x"), f"{HEADER}, and it has more; {WHOLE}"),
    "packed, then cut off": (PACKED[:-9], f"its gzip data is cut off; {WHOLE}"),
    "no checksum": (PACKED[:-8], f"its gzip data is cut off; {WHOLE}"),
    "a wrong checksum": (
        flipped(PACKED, len(PACKED) - 8),
        f"its gzip data is damaged (Error -3 while decompressing data: incorrect data check); {WHOLE}",
    ),
    "no deflate": (
        PACKED[:10] + b"\xff" * 50,
        f"its gzip data is damaged (Error -3 while decompressing data: invalid block type); {WHOLE}",
    ),
    "more after the gzip": (PACKED + b"more", f"other bytes follow its gzip data; {WHOLE}"),
    "a huge header": (
        b"\0\0\x08\x03" + b"\xff" * 12,
        "its header declares 4294967295 x 4294967295 x 4294967295 uint8, 79,228,162,458,924,105,385,300,197,391 bytes "
        "in all, and 4,294,967,296 were expected at most; it is damaged or another file",
    ),
    "a large header, packed": (
        gzip.compress(b"\0\0\x08\x03\0\0\x40\0\0\0\x01\0\0\0\x01\0", mtime=0),
        "its header declares 16384 x 256 x 256 uint8, 1,073,741,840 bytes in all, more than 32 bytes of gzip can hold; "
        f"{WHOLE}",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_have_exact_messages(case: str, tmp_path: Path) -> None:
    content, message = BAD[case]
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        idx.read(path, dimensions=3)
    assert str(caught.value) == f"{path}: {message}"


def test_bad_paths_have_exact_messages(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    table = {
        tmp_path: "this is a folder, wanted an IDX file; give the file's own path",
        tmp_path / "pipe": "this is no plain file, wanted an IDX file; give the file's own path",
        tmp_path / "none": "there is no such file, wanted an IDX file; correct the path",
        tmp_path / "pipe" / "x": "cannot be read (Not a directory), wanted an IDX file; see to the file",
    }
    for path, message in table.items():
        with pytest.raises(DataError) as caught:
            idx.read(path)
        assert str(caught.value) == f"{path}: {message}"


def test_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(GOOD + bytes(200_000_000), 1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="and it has more"):
            idx.read(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("at", range(len(PACKED)))
def test_any_damaged_byte_is_noticed_or_harmless(at: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(flipped(PACKED, at))
    try:
        found, digest = idx.read(path)
    except DataError:
        return
    np.testing.assert_array_equal(found, IMAGES)
    assert digest == hashlib.sha256(GOOD).hexdigest()


def test_more_dimensions_than_an_array_can_have(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"a")
    with pytest.raises(DataError) as caught:
        idx.read(path)
    assert str(caught.value) == f"{path}: its number of dimensions is 65, wanted at most 64; {WHOLE}"
