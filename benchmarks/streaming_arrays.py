"""Peak memory of training on arrays and images, and on four times as many, in memory and streamed.

    python benchmarks/streaming_arrays.py [--rows 60000] [--times 4] [--window 2000]

Rows are 784 numbers, a fifth of them not 0, as bytes or as float32; images are as many grey PNG files of 28 x 28. Peak
memory is that of a process of its own, as the kernel counts it. Results go to benchmarks/results/streaming_arrays.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tables import TRAIN, dnnrun

RESULTS = Path(__file__).parent / "results" / "streaming_arrays.md"
SIDE, CLASSES, AT_A_TIME = 28, 10, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--window", type=int, default=2000)
    options = parser.parse_args()
    lines = ["| source | rows | their values | `data.stream` unset | streamed |", f"|{'---|' * 5}"]
    for name, (write, size) in SOURCES.items():
        for rows in (options.rows, options.rows * options.times):
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                source = write(place, rows)
                peaks = [peak(place, source, stream) for stream in (None, options.window)]
                shutil.rmtree(place / "runs")
            values = rows * SIDE * SIDE * size / 1e6
            lines.append(
                f"| {name} | {rows:,} | {values:,.0f} MB | " + " | ".join(f"{x:,.0f} MB" for x in peaks) + " |"
            )
            print(lines[-1], flush=True)
    command = f"python benchmarks/streaming_arrays.py --rows {options.rows} --times {options.times}"
    RESULTS.write_text(
        f"# Streamed arrays and images\n\nPeak memory, measured by `{command} --window {options.window}` on "
        f"{os.cpu_count()} cores.\n\n" + "\n".join(lines) + "\n"
    )


def peak(place: Path, source: dict[str, Any], stream: int | None) -> float:
    """Of training for an epoch, in MB."""
    spec = {"name": "x", "data": {"source": source, "stream": stream}, "model": {"hidden": [300, 100]}, "train": TRAIN}
    (place / "x.yaml").write_text(json.dumps(spec))
    return dnnrun(place, "train", "x.yaml", "--json")[1]


def values(rows: int, dtype: Any) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = np.zeros((rows, SIDE * SIDE), dtype)
    for start in range(0, rows, AT_A_TIME):
        part = rng.integers(1, 256, (min(AT_A_TIME, rows - start), SIDE * SIDE))
        found[start : start + AT_A_TIME] = np.where(rng.random(part.shape) < 0.2, part, 0)
    return found


def labels(rows: int) -> np.ndarray:
    return (np.arange(rows) % CLASSES).astype(np.uint8)


def npz(save: Callable[..., None], dtype: Any) -> Callable[[Path, int], dict[str, Any]]:
    def write(place: Path, rows: int) -> dict[str, Any]:
        save(place / "rows.npz", x=values(rows, dtype), y=labels(rows))
        return {"type": "npz", "path": "rows.npz"}

    return write


def idx(place: Path, rows: int) -> dict[str, Any]:
    for name, array in (("x.gz", values(rows, np.uint8)), ("y.gz", labels(rows))):
        with gzip.open(place / name, "wb", 1) as file:
            file.write(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape))
            file.write(array.data)
    return {"type": "idx", "features": "x.gz", "labels": "y.gz"}


def images(place: Path, rows: int) -> dict[str, Any]:
    for number in range(CLASSES):
        (place / "images" / f"c{number}").mkdir(parents=True)
    for number, pixels in enumerate(values(rows, np.uint8)):
        path = place / "images" / f"c{number % CLASSES}" / f"{number}.png"
        Image.fromarray(pixels.reshape(SIDE, SIDE)).save(path, compress_level=1)
    return {"type": "images", "path": "images"}


SOURCES: dict[str, tuple[Callable[[Path, int], dict[str, Any]], int]] = {
    ".npz of bytes": (npz(np.savez, np.uint8), 1),
    ".npz of bytes, packed": (npz(np.savez_compressed, np.uint8), 1),
    ".npz of float32": (npz(np.savez, np.float32), 4),
    ".npz of float32, packed": (npz(np.savez_compressed, np.float32), 4),
    "IDX of bytes, gzip": (idx, 1),
    "images": (images, 1),
}


if __name__ == "__main__":
    main()
