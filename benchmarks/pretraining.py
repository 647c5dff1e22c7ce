"""The pretraining experiments of configs/ch11 over seeds, against the published numbers.

    python benchmarks/pretraining.py [--only NAME ...] [--work FOLDER] [--results FOLDER]

Each run is `dnnrun VERB configs/ch11/NAME.yaml seed=S train.threads=1 --json` in the folder of its seed, a comparison
with scratch `dnnrun sweep ... --against-scratch --seeds 5 sweep.confirm=0 --jobs 1`; what each printed is kept in the
work folder as NAME.json and not run again. Writes `pretraining.json` and `pretraining.md` into the results folder.
MNIST as for `dnnrun train`. Hours on one core; the comparison of cached and uncached (`cache`) is a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUNS: dict[str, tuple[str, str, tuple[int, ...], tuple[str, ...]]] = {  # name: verb, config, seeds, overrides
    "ae_layerwise": ("pretrain", "ae_layerwise", (0, 1, 2), ()),
    "ae_uncached": ("pretrain", "ae_layerwise", (0,), ("name=ae_uncached", "pretrain.cache=off")),
    "rbm": ("pretrain", "rbm", (42,), ()),
    "rbm_digits": ("train", "rbm_digits", (0, 1, 2), ()),
    "raw_digits": ("train", "rbm_digits", (0, 1, 2), ("name=raw", "pretrain=null", "transfer=null", "model.hidden=[]")),
    "ex10_pairs": ("pretrain", "ex10_pairs", (0, 1, 2, 3, 4), ()),
    "ex10_transfer": ("train", "ex10_transfer", (0, 1, 2, 3, 4), ()),
    "ex10_scratch": ("train", "ex10_scratch", (0, 1, 2, 3, 4), ()),
}
SWEEPS = ("corruption", "margin", "ae_pretrain", "rbm_pretrain")
SWEEP = ("--against-scratch", "--seeds", "5", "sweep.confirm=0", "--jobs", "1")


def dnnrun(folder: Path, name: str, *arguments: str) -> dict[str, Any]:
    """What a command prints as JSON: of an earlier time, where it is there."""
    kept = folder / f"{name}.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "dnnrun", *arguments, "--json"]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(command, capture_output=True, cwd=folder, env={**os.environ, "PYTHONPATH": path})
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()}")
        kept.write_bytes(done.stdout)
    print(folder.name, name, flush=True)
    return json.loads(kept.read_text())


def of_runs(name: str, work: Path) -> dict[int, dict[str, Any]]:
    verb, config, seeds, overrides = RUNS[name]
    spec = str(ROOT / "configs" / "ch11" / f"{config}.yaml")
    return {
        seed: dnnrun(work / f"seed-{seed}", name, verb, spec, f"seed={seed}", "train.threads=1", *overrides)
        for seed in seeds
    }


def told(values: list[float], digits: int) -> str:
    """Mean, interval, and each value."""
    from dnnrun.sweep.statistics import estimate

    found = estimate(values)
    half = "" if found.half is None else f" +-{found.half:.{digits}f}"
    return f"{found.mean:.{digits}f}{half} ({', '.join(f'{value:.{digits}f}' for value in values)})"


def rows_of(name: str, work: Path) -> list[tuple[str, str, str]]:
    """What was measured, published and found, of one experiment."""
    if name in SWEEPS:
        return [gain_of(name, work)]
    if name == "cache":
        return [cache()]
    results = of_runs(name, work)
    if name == "rbm":
        return rbm_rows(results[42])
    if name.startswith("ae"):
        mse = [result["metrics"]["test"]["reconstruction_mse"] for result in results.values()]
        return [("test MSE through all layers", ".0098 +-.001", told(mse, 5))]
    accuracies = {seed: result["metrics"]["test"]["accuracy"] for seed, result in results.items()}
    published = {"ex10_pairs": ".976 +-.004", "ex10_transfer": ".972 +-.004", "ex10_scratch": ".945"}
    published |= {"rbm_digits": "at least .93", "raw_digits": ".78"}
    found = [("test accuracy", published[name], told(list(accuracies.values()), 4))]
    if name == "ex10_transfer":
        scratch = of_runs("ex10_scratch", work)
        gains = [value - scratch[seed]["metrics"]["test"]["accuracy"] for seed, value in accuracies.items()]
        found.append(("gain over scratch, paired by seed", "+.031 (+.027 to +.034)", told(gains, 4)))
    if name == "rbm_digits":
        stages = [result["stages"][0]["metrics"] for result in results.values()]
        first, last = ([s[moment]["pseudo_likelihood"] for s in stages] for moment in ("first", "last"))
        found.append(
            ("pseudo-likelihood, first to last epoch", "-25.6 to -20.3", f"{told(first, 1)} to {told(last, 1)}")
        )
    return found


def rbm_rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    first, last = (result["stages"][0]["metrics"][moment] for moment in ("first", "last"))
    pseudo = f"{first['pseudo_likelihood']:.2f} to {last['pseudo_likelihood']:.2f}"
    exact = f"{last['test']['exact_pseudo_likelihood']:.2f}"
    return [
        ("pseudo-likelihood of the batches, first to last epoch", "-90.65 to -62.76", pseudo),
        ("exact, 500 test images", "-61 +-2", exact),
    ]


def gain_of(name: str, work: Path) -> tuple[str, str, str]:
    """The paired gain of pretraining, from what the sweep printed."""
    from dnnrun.sweep.statistics import difference, verdict

    spec = str(ROOT / "configs" / "ch11" / f"{name}.yaml")
    found = dnnrun(work / "sweep", name, "sweep", spec, *SWEEP)
    values: dict[bool, dict[int, float]] = {True: {}, False: {}}
    for trial in found["trials"]:
        if trial.get("validation.accuracy") is not None:
            scratch = any(key in trial for key in ("pretrain", "transfer"))
            values[not scratch][trial["seed"]] = trial["validation.accuracy"]
    gain = difference(values[True], values[False])
    means = " against ".join(f"{sum(v.values()) / len(v):.4f}" for v in (values[True], values[False]))
    return ("validation accuracy, gain of pretraining", "none", f"{gain} ({means}): {verdict(gain)}")


def cache() -> tuple[str, str, str]:
    """An epoch of ae_layerwise's second stage on cached inputs against one through the first layer, in turns."""
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.pretraining import assemble_stage, plan_pretraining
    from dnnrun.spec.load import load

    places, ready = find_places(None), {}
    for how in ("auto", "off"):
        options = [f"pretrain.cache={how}", "train.threads=1", "data.limit=15000"]
        planned = plan_pretraining(load(ROOT / "configs" / "ch11" / "ae_layerwise.yaml", options), places)
        parts = assemble_stage(planned, 1, {}, places, compile_cache(), None)
        state, frozen = parts.enter(0, [0], parts.first_tensors())
        parts.evaluate({**frozen, **state.params}, "validation")
        steps = parts.plan.steps_per_epoch
        ready[how] = [parts, parts.program.train_chunk(state, frozen, parts.batches(0), 0, steps), frozen, steps]
    seconds: dict[str, list[float]] = {how: [] for how in ready}
    for epoch in range(1, 7):
        for how, (parts, state, frozen, steps) in ready.items():
            data = parts.batches(epoch)
            state.step.block_until_ready()
            began = time.process_time()
            state = parts.program.train_chunk(state, frozen, data, epoch * steps, (epoch + 1) * steps)
            state.step.block_until_ready()
            seconds[how].append(time.process_time() - began)
            ready[how][1] = state
    turns = list(zip(seconds["auto"], seconds["off"], strict=True))[1:]  # the first one may still share the machine
    ratios = sorted(uncached / cached for cached, uncached in turns)
    found = f"{median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return ("second stage, cached against uncached, processor time, by turns", "at least 1.6 times", found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [*RUNS, *SWEEPS, "cache"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "pretraining", help="where the runs are kept")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    rows = [(name, *row) for name in options.only for row in rows_of(name, options.work)]
    machine = f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}"
    lines = [
        "# Pretraining, published and measured",
        "",
        f"Made by `python benchmarks/pretraining.py` on {machine}, one thread a run, beside other work. Means with 95%",
        "intervals (Student's t) over seeds, each seed's value in brackets.",
        "",
        "| experiment | what | published | measured |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    options.results.mkdir(parents=True, exist_ok=True)
    record = [dict(zip(("experiment", "what", "published", "measured"), row, strict=True)) for row in rows]
    (options.results / "pretraining.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    (options.results / "pretraining.md").write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
