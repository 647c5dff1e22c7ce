"""PyTorch's .pt, .pth and .bin, by torch with weights_only=True and never otherwise, in a process of its own."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportMissingModuleSource=false
from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.readers.damage import DAMAGED
from dnnrun.interop.weights import Weights, pack

HOLDERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
NAMED = {"torch", "collections", "numpy", "_codecs", "builtins", "__builtin__"}  # modules that state dicts name
ADVICE = "save the tensors alone: torch.save(model.state_dict(), 'model.pt')"


def task(data: bytes, path: str) -> bytes:
    """`read` for `apart.call`."""
    return pack(read(Path(path)))


def read(path: Path) -> Weights:
    """The state dict in a file. Raises InteropError for anything that is not tensors and plain values."""
    import pickle

    _check(path)
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        raise InteropError(f"{path}: {_said(error)}; nothing of it was run. {ADVICE}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError, OSError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InteropError(f"{path}: torch cannot read it ({told}); {ADVICE}") from None
    notes: list[str] = []
    entries = _entries(path, found, notes)
    limit = path.stat().st_size
    tensors, passed = {}, []
    for name, value in entries.items():
        if isinstance(value, torch.Tensor):
            tensors[name] = _array(path, name, value, limit)
        else:
            passed.append(name)
    if not tensors:
        raise InteropError(f"{path}: has no tensors; {ADVICE}")
    return Weights(
        "torch",
        tensors,
        orientation="out_in",
        ordered=True,
        epsilon=1e-5,
        passed=tuple(passed),
        notes=tuple(notes),
    )


def _check(path: Path) -> None:
    """Torch writes its archives uncompressed: what claims to be larger than the file is not its work."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except DAMAGED as error:
        raise InteropError(f"{path}: not a whole archive ({error}); copy it again") from None
    if any("constants.pkl" in member.filename or "/code/" in member.filename for member in members):
        raise InteropError(f"{path}: a TorchScript program, which is code; {ADVICE}")
    try:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                if member.filename.endswith("data.pkl") and member.file_size < 1 << 24:
                    _check_names(path, archive.read(member))
    except DAMAGED:
        pass  # torch says what is wrong with it
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise InteropError(f"{path}: an archive that unpacks to more than its size, as torch writes none; not read")


def _check_names(path: Path, pickled: bytes) -> None:
    """Refuse what names anything but torch's own parts before torch is started; torch then looks at each of them."""
    import pickletools

    for code, argument, _ in pickletools.genops(pickled):
        if code.name == "GLOBAL" and str(argument).split()[0].partition(".")[0] not in NAMED:
            raise InteropError(
                f"{path}: holds Python objects beside tensors, which could run code; nothing of it was run. {ADVICE}"
            )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "GLOBAL" in text or "Unsupported" in text or "not an allowed" in text or "WeightsUnpickler" in text:
        return "holds Python objects beside tensors, which could run code"
    return f"cannot be unpickled safely ({text[:120]})"


def _entries(path: Path, found: Any, notes: list[str]) -> dict[str, Any]:
    """The state dict in what was loaded, flat: name -> value."""
    import torch

    if isinstance(found, torch.Tensor):
        return {path.stem: found}
    if not isinstance(found, Mapping):
        raise InteropError(f"{path}: holds a {type(found).__name__}, wanted a state dict; {ADVICE}")
    for holder in HOLDERS:
        inner = found.get(holder)
        if isinstance(inner, Mapping) and any(isinstance(value, torch.Tensor) for value in inner.values()):
            if others := [str(key) for key in found if key != holder]:
                notes.append(f"taken from {holder!r}; not looked at: {', '.join(others[:8])}")
            return {str(key): value for key, value in inner.items()}
    flat: dict[str, Any] = {}
    queue = [("", found)]
    while queue:
        prefix, mapping = queue.pop(0)
        for key, value in mapping.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            if isinstance(value, Mapping):
                queue.append((name, value))
            else:
                flat[name] = value
        if len(flat) > 100_000:
            raise InteropError(f"{path}: more than 100,000 entries; {ADVICE}")
    return flat


def _array(path: Path, name: str, value: Any, limit: int) -> np.ndarray:
    import torch

    if value.layout != torch.strided or value.is_quantized:
        raise InteropError(f"{path}: {name} is sparse or quantized; save it dense, as float32")
    if value.numel() * value.element_size() > limit:
        shape = "x".join(map(str, value.shape))
        raise InteropError(f"{path}: {name} declares {shape} values, more than the file has; it is damaged")
    if value.is_complex():
        raise InteropError(f"{path}: {name} holds complex numbers, wanted real ones")
    if value.dtype not in (torch.float32, torch.float64, torch.float16) and value.is_floating_point():
        value = value.float()
    return value.detach().cpu().contiguous().numpy()
