"""safetensors files with a checksum a tensor: written whole, read by name, every tensor that is read is verified."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.errors import CheckpointError

Described = dict[str, dict[str, Any]]


def encode(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The safetensors file of these arrays, without metadata, so that equal tensors are equal bytes."""
    from safetensors.numpy import save

    return save({name: _plain(value) for name, value in tensors.items()})


def describe(tensors: Mapping[str, np.ndarray]) -> Described:
    """sha256, shape and dtype of each tensor, as the manifest keeps them."""
    return {
        name: {
            "sha256": hashlib.sha256(_plain(value).data).hexdigest(),
            "shape": list(value.shape),
            "dtype": str(value.dtype),
        }
        for name, value in sorted(tensors.items())
    }


def read(path: Path, described: Described, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The named tensors (all that `described` lists when None); no byte of another tensor is read.

    Raises CheckpointError for a file that is missing, cut short or not safetensors, and for a tensor that is absent
    or differs from its description, naming it.
    """
    from safetensors import SafetensorError, safe_open

    wanted = sorted(described if names is None else names)
    found: dict[str, np.ndarray] = {}
    try:
        with safe_open(path, framework="np") as file:
            present = set(file.keys())
            for name in wanted:
                if name not in present or name not in described:
                    raise CheckpointError(f"{path}: has no tensor {name}; wanted it as the manifest beside it says")
                found[name] = file.get_tensor(name)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not found; the checkpoint is incomplete, use another one") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {_damage(path, described, error)}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    for name, value in found.items():
        _verify(path, name, value, described[name])
    return found


def _plain(value: np.ndarray) -> np.ndarray:
    """The array, row by row in memory. np.ascontiguousarray would give a scalar the shape (1,)."""
    return np.require(value, requirements="C")


def _verify(path: Path, name: str, value: np.ndarray, wanted: Mapping[str, Any]) -> None:
    if list(value.shape) != wanted["shape"] or str(value.dtype) != wanted["dtype"]:
        raise CheckpointError(
            f"{path}: tensor {name} is {value.dtype}{list(value.shape)}, "
            f"the manifest says {wanted['dtype']}{wanted['shape']}; the checkpoint is damaged, use another one"
        )
    if hashlib.sha256(_plain(value).data).hexdigest() != wanted["sha256"]:
        raise CheckpointError(
            f"{path}: tensor {name} does not have the checksum of the manifest; the checkpoint is damaged, "
            "use another one"
        )


def _damage(path: Path, described: Described, error: Exception) -> str:
    """What is wrong with a file that safetensors refused: the first tensor that is cut off, if that is it."""
    advice = "the checkpoint is damaged, use another one"
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= size else None
    except (struct.error, ValueError):
        header = None
    if not isinstance(header, dict):
        first = next(iter(described), "any")
        return f"cut short or damaged before tensor {first} ({size} bytes, no readable header); {advice}"
    try:
        ends = {name: 8 + length + entry["data_offsets"][1] for name, entry in header.items()}
        for name, end in sorted(ends.items(), key=lambda item: item[1]):
            if end > size:
                return f"cut short within tensor {name} ({size} bytes, wanted {end} or more); {advice}"
    except (TypeError, LookupError):  # the header itself is damaged
        pass
    return f"not a valid safetensors file ({error}); {advice}"
