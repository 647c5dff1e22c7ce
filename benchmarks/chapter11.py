"""The experiments of configs/ch11 over several seeds, against the published numbers.

    python benchmarks/chapter11.py [--configs clip l1] [--seeds 0 1 2] [--results FOLDER] [key.sub=value ...]

Trains every config with every seed, one after the other, each in a process of its own, and writes `chapter11.json`
(every run) and `chapter11.md` (a table) into the results folder. The runs of one seed share a runs folder, so that a
config that reuses layers takes them from the run of the same seed: name its source too. Ends with 1 where a mean lies
outside the published range. With overrides, as train.epochs=1, nothing is compared with the published numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, NamedTuple

from scipy.stats import t

ROOT = Path(__file__).resolve().parent.parent


class Published(NamedTuple):
    """What was published for a config: the accuracy on a split, and the range that the mean is wanted in."""

    split: str
    text: str
    low: float
    high: float
    seeds: int


def near(value: float) -> Published:
    """A validation accuracy after the last epoch, which the mean of 3 seeds is wanted within .005 of."""
    return Published("validation", f"{value:.4f}", value - 0.005, value + 0.005, 3)


def between(low: float, high: float) -> Published:
    """The range of the authors' runs on the test rows, over 5 seeds."""
    return Published("test", f"{low:.3f}-{high:.3f}", low, high, 5)


# ageron/handson-ml (edition 1), 11_deep_learning.ipynb; None: not published. A config stands after its source.
PUBLISHED: dict[str, Published | None] = {
    "bn_elu": near(0.9742),
    "clip": near(0.9612),
    "momentum_decay": near(0.9820),
    "l1": near(0.9214),
    "dropout": near(0.9720),
    "he_elu": None,
    "restore_all": near(0.971),
    "reuse_123": near(0.9678),
    "freeze_12": near(0.9602),
    "cached_12": near(0.9602),
    "ex8_base": between(0.970, 0.985),
    "ex8_searched": between(0.987, 0.994),
    "ex9_frozen": between(0.64, 0.76),
    "ex9_four_layers": between(0.69, 0.80),
    "ex9_top_two": between(0.78, 0.86),
    "ex9_all": between(0.79, 0.91),
    "ex9_scratch": between(0.85, 0.90),
}


def train(config: str, seed: int, work: Path, overrides: list[str]) -> dict[str, Any]:
    """What `train --json` says of one run in the folder of its seed. Ends the program where it failed."""
    folder = work / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    spec = str(ROOT / "configs" / "ch11" / f"{config}.yaml")
    command = [sys.executable, "-m", "dnnrun", "train", spec, f"seed={seed}", *overrides, "--json"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def summary(config: str, results: dict[int, dict[str, Any]], comparable: bool) -> dict[str, Any]:
    """The accuracies of one config's runs by seed, their mean with its 95% interval, and whether it agrees."""
    goal = PUBLISHED[config]
    split = goal.split if goal else "validation"
    by_seed = {seed: result["metrics"][split]["accuracy"] for seed, result in results.items()}
    found = mean(by_seed.values())
    count = len(by_seed)
    half = float(t.ppf(0.975, count - 1)) * stdev(by_seed.values()) / count**0.5 if count > 1 else None
    return {
        "config": config,
        "split": split,
        "epochs": sorted(result["epochs"] for result in results.values()),
        "published": goal.text if goal and comparable else None,
        "mean": found,
        "half_interval": half,
        "seeds": by_seed,
        "inside": goal.low <= found <= goal.high if goal and comparable else None,
        "seconds": median(result["timing"]["total_s"] for result in results.values()),
    }


def table(rows: list[dict[str, Any]], machine: str, overrides: list[str]) -> str:
    """The rows in Markdown."""
    command = " ".join(["python benchmarks/chapter11.py", *overrides])
    lines = [
        "# Chapter 11, published and measured",
        "",
        "Accuracy on the split named, after the last epoch or of the best one where the config stops early; mean over",
        "the seeds, with its 95% interval by Student's t. Single values are for validation, wanted within .005;",
        "a range is that of the authors' runs on the test rows.",
        f"Made by `{command}` on {machine}; seconds are the median of a run's whole process, beside other work.",
        "",
        "| config | split | epochs | published | mean | each seed | inside | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        each = " ".join(f"{accuracy:.4f}" for accuracy in row["seeds"].values())
        inside = {None: "-", True: "yes", False: "NO"}[row["inside"]]
        epochs = "-".join(map(str, sorted({row["epochs"][0], row["epochs"][-1]})))
        spread = "" if row["half_interval"] is None else f" +-{row['half_interval']:.4f}"
        lines.append(
            f"| {row['config']} | {row['split']} | {epochs} | {row['published'] or 'none'} | {row['mean']:.4f}{spread} "
            f"| {each} | {inside} | {row['seconds']:.0f} |"
        )
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="laid over every config, as train.epochs=1")
    parser.add_argument("--configs", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    parser.add_argument("--seeds", nargs="+", type=int, help="unset: 0, 1, 2, and to 4 for ex8 and ex9")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "chapter11", help="where the runs are kept")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_intermixed_args()
    if wrong := [text for text in options.overrides if "=" not in text]:
        parser.error(f"{wrong[0]}: wanted key.sub=value")
    rows = []
    for config in options.configs:
        results = {}
        goal = PUBLISHED[config]
        for seed in options.seeds or range(goal.seeds if goal else 3):
            results[seed] = train(config, seed, options.work, options.overrides)
            print(config, "seed", seed, results[seed]["metrics"], flush=True)
        rows.append(summary(config, results, comparable=not options.overrides))
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}"
    made = table(rows, machine, options.overrides)
    options.results.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine, "overrides": options.overrides, "configs": rows}
    (options.results / "chapter11.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    (options.results / "chapter11.md").write_text(made, "utf-8")
    print(made)
    return int(any(row["inside"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
