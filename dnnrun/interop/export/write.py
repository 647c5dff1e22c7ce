"""A file for another framework: made, checked by running it there, then put in its place."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun import files
from dnnrun.errors import InteropError
from dnnrun.interop import apart, formats
from dnnrun.interop.check import Agreement, compare, forward
from dnnrun.interop.export.bundle import Bundle
from dnnrun.interop.export.keras_layers import keras_bytes
from dnnrun.interop.export.onnx_graph import onnx_bytes
from dnnrun.interop.export.torch_layers import modules_of, state_of
from dnnrun.interop.network import Said, understand
from dnnrun.interop.readers.arrays import OWN, npz_bytes
from dnnrun.interop.settle import settle

SUFFIXES = {"safetensors": ".safetensors", "npz": ".npz", "torch": ".pt", "keras": ".keras", "onnx": ".onnx"}
ENDINGS = {**{suffix: name for name, suffix in SUFFIXES.items()}, ".pth": "torch", ".bin": "torch"}
RUNNERS = {"torch": "torch", "keras": "keras", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class Export:
    """A written file. `checked` is how far its outputs were from ours, None where nothing could run it, `why`."""

    path: Path
    format: str
    size: int
    sha256: str
    checked: Agreement | None
    by: str
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What `export --json` prints."""
        check = self.checked and {
            "difference": self.checked.difference,
            "allowed": self.checked.allowed,
            "rows": self.checked.rows,
        }
        return {
            "file": str(self.path),
            "format": self.format,
            "bytes": self.size,
            "sha256": self.sha256,
            "check": check,
            "by": self.by,
            "notes": list(self.notes),
        }


def format_for(path: Path | None, wanted: str | None) -> str:
    """The format that is meant by its name or by the ending of the file. Raises InteropError where none is."""
    if wanted is None and path is not None:
        wanted = ENDINGS.get(path.suffix)
    if wanted not in SUFFIXES:
        told = f"--format {wanted}" if wanted else f"the ending of {path}" if path else "no format"
        raise InteropError(f"{told}: unknown; wanted --format {', '.join(SUFFIXES)}")
    return wanted


def export(bundle: Bundle, path: Path, kind: str, *, force: bool = False) -> Export:
    """Write `bundle` as `kind` to `path`; nothing is left there unless its outputs are ours within 1e-5.

    Raises InteropError where the format cannot say the network, a package is missing, or the outputs differ;
    RunDirectoryError where the file is there already (without `force`) or cannot be written.
    """
    if os.path.lexists(path) and not force:
        raise InteropError(f"{path}: is there already; choose another name, or replace it with --force")
    content, beside = _content(bundle, path, kind)
    files.make_folder(path.parent, exist_ok=True)
    temporary = path.parent / f"{files.TEMPORARY}{os.urandom(6).hex()}{SUFFIXES[kind]}"
    files.write_new(temporary, content)
    try:
        checked, by = _checked(bundle, temporary, kind)
        if checked and not checked.agrees:
            raise InteropError(f"{path}: {by} gives other outputs than dnnrun ({checked}); nothing was written")
        if beside:
            files.write_atomic(path.with_name(f"{path.name}.json"), beside)
        files.rename(temporary, path)
    except BaseException:
        files.unlink(temporary, missing_ok=True)
        raise
    return Export(path, kind, len(content), hashlib.sha256(content).hexdigest(), checked, by, _notes(bundle, kind))


def _content(bundle: Bundle, path: Path, kind: str) -> tuple[bytes, bytes | None]:
    """The file, and what stands beside it where the format has no place for it."""
    told = bundle.told()
    if kind == "safetensors":
        from safetensors.numpy import save

        plain = {name: np.ascontiguousarray(value) for name, value in bundle.tensors.items()}
        return save(plain, metadata={"dnnrun": json.dumps(told), "format": "np"}), None
    if kind == "npz":
        return _with_member(npz_bytes(bundle.tensors), OWN, json.dumps(told).encode()), None
    if kind == "keras":
        apart.require("h5py", "writing Keras' files")
        return keras_bytes(bundle), None
    if kind == "onnx":
        apart.require("onnx", "writing ONNX files")
        return onnx_bytes(bundle), None
    apart.require("torch", "writing PyTorch's files")
    saved = apart.call("torch", f"{_TASKS}:save_torch", {}, path, npz_bytes(state_of(bundle)))
    return saved, (json.dumps({**told, "torch": modules_of(bundle)}, indent=1) + "\n").encode()


_TASKS = "dnnrun.interop.export.tasks"


def _with_member(archive: bytes, name: str, content: bytes) -> bytes:
    import zipfile

    target = io.BytesIO(archive)
    with zipfile.ZipFile(target, "a") as whole:
        whole.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return target.getvalue()


def _checked(bundle: Bundle, path: Path, kind: str) -> tuple[Agreement | None, str]:
    """How far the outputs are from ours, and by what they were computed."""
    raw = bundle.samples()
    scaled = bundle.scaling.apply(raw)
    wanted = forward(bundle.architecture, bundle.tensors, scaled)
    if kind in ("safetensors", "npz"):
        again = settle(understand(path, formats.read(path), Said()), None, None)
        return compare(forward(again.architecture, again.tensors, scaled), wanted), "dnnrun, read back"
    runner = RUNNERS[kind]
    if find_spec(runner) is None:
        return None, f"not checked: {runner} is not installed"
    arguments: Mapping[str, Any] = {"path": str(path.absolute())}
    if kind == "torch":
        arguments = {**arguments, "modules": modules_of(bundle)}
    given = io.BytesIO()
    np.save(given, raw if kind == "onnx" else scaled)
    answer = apart.call(runner, f"{_TASKS}:run_{kind}", arguments, path, given.getvalue())
    return compare(np.load(io.BytesIO(answer), allow_pickle=False), wanted), runner


def _notes(bundle: Bundle, kind: str) -> tuple[str, ...]:
    notes = ["its outputs are in the units of the targets"] if bundle.task == "regression" else []
    if kind != "onnx" and bundle.scaling.type != "none":
        where = {"torch": "the .json beside it", "safetensors": "its metadata"}.get(kind, f"its {OWN}")
        notes.append(f"inputs must be scaled first ({bundle.scaling.type}); {where} says how")
    if resize := bundle.manifest.get("resize"):
        notes.append(f"images must be resized first, from {resize['from']} to {resize['to']}, {resize['method']}")
    return tuple(notes)
