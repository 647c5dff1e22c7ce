"""Training speed against other frameworks and against the machine's matrix products, in turn within one run.

    python benchmarks/throughput.py --peers PEERS --batch 200 --rounds 3 [--net bn]

PEERS is a folder of scripts that train the same network and print `examples_per_s` a line and epoch (torch_mlp.py,
keras_mlp.py) or once (gemm_limit.py). Every round runs each program once, one after another; the ratios are of medians
over the rounds, so that a machine whose speed drifts is fair to all. `--whole` compares whole processes of 20 epochs
instead: wall time and peak memory.
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

ROOT = Path(__file__).parents[1]
HIDDEN = {"bn": "[300,100]", "deep": "[100,100,100,100,100]"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DNNRUN_DATA_DIR", ".")))
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--net", choices=HIDDEN, default="bn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    if options.whole:
        options.epochs = 20
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as runs:
        programs = {"dnnrun": ours(options, runs), **peers(options)}
        if options.whole:
            del programs["gemm-limit"]
            measure(programs["dnnrun"])  # fills the compile cache
        for _ in range(options.rounds):
            for name, command in programs.items():
                found.setdefault(name, []).append(measure(command))
                print(name, found[name][-1], file=sys.stderr, flush=True)
    keys = ("wall_s", "peak_mb") if options.whole else ("examples_per_s",)
    medians = {name: {key: median(run[key] for run in runs) for key in keys} for name, runs in found.items()}
    result = {"batch": options.batch, "net": options.net, "rounds": options.rounds, "medians": medians}
    first = keys[0]
    mine = medians["dnnrun"][first]
    result["ratio"] = {name: round(mine / value[first], 3) for name, value in medians.items() if name != "dnnrun"}
    print(json.dumps(result, indent=1))


def ours(options: argparse.Namespace, runs: str) -> list[str]:
    changes = [f"train.batch_size={options.batch}", f"train.epochs={options.epochs}"]
    changes += [f"model.hidden={HIDDEN[options.net]}", "model.initializer=he_normal"]
    if options.net == "deep":
        changes.append("model.batch_norm=null")
    spec = str(ROOT / "configs" / "ch11" / "bn_elu.yaml")
    places = ["--data-dir", str(options.data), "--runs-dir", runs, "--json"]
    return [sys.executable, "-m", "dnnrun", "train", spec, *changes, *places]


def peers(options: argparse.Namespace) -> dict[str, list[str]]:
    data = ["--data", str(options.data / "mnist"), "--net", options.net, "--batch", str(options.batch)]
    found = {}
    for name, script in (("torch", "torch_mlp.py"), ("keras-jax", "keras_mlp.py")):
        found[name] = [sys.executable, str(options.peers / script), *data, "--epochs", str(options.epochs)]
    found["gemm-limit"] = [sys.executable, str(options.peers / "gemm_limit.py"), *data]
    return found


def measure(command: list[str]) -> dict[str, float]:
    """Median examples/s over epochs but the first, wall seconds, and peak memory in MB of one run."""
    began = time.perf_counter()
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    rates = rates_of(output.decode())
    peak = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    return {"examples_per_s": median(rates[1:] or rates), "wall_s": round(wall, 2), "peak_mb": round(peak)}


def rates_of(output: str) -> list[float]:
    try:
        return [json.loads(output)["timing"]["examples_per_s"]]
    except (ValueError, KeyError):
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [line["examples_per_s"] for line in lines if "examples_per_s" in line]


if __name__ == "__main__":
    main()
