"""Outputs of frozen layers kept on disk, so that another run on the same data and weights does not compute them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun import files

LIMIT = 4 << 30  # bytes kept in all; the longest unused go first


def key_of(weights: Mapping[str, Any], layers: Any, data_hash: str, preprocessing: Mapping[str, Any]) -> str:
    """Changes with the weights of the cached layers, their options, the rows, and how these are prepared."""
    digest = hashlib.sha256(json.dumps([layers, data_hash, preprocessing], sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()[:40]


def find(folder: Path, key: str, rows: int, width: int) -> np.ndarray | None:
    """The features kept under `key`, (rows, width) float32 mapped from disk; None where absent or damaged."""
    path = folder / f"{key}.npy"
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        checksum = (folder / f"{key}.sha256").read_text()
    except (OSError, ValueError):
        return None
    if found.shape != (rows, width) or found.dtype != np.float32 or _sha256([found]) != checksum:
        return None
    path.touch()
    return found


def keep(folder: Path, key: str, features: np.ndarray) -> None:
    """Write features under `key`, and remove what has not been used longest where all would take too much."""
    files.make_folder(folder, exist_ok=True)
    files.write_atomic(folder / f"{key}.npy", _npy(features))
    files.write_atomic(folder / f"{key}.sha256", _sha256([features]).encode())
    kept = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in kept:
        total += path.stat().st_size
        if total > LIMIT and path.stem != key:
            files.unlink(path, missing_ok=True)
            files.unlink(path.with_suffix(".sha256"), missing_ok=True)


def _npy(features: np.ndarray) -> Iterator[bytes | memoryview]:
    header = np.lib.format.header_data_from_array_1_0(features)
    from io import BytesIO

    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    yield buffer.getvalue()
    yield np.ascontiguousarray(features).data


def _sha256(pieces: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()
