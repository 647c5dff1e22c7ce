"""NumPy's .npy and .npz as files of weights."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dnnrun.data.finding import natural
from dnnrun.data.npy import read_array
from dnnrun.errors import DataError, InteropError
from dnnrun.interop.readers.damage import DAMAGED
from dnnrun.interop.weights import Weights

OWN = "dnnrun.json"  # where an export of dnnrun says what it is


def read_npz(path: Path) -> Weights:
    """The arrays of an .npz file, none of whose names carries a convention. Raises InteropError."""
    tensors: dict[str, np.ndarray] = {}
    own = None
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if member.filename == OWN:
                    own = own_json(path, archive.open(member).read(1 << 24))
                    continue
                with archive.open(member) as file:
                    tensors[name] = _array(f"{path}: {name}", file, member.file_size)  # type: ignore[arg-type]
    except DAMAGED as error:
        raise InteropError(f"{path}: not a whole .npz file ({error}); save it again") from None
    if not tensors:
        raise InteropError(f"{path}: has no arrays; wanted an .npz file as numpy.savez writes it")
    return Weights("npz", dict(sorted(tensors.items(), key=lambda item: natural(item[0]))), own=own)


def read_npy(path: Path) -> np.ndarray:
    """One array. Raises InteropError where the file is none, holds pickled objects, or is cut short."""
    try:
        with path.open("rb") as file:
            return _array(str(path), file, path.stat().st_size)
    except OSError as error:
        raise InteropError(f"{path}: cannot be read ({error.strerror})") from None


def own_json(where: object, text: bytes | str) -> Mapping[str, Any]:
    """What an export of dnnrun says of itself. Raises InteropError where that is no JSON mapping."""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InteropError(f"{where}: what it says of dnnrun is no JSON mapping; export it again")
    return found


def _array(where: str, file: BinaryIO, size: int) -> np.ndarray:
    try:
        return read_array(where, file, size)
    except DataError as error:
        raise InteropError(str(error)) from None


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz file with these arrays."""
    target = io.BytesIO()
    np.savez(target, **arrays)  # type: ignore[arg-type]
    return target.getvalue()
