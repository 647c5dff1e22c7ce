"""Which format a file has, told by its content, and the reader for it."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import replace
from pathlib import Path

from dnnrun.errors import InteropError
from dnnrun.interop import apart
from dnnrun.interop.readers import arrays, safe
from dnnrun.interop.readers.damage import DAMAGED
from dnnrun.interop.readers.tensorflow import prefix_of
from dnnrun.interop.weights import Weights, unpack

READABLE = (
    "safetensors (a file, or a Hugging Face folder), .npz, PyTorch .pt/.pth/.bin, Keras .keras/.h5/.weights.h5, "
    "TensorFlow checkpoints, ONNX"
)
HDF5 = b"\x89HDF\r\n\x1a\n"
LARGEST = 64 << 30


def format_of(path: Path) -> str | None:
    """safetensors, folder, npz, npy, torch, keras, tensorflow or onnx; None for anything else.

    Raises InteropError where the file cannot be looked into.
    """
    if path.is_dir():
        if any(path.glob("*.safetensors")):
            return "folder"
        return "tensorflow" if prefix_of(path) else None
    if not path.is_file():
        return "tensorflow" if prefix_of(path) else None
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InteropError(f"{path}: cannot be read ({error.strerror})") from None
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        return _archive(path)
    if head.startswith(HDF5):
        return "keras"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if path.suffix == ".safetensors" or _is_safetensors(head, path.stat().st_size):
        return "safetensors"
    if prefix_of(path):
        return "tensorflow"
    if path.suffix == ".onnx":
        return "onnx"
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt") or head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        return "torch"
    return {".npz": "npz", ".npy": "npy", ".h5": "keras", ".keras": "keras", ".hdf5": "keras"}.get(path.suffix)


def read(path: Path, *, external: bool = False) -> Weights:
    """What the file has. `external` lets an ONNX file have its values in others of its folder.

    Raises InteropError where it cannot be read, or takes a package that is not installed.
    """
    found = format_of(path)
    if found is None:
        raise InteropError(f"{path}: {_found(path)}; wanted {READABLE}")
    if found in ("npz", "npy", "safetensors", "folder") or path.is_file():
        size = path.stat().st_size if path.is_file() else 0
        if size > LARGEST:
            raise InteropError(f"{path}: {size:,} bytes, more than the {LARGEST:,} that are read")
    if found == "npz":
        return arrays.read_npz(path)
    if found == "npy":
        return Weights("npz", {path.stem: arrays.read_npy(path)})
    if found == "safetensors":
        return safe.read_safetensors(path)
    if found == "folder":
        return safe.read_folder(path)
    weights = _apart(found, path, external)
    return _with_own(path, weights) if found == "torch" else weights


def _with_own(path: Path, weights: Weights) -> Weights:
    """What an export to PyTorch says of itself stands beside it."""
    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file() or beside.stat().st_size > safe.CONFIG:
        return weights
    own = arrays.own_json(beside, beside.read_bytes())
    return replace(weights, own=own) if "dnnrun" in own else weights


def _apart(found: str, path: Path, external: bool) -> Weights:
    package, module = {
        "torch": ("torch", "pytorch"),
        "keras": ("h5py", "keras"),
        "onnx": ("onnx", "onnx"),
        "tensorflow": ("tensorflow", "tensorflow"),
    }[found]
    title = {"torch": "PyTorch", "keras": "Keras", "onnx": "ONNX", "tensorflow": "TensorFlow"}[found]
    apart.require(package, f"{path}: reading {title}'s files")
    target = (prefix_of(path) or path) if found == "tensorflow" else path
    arguments = {"path": str(target.absolute()), **({"external": external} if found == "onnx" else {})}
    return unpack(apart.call(package, f"dnnrun.interop.readers.{module}:task", arguments, target.absolute()))


def _archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGED as error:
        raise InteropError(f"{path}: not a whole archive ({error}); copy it again") from None
    if "model.weights.h5" in names or path.suffix == ".keras":
        return "keras"
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    if names and all(name.endswith((".npy", arrays.OWN)) for name in names):
        return "npz"
    return "torch" if path.suffix in (".pt", ".pth", ".bin") else None


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9:
        return False
    (length,) = struct.unpack_from("<Q", head)
    return 2 <= length <= size - 8 and head[8:9] == b"{"


def _found(path: Path) -> str:
    if not path.exists():
        near = sorted(file.name for file in path.parent.iterdir() if file.is_file())[:8] if path.parent.is_dir() else []
        return "not found" + (f" ({path.parent} has {', '.join(near)})" if near else "")
    return "a folder without weights" if path.is_dir() else "not a file of weights that dnnrun knows"
