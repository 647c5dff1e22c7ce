"""Another framework's library reads a file, or runs one, in a process of its own, with little memory and time.

A parser in C++ that crashes, hangs or asks for all memory then ends that process and not this one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnnrun.errors import InteropError, MissingExtra

MIB = 1 << 20
SECONDS = 120.0  # for a small file on a busy machine; TensorFlow alone may need ten to start
BYTES_A_SECOND = 10 * MIB
PACKAGES = {"torch": "torch", "h5py": "keras", "onnx": "onnx", "onnxruntime": "onnx", "tensorflow": "tensorflow"}
# Before any file is read, MiB of memory; some libraries take much to start.
ALLOWANCE = {"h5py": 512, "onnx": 512, "onnxruntime": 1024, "torch": 1024, "tensorflow": 2048, "keras": 4096}


def require(package: str, what: str) -> None:
    """Raise MissingExtra where `package` is not installed, naming the extra that brings it."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(what, package, PACKAGES.get(package, package))


def call(package: str, task: str, arguments: Mapping[str, Any], path: Path, data: bytes = b"") -> bytes:
    """What the function `task` (module:name) answers in a process of its own, given `arguments` and `data`.

    Raises InteropError with what it raised, or where it ran out of time or memory, or crashed; `path` is the file.
    """
    size = _size(path)
    seconds = SECONDS + size / BYTES_A_SECOND
    limit = (ALLOWANCE.get(package, 512) * MIB) + 8 * size
    order = json.dumps({"task": task, "arguments": dict(arguments), "limit": limit})
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-P", "-m", "dnnrun.interop.child", order]
    try:
        done = subprocess.run(command, input=data, capture_output=True, env=environment, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise InteropError(f"{path}: {package} was not done after {seconds:.0f} s and was stopped") from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == 3:
        raise InteropError(done.stdout.decode("utf-8", "replace"))
    if done.returncode == 4 or b"MemoryError" in done.stderr[-400:] or b"bad_alloc" in done.stderr[-400:]:
        raise InteropError(f"{path}: {package} wanted more memory than a file of {size:,} bytes can need; not read")
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()
    reason = last[-1] if last else f"it ended with {done.returncode}"
    raise InteropError(f"{path}: {package} cannot read this file ({reason[:300]})")


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    near = path.parent.glob(f"{path.name}*") if path.parent.is_dir() else ()
    return sum(file.stat().st_size for file in near if file.is_file())
