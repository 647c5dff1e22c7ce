"""Tables: time to the first step, memory, and the speed of predictions from CSV, against polars and rows in memory.

    python benchmarks/tables.py [--rounds 3] [--million 5]

All parts of a round run one after the other, so that its ratios are of one moment. The wide table has 60,000 rows of
784 numbers like MNIST's; the long one, of as many million rows as said, has the columns of tests/mixedtable.py. Peak
memory is that of a process of its own, as the kernel counts it; "beyond" is what
it takes more than a process that trains on 5,000 such rows. Results go to benchmarks/results/tables.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ROWS, WIDTH, FEW = 60_000, 784, 5_000
RESULTS = ROOT / "benchmarks" / "results" / "tables.md"
TRAIN = {"epochs": 1, "batch_size": 200, "optimizer": {"type": "sgd", "learning_rate": 0.01}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        lines = wide(place, options.rounds)
        lines += long(place, round(options.million * 1e6))
    command = f"python benchmarks/tables.py --rounds {options.rounds} --million {options.million:g}"
    text = f"# Tables\n\nMeasured by `{command}` on {os.cpu_count()} cores, medians of the rounds.\n\n" + "\n".join(
        lines
    )
    RESULTS.write_text(text + "\n")
    print(text)


def files_of(place: Path) -> None:
    """Write the wide table, its first rows, and the specs that train on them."""
    import polars

    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (ROWS, WIDTH))
    values[rng.random(values.shape) < 0.8] = 0
    labels = [f"c{number}" for number in rng.integers(0, 10, ROWS)]
    frame = polars.DataFrame({**{f"p{at}": values[:, at] for at in range(WIDTH)}, "label": labels})
    frame.write_csv(place / "wide.csv")
    frame.head(FEW).write_csv(place / "few.csv")
    np.save(place / "x.npy", values.astype(np.float32))
    for name in ("wide", "few"):
        spec = {
            "name": name,
            "data": {"source": {"type": "csv", "path": f"{name}.csv", "target": "label"}},
            "model": {"hidden": [300, 100]},
            "train": TRAIN,
        }
        (place / f"{name}.yaml").write_text(json.dumps(spec))


def wide(place: Path, rounds: int) -> list[str]:
    """Train on, and predict, 60,000 rows of 784 numbers."""
    files_of(place)
    for name in ("wide", "few"):
        dnnrun(place, "train", f"{name}.yaml")  # compiles
    told: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in ("wide", "few"):
            result, peak = dnnrun(place, "train", f"{name}.yaml", "--json")
            told.setdefault(f"{name} first", []).append(json.loads(result)["timing"]["to_first_step_s"])
            told.setdefault(f"{name} peak", []).append(peak)
        for name, value in inside(place).items():
            told.setdefault(name, []).append(value)
    table = ROWS * WIDTH * 4 / 1e6
    found = {name: median(values) for name, values in told.items()}
    ratios = median([a / b for a, b in zip(told["predict"], told["read"], strict=True)])
    ahead = median([a - b for a, b in zip(told["wide first"], told["few first"], strict=True)])
    beyond = median([a - b for a, b in zip(told["wide peak"], told["few peak"], strict=True)])
    return [
        f"CSV of {ROWS:,} x {WIDTH} ({(place / 'wide.csv').stat().st_size / 1e6:.0f} MB; {table:.0f} MB as float32)",
        "",
        "| what | measured | wanted |",
        "|---|---|---|",
        f"| start of the command to the first step | {found['wide first']:.2f} s | 3 s |",
        f"| ... of {FEW:,} such rows | {found['few first']:.2f} s | |",
        f"| ... the other {ROWS - FEW:,} rows | {ahead:.2f} s | |",
        f"| polars.read_csv alone | {found['read']:.2f} s | |",
        f"| peak memory of the process | {found['wide peak']:.0f} MB, {found['wide peak'] / table:.2f} tables | 3 |",
        f"| ... beyond training on {FEW:,} rows | {beyond:.0f} MB, {beyond / table:.2f} tables | |",
        f"| predict from CSV to CSV, in a running process | {found['predict']:.2f} s, {ratios:.2f} x reading | 1.5 |",
        f"| predict of the same rows in memory | {ROWS / found['memory']:,.0f} rows/s | |",
        f"| ... of what the products alone allow | {median(told['limit share']):.0%} | 60% |",
        "",
    ]


def inside(place: Path) -> dict[str, float]:
    """Seconds of reading and of predicting, in a process that has compiled."""
    code = """
