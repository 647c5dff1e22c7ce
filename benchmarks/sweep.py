"""What the sweep's local processes save: the same trials one after another as single runs, and side by side.

    python benchmarks/sweep.py [--trials 16] [--jobs 2] [--repeat 3] [--source digits]

A single run is `dnnrun train` with one thread, in a process of its own. Every trial must come to the bits of its single
run. Prints, for each repetition, the seconds of both and their ratio, and what the processes hold in memory (PSS: a
page that n processes map counts 1/n to each).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

SPEC = """\
name: bench
data: {{source: {source}, validation: {validation}}}
model: {{hidden: [100, 100]}}
train: {{epochs: {epochs}, batch_size: 50, threads: 1, optimizer: adam}}
"""
GRID = "train.optimizer.learning_rate"
RATES = (0.001, 0.002)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--source", choices=("digits", "mnist"), default="digits")
    given = options.parse_args()
    validation, epochs = {"digits": (200, 20), "mnist": (5000, 3)}[given.source]
    print(f"{given.trials} trials of {given.source}, {given.jobs} jobs; load of the machine: {os.getloadavg()[0]:.1f}")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "bench.yaml"
        spec.write_text(SPEC.format(source=given.source, validation=validation, epochs=epochs))
        _single(spec, Path(folder) / "warm", 0, RATES[0])  # the compile cache is warm for both sides
        _single(spec, Path(folder) / "warm", 0, RATES[1])
        for number in range(given.repeat):
            root = Path(folder) / str(number)
            singly, alone = _one_by_one(spec, root / "alone", given.trials)
            together, trials, memory = _sweep(spec, root / "sweep", given.trials, given.jobs)
            same = sum(alone[key] == trials[key] for key in alone)
            ratios.append(together / singly)
            print(
                f"one by one {singly:6.1f} s   sweep {together:6.1f} s   ratio {ratios[-1]:.2f}   "
                f"same bits {same}/{given.trials}   largest PSS of the workers {memory / 2**20:,.0f} MiB",
                flush=True,
            )
    print(f"ratio, median of {len(ratios)}: {statistics.median(ratios):.2f}")


def _single(spec: Path, runs: Path, seed: int, rate: float) -> bytes:
    command = [sys.executable, "-m", "dnnrun", "train", str(spec), f"seed={seed}", f"{GRID}={rate}", "--json"]
    done = subprocess.run([*command, "--runs-dir", str(runs)], check=True, capture_output=True, text=True)
    return _weights(json.loads(done.stdout)["run"])


def _weights(run: str) -> bytes:
    return (Path(run) / "checkpoints/last/model.safetensors").read_bytes()


def _one_by_one(spec: Path, runs: Path, trials: int) -> tuple[float, dict[tuple[int, float], bytes]]:
    found, began = {}, time.perf_counter()
    for number in range(trials):
        seed, rate = number // len(RATES), RATES[number % len(RATES)]
        found[seed, rate] = _single(spec, runs, seed, rate)
    return time.perf_counter() - began, found


def _sweep(spec: Path, runs: Path, trials: int, jobs: int) -> tuple[float, dict[tuple[int, float], bytes], int]:
    command = [sys.executable, "-m", "dnnrun", "sweep", str(spec), "--grid", f"{GRID}={json.dumps(RATES)}", "--json"]
    command += ["--seeds", str(trials // len(RATES)), "--jobs", str(jobs), "--engine", "local", "sweep.confirm=0"]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--runs-dir", str(runs)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    most = [0]
    watching = threading.Thread(target=_watch, args=(process.pid, most), daemon=True)
    watching.start()
    out, _ = process.communicate()
    seconds = time.perf_counter() - began
    rows = json.loads(out)["trials"]
    return seconds, {(row["seed"], row[GRID]): _weights(row["run"]) for row in rows}, most[0]


def _watch(pid: int, most: list[int]) -> None:
    """Keep the largest sum of the workers' PSS, looked at twice a second."""
    while psutil.pid_exists(pid):
        total = 0
        try:
            for child in psutil.Process(pid).children():
                total += child.memory_full_info().pss
        except psutil.Error:
            pass
        most[0] = max(most[0], total)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
