"""The experiments of configs/ch11 over several seeds, against the published numbers.

    python benchmarks/chapter11.py [--configs clip l1] [--seeds 0 1 2] [--results FOLDER] [key.sub=value ...]

Trains every config with every seed, one after the other, each in a process of its own, and writes `chapter11.json`
(every run) and `chapter11.md` (a table) into the results folder. Ends with 1 where a mean lies outside the tolerance.
With overrides, as train.epochs=1, nothing is compared with the published numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 0.005

# Validation accuracy after the last epoch, ageron/handson-ml (edition 1), 11_deep_learning.ipynb; None: not published.
PUBLISHED: dict[str, float | None] = {
    "bn_elu": 0.9742,
    "clip": 0.9612,
    "momentum_decay": 0.9820,
    "l1": 0.9214,
    "dropout": 0.9720,
    "he_elu": None,
}


def train(config: str, seed: int, runs: Path, overrides: list[str]) -> dict[str, Any]:
    """What `train --json` says of one run. Ends the program where it failed."""
    command = [sys.executable, "-m", "dnnrun", "train", f"configs/ch11/{config}.yaml", f"seed={seed}", *overrides]
    command += ["--json", "--runs-dir", str(runs)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def summary(config: str, results: dict[int, dict[str, Any]], comparable: bool) -> dict[str, Any]:
    """The accuracies of one config's runs by seed, their mean, and whether it agrees with the published one."""
    by_seed = {seed: result["metrics"]["validation"]["accuracy"] for seed, result in results.items()}
    published = PUBLISHED[config] if comparable else None
    found = mean(by_seed.values())
    return {
        "config": config,
        "epochs": max(result["epochs"] for result in results.values()),
        "published": published,
        "mean": found,
        "seeds": by_seed,
        "inside": None if published is None else abs(found - published) <= TOLERANCE,
        "seconds": mean(result["timing"]["total_s"] for result in results.values()),
        "runs": list(results.values()),
    }


def table(rows: list[dict[str, Any]], machine: str, overrides: list[str]) -> str:
    """The rows in Markdown."""
    command = " ".join(["python benchmarks/chapter11.py", *overrides])
    lines = [
        "# Chapter 11, published and measured",
        "",
        f"Validation accuracy after the last epoch; mean of the seeds, wanted within {TOLERANCE} of the published one.",
        f"Made by `{command}` on {machine}.",
        "",
        "| config | epochs | published | mean | each seed | inside | seconds a run |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        published = "none" if row["published"] is None else f"{row['published']:.4f}"
        each = ", ".join(f"{seed}: {accuracy:.4f}" for seed, accuracy in row["seeds"].items())
        inside = {None: "-", True: "yes", False: "NO"}[row["inside"]]
        lines.append(
            f"| {row['config']} | {row['epochs']} | {published} | {row['mean']:.4f} | {each} | {inside} "
            f"| {row['seconds']:.0f} |"
        )
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="laid over every config, as train.epochs=1")
    parser.add_argument("--configs", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/chapter11"), help="within the repository")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_intermixed_args()
    if wrong := [text for text in options.overrides if "=" not in text]:
        parser.error(f"{wrong[0]}: wanted key.sub=value")
    rows = []
    for config in options.configs:
        results = {}
        for seed in options.seeds:
            results[seed] = train(config, seed, options.runs_dir, options.overrides)
            print(f"{config} seed {seed}: {results[seed]['metrics']['validation']['accuracy']:.4f}", flush=True)
        rows.append(summary(config, results, comparable=not options.overrides))
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}"
    made = table(rows, machine, options.overrides)
    options.results.mkdir(parents=True, exist_ok=True)
    record = {"tolerance": TOLERANCE, "machine": machine, "overrides": options.overrides, "configs": rows}
    (options.results / "chapter11.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    (options.results / "chapter11.md").write_text(made, "utf-8")
    print(made)
    return int(any(row["inside"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