import json, sys, time
import jax, numpy as np, polars
import dnnrun
from pathlib import Path
from statistics import median
from dnnrun.predictions import predict_files, write

network, x = dnnrun.load("runs/wide"), np.load("x.npy")
kernels = [jax.numpy.asarray(layer["kernel"]) for layer in network.layers.values()]

@jax.jit
def products(x):
    for kernel in kernels:
        x = x @ kernel
    return x

blocks = [jax.numpy.asarray(x[at : at + 1000]) for at in range(0, len(x), 1000)]

def timed(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began

def from_csv():
    write(predict_files(network, ["wide.csv"]), Path("out.csv"))

def limit():
    jax.block_until_ready([products(block) for block in blocks])

network.outputs(x[:10]), limit(), from_csv()
pairs = [(timed(lambda: polars.read_csv("wide.csv")), timed(from_csv)) for _ in range(3)]
found = {"read": median(read for read, _ in pairs), "predict": median(predict for _, predict in pairs)}
found |= {"memory": timed(lambda: network.outputs(x)), "limit": timed(limit)}
print(json.dumps({**found, "limit share": found["limit"] / found["memory"]}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=place, env=environment(), capture_output=True, check=True)
    return json.loads(done.stdout)


def long(place: Path, rows: int) -> list[str]:
    """Predict millions of mixed rows: how fast, and how much memory grows with them."""
    sys.path.insert(0, str(ROOT))
    from tests.mixedtable import mixed

    part = mixed(100_000)
    part.write_csv(place / "part.csv")
    text = (place / "part.csv").read_bytes()
    header, body = text[: text.index(b"\n") + 1], text[text.index(b"\n") + 1 :]
    spec = {
        "name": "mixed",
        "data": {"source": {"type": "csv", "path": "part.csv", "target": "churn", "ignore": ["spend"], "id": "id"}},
        "model": {"hidden": [64, 32]},
        "train": {**TRAIN, "epochs": 2},
    }
    (place / "mixed.yaml").write_text(json.dumps(spec))
    dnnrun(place, "train", "mixed.yaml")
    lines = [
        "Predictions of mixed rows (numbers, categories, a date), with an id and probabilities",
        "",
        "| rows | to | seconds | rows/s | peak memory |",
        "|---|---|---|---|---|",
    ]
    for count, suffix in ((100_000, "csv"), (rows // 5, "csv"), (rows, "csv"), (rows, "parquet")):
        with (place / "long.csv").open("wb") as file:
            file.write(header)
            for _ in range(count // len(part)):
                file.write(body)
        began = time.perf_counter()
        _, peak = dnnrun(place, "predict", "runs/mixed", "long.csv", "-o", f"out.{suffix}", "--proba")
        seconds = time.perf_counter() - began
        lines.append(f"| {count:,} | {suffix} | {seconds:.1f} | {count / seconds:,.0f} | {peak:.0f} MB |")
    return lines


def dnnrun(place: Path, *words: str) -> tuple[str, float]:
    """Its stdout and its peak memory in MB. The file's pages that it maps count too."""
    code = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); "
    code += "sys.stdout.buffer.write(r.stdout); sys.exit(r.returncode)"
    line = [sys.executable, "-c", code, sys.executable, "-m", "dnnrun", *words]
    done = subprocess.run(line, cwd=place, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout, int(done.stderr.splitlines()[-1]) / (1e6 if sys.platform == "darwin" else 1e3)


def environment() -> dict[str, Any]:
    """That of a shell: polars, imported here, leaves settings of its allocator, to which a command's would give way."""
    own = {name: value for name, value in os.environ.items() if name != "_RJEM_MALLOC_CONF"}
    return {**own, "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
