"""What reuse costs: training on cached outputs against training through frozen layers, and the plan of a large source.

    python benchmarks/transfer.py            # both, about two minutes on 2 cores; MNIST as for `dnnrun train`
    python benchmarks/transfer.py plan       # the plan alone, which needs no download and 400 MB of disk

Wanted: cached at least 10 times the examples/s; a plan under 2 s that reads the bytes of no tensor, and a restore that
reads those of the reused layers only.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

BASE: dict[str, Any] = {
    "data": {"source": "mnist", "validation": 5000},
    "train": {"optimizer": {"type": "sgd", "learning_rate": 0.01}, "batch_size": 20, "epochs": 10},
}
ROUNDS = 3
LAYERS, UNITS = 100, 1000  # 4 MB a layer
MEASURED = """
import sys, time
began = time.perf_counter()
from dnnrun.cli.app import main
try:
    main()
finally:
    io = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
    print(time.perf_counter() - began, io["rchar"], "jax" in sys.modules, file=sys.stderr)
"""


def dnnrun(place: Path, *arguments: str) -> dict[str, Any]:
    line = [sys.executable, "-m", "dnnrun", *arguments, "--json"]
    return json.loads(
        subprocess.run(line, cwd=place, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    )


def cached_against_uncached(place: Path) -> None:
    """784-300-50-50 frozen, 50-20-10 trained, batch 20: in turns, so that both meet the same machine."""
    for name, hidden in (("source", [300, 50, 50]), ("new", [300, 50, 50, 20])):
        (place / f"{name}.json").write_text(json.dumps({**BASE, "name": name, "model": {"hidden": hidden}}))
    dnnrun(place, "train", "source.json", "train.epochs=1")
    rates: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(ROUNDS):
        for cache, found in rates.items():
            options = ("--from", "runs/source", "--reuse", "hidden[123]", "--freeze", "hidden[123]", "--cache", cache)
            found.append(dnnrun(place, "transfer", "new.json", *options)["timing"]["examples_per_s"])
    on, off = (median(rates[cache]) for cache in ("on", "off"))
    print(f"cached {on:,.0f} examples/s, uncached {off:,.0f}: {on / off:.1f} times")


def large_source(place: Path) -> Path:
    """A run of 100 layers that was never trained, its checkpoint on disk as training would write it."""
    import numpy as np

    from dnnrun.nn.architecture import lay_out
    from dnnrun.spec.load import dump, load_mapping
    from dnnrun.store import checkpoint as checkpoints
    from dnnrun.store.run import create

    spec = load_mapping({"name": "large", "data": {"source": "digits"}, "model": {"hidden": [UNITS] * LAYERS}})
    plan, rng = lay_out(spec.model, 64, 10), np.random.default_rng(0)
    tensors = {tensor.name: rng.standard_normal(tensor.shape, np.float32) for tensor in plan.tensors}
    run = create(place / "runs", "large", dump(spec), {"status": "done", "name": "large"})
    manifest = {
        "spec": spec.model_dump(mode="json"),
        "layers": list(plan.names),
        "features": 64,
        "image": [8, 8, 1],
        "classes": [str(number) for number in range(10)],
        "preprocessing": {"type": "unit", "divide_by": 16.0},
    }
    there = checkpoints.save(run.checkpoints, 1, tensors, None, manifest)
    checkpoints.point(run.checkpoints, "last", there)
    return there / "model.safetensors"


def in_memory(path: Path) -> int:
    """Bytes of a file that the system has read and still holds."""
    libc, size = ctypes.CDLL(None, use_errno=True), path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE) as mapped:
        held = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapped)
        libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), held)
        del start
    return sum(page & 1 for page in held) * mmap.PAGESIZE


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plan_of_a_large_source(place: Path) -> None:
    from dnnrun.assemble import open_donors, plan_transfer
    from dnnrun.data.source import Places
    from dnnrun.spec.load import load_mapping
    from dnnrun.transfer.plan import restore

    file = large_source(place)
    new = {"name": "small", "data": {"source": "digits"}, "model": {"hidden": [UNITS] * 3}}
    (place / "small.json").write_text(json.dumps(new))
    forget(file)
    line = [sys.executable, "-c", MEASURED, "transfer", "small.json", "--from", "runs/large", "--dry-run", "--json"]
    done = subprocess.run(line, cwd=place, check=True, capture_output=True, text=True)
    seconds, rchar, jax = done.stderr.split()[-3:]
    size = file.stat().st_size
    print(
        f"plan of {LAYERS} layers, {size / 1e6:,.0f} MB: {float(seconds):.2f} s, {int(rchar) / 1e6:.1f} MB read in all "
        f"(Python's own modules too), {in_memory(file) / 1e6:.1f} MB of the tensors' file, JAX imported: {jax}"
    )
    spec = load_mapping({**new, "transfer": {"from": str(place / "runs" / "large")}})
    plan = plan_transfer(spec, Places())
    assert open_donors(spec)
    found = restore(plan)
    wanted = sum(value.nbytes for value in found.values())
    print(
        f"restore of {len(plan.reused)} layers, {wanted / 1e6:.1f} MB: {in_memory(file) / 1e6:.1f} MB of the file read"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        plan_of_a_large_source(Path(folder))
        if "plan" not in sys.argv:
            cached_against_uncached(Path(folder))
