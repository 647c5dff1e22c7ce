"""Outputs of frozen layers kept on disk, so that another run on the same data and weights does not compute them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun import files
from dnnrun.errors import DnnrunError

LIMIT = 4 << 30  # bytes kept in all; the longest unused go first


def key_of(weights: Mapping[str, Any], layers: Any, data_hash: str, prepared: Mapping[str, Any]) -> str:
    """Changes with the weights of the cached layers, their options, the rows, and how and where these are prepared."""
    digest = hashlib.sha256(json.dumps([layers, data_hash, prepared], sort_keys=True).encode())
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
    except (OSError, EOFError, ValueError):
        return None
    if found.shape != (rows, width) or found.dtype != np.float32 or _sha256(found) != checksum:
        return None
    with suppress(OSError):  # a cache that may only be read is one all the same
        path.touch()
    return found


def keep(folder: Path, key: str, pieces: Iterable[np.ndarray], rows: int, width: int) -> None:
    """Write features, (rows, width) float32 in pieces, under `key`, never more than a piece in memory.

    Removes what has not been used longest where all would take too much. Raises DnnrunError where it cannot be written.
    """
    digest = hashlib.sha256()

    def contents() -> Iterator[bytes | memoryview]:
        header = BytesIO()
        described = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
        np.lib.format.write_array_header_1_0(header, described)
        yield header.getvalue()
        for piece in pieces:
            data = np.ascontiguousarray(piece).data
            digest.update(data)
            yield data

    files.make_folder(folder, exist_ok=True)
    files.write_atomic(folder / f"{key}.npy", contents())
    files.write_atomic(folder / f"{key}.sha256", digest.hexdigest().encode())
    kept = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in kept:
        total += path.stat().st_size
        if total > LIMIT and path.stem != key:
            files.unlink(path, missing_ok=True)
            files.unlink(path.with_suffix(".sha256"), missing_ok=True)


@contextmanager
def claim(folder: Path, key: str) -> Iterator[None]:
    """Whoever comes to `key` while another process computes it waits here, and then finds it.

    Where the folder cannot be written nobody waits, and each computes its own.
    """
    path = folder / f"{key}.lock"
    try:
        files.make_folder(folder, exist_ok=True)
        held = files.lock(path, wait=True)
    except DnnrunError:
        yield
        return
    try:
        yield
    finally:
        # One that waits on the removed file and one that makes a new one may both go on: they look again first, and
        # at worst both compute the same.
        with suppress(DnnrunError):
            files.unlink(path, missing_ok=True)
        held.release()


def _sha256(features: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(features).data).hexdigest()
