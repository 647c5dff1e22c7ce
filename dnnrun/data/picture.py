"""Pictures as PNG files and as data URLs: no library, since every pixel is at hand."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 pixels (height, width) in grey or (height, width, 3) in colour.

    PNG specification (ISO 15948): signature, IHDR, IDAT with filter 0 before each row, IEND.
    """
    height, width = pixels.shape[:2]
    kind = 2 if pixels.ndim == 3 else 0
    rows = np.ascontiguousarray(pixels, np.uint8).reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def data_url(pixels: np.ndarray) -> str:
    """The picture as an `img` takes it."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def as_image(row: np.ndarray, image: tuple[int, ...], largest: float) -> np.ndarray:
    """A row of features as pixels: (height, width) or (height, width, 3), uint8. Dark is ink where it is grey."""
    height, width, channels = image
    scaled = np.clip(np.asarray(row, np.float32) / max(largest, 1e-9) * 255, 0, 255).astype(np.uint8)
    shaped = scaled.reshape(height, width, channels)
    return shaped if channels == 3 else 255 - shaped[..., 0]


def as_filter(column: np.ndarray, image: tuple[int, ...]) -> np.ndarray:
    """The weights of a unit as pixels (height, width, 3): blue below 0, white at 0, red above, by its largest."""
    height, width, channels = image
    weights = column.reshape(height, width, channels).mean(-1)
    share = np.clip(weights / max(float(np.abs(weights).max()), 1e-12), -1, 1)[..., None]
    red, blue = np.array([178, 24, 43.0]), np.array([33, 102, 172.0])
    end = np.where(share > 0, red, blue)
    return (255 + (end - 255) * np.abs(share)).astype(np.uint8)
