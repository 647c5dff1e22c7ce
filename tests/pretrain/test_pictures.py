"""PNG files, read back by hand."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from dnnrun.data.picture import png
from dnnrun.pretrain.pictures import GAP, tiles


def unpacked(data: bytes) -> np.ndarray:
    """The pixels of a PNG as this package writes it; every chunk's checksum is verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape((height, width) if colour == 0 else (height, width, 3))


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 3)])
def test_pixels_come_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(unpacked(png(pixels)), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_stand_in_lines(channels: int) -> None:
    rows = np.random.default_rng(0).random((5, 2 * 3 * channels))
    sheet = tiles(rows, (2, 3, channels), across=2)
    scale = sheet.shape[0] // (3 * (2 + GAP) + GAP)
    assert sheet.shape[:2] == (scale * (3 * (2 + GAP) + GAP), scale * (2 * (3 + GAP) + GAP))
    top, left = scale * (GAP + (2 + GAP)), scale * (GAP + (3 + GAP))  # of the fourth one
    there = sheet[top : top + 2 * scale : scale, left : left + 3 * scale : scale]
    assert np.array_equal(there.reshape(-1), np.round(255 * rows[3]).astype(np.uint8))


def test_stretched_tiles_use_the_whole_range() -> None:
    sheet = tiles(np.array([[-3.0, 5.0], [0.1, 0.2]]), (1, 2, 1), across=1, stretch=True)
    assert {0, 255} <= set(sheet.reshape(-1).tolist())
