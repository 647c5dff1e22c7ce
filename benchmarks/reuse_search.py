"""Exercise 9 by one reuse-search, and its time against the same trials one after another without shared caches.

    python benchmarks/reuse_search.py [--seeds 5] [--repeat 1] [--whole] [--work FOLDER] [--results FOLDER]

Trains `ch11/ex8_searched` where the work folder has no finished run of it, then times, one after the other and as often
as `--repeat` says:

- the search: `dnnrun reuse-search`, its cache of frozen outputs empty
- the search with `transfer.cache=off`: nothing computed once, on as many processes
- one process: its trials one after another in one process with all threads, each with an empty cache of outputs
- commands: its trials one after another, each a `dnnrun train` with all threads and an empty cache of outputs

A search before all of them, not timed, compiles what they need: compiled code is shared by all. Only the variants of
the exercise are run, 4 and 5 layers reused, unless `--whole` asks for every depth. Writes `reuse_search.json` and
`reuse_search.md`; ends with 1 where the search takes more than 0.6 of the time of the commands.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "ch11" / "ex9_reuse.yaml"
EXERCISE = ["--depths", "4,5", "--unfreeze", "0,2,all", "--variants", "dropped,replaced"]
BOUND = 0.6

# What the exercise calls a variant, and the range of the authors' runs on the test rows
PUBLISHED = {
    "reuse 5, freeze 5": ("all five layers, frozen", ".64-.76"),
    "reuse 4, freeze 4, 1 dropped": ("four layers, frozen", ".69-.80"),
    "reuse 4, freeze 2, 1 dropped": ("four layers, top two unfrozen", ".78-.86"),
    "reuse 4, freeze 0, 1 dropped": ("four layers, all unfrozen", ".79-.91"),
    "reuse 4, freeze 4, 1 replaced": ("four layers frozen, the top one replaced", "none"),
    "from scratch": ("from scratch", ".85-.90 (4 x 100, ELU)"),
}


@contextmanager
def empty_outputs() -> Iterator[Path]:
    """A cache folder that has all that the user's has, but no outputs of frozen layers."""
    from dnnrun.data.places import default_cache

    with tempfile.TemporaryDirectory() as folder:
        for entry in default_cache().iterdir() if default_cache().is_dir() else ():
            if entry.name != "outputs":
                (Path(folder) / entry.name).symlink_to(entry)
        yield Path(folder)


def dnnrun(arguments: list[str], work: Path, cache: Path | None = None) -> str:
    """What the command prints. Ends the program where it fails."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    more = {"PYTHONPATH": path} | ({"DNNRUN_CACHE": str(cache)} if cache else {})
    command = [sys.executable, "-m", "dnnrun", *arguments]
    done = subprocess.run(command, cwd=work, env={**os.environ, **more}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def search(work: Path, options: list[str]) -> dict[str, Any]:
    """The search with an empty cache of outputs."""
    arguments = ["reuse-search", str(CONFIG), *options, "--from", "runs/ex8_searched", "--confirm", "0", "--test"]
    with empty_outputs() as cache:
        return json.loads(dnnrun([*arguments, "--json"], work, cache))


def trial_specs(work: Path, found: dict[str, Any]) -> list[Path]:
    """A spec file for each trial that the search ran."""
    return [work / trial["run"] / "spec.yaml" for trial in found["trials"]]


def commands(specs: list[Path], work: Path) -> None:
    """One `dnnrun train` after another."""
    for spec in specs:
        with empty_outputs() as cache, tempfile.TemporaryDirectory() as runs:
            dnnrun(["train", str(spec), "--runs-dir", runs, "--json"], work, cache)


def one_process(specs: list[Path], work: Path) -> None:
    """One process that trains one after another."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, __file__, "--one-process", *map(str, specs)]
    subprocess.run(command, cwd=work, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.DEVNULL)


def train_here(specs: list[str]) -> None:
    """What `one_process` does in its process."""
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.experiment import train
    from dnnrun.spec.load import load

    compiled = compile_cache()
    for spec in specs:
        with empty_outputs() as cache, tempfile.TemporaryDirectory() as runs:
            os.environ["DNNRUN_CACHE"] = str(cache)
            train(load(spec), runs=Path(runs), places=find_places(), cache=compiled)
            del os.environ["DNNRUN_CACHE"]


def timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def table(record: dict[str, Any]) -> str:
    """The record in Markdown."""
    found, seconds = record["search"], record["seconds"]
    whole = " --whole" * record["whole"]
    lines = [
        "# Exercise 9 by one reuse-search",
        "",
        f"Made by `python benchmarks/reuse_search.py --seeds {record['seeds']} --repeat {record['repeat']}{whole}`",
        f"on {record['machine']}, {record['load']}.",
        "",
        f"Test accuracy over {record['seeds']} seeds of the new network, on one source network, with 95% intervals;",
        "the published ranges are over the authors' runs, each with its source. The search chooses by validation.",
        "",
        "| variant | exercise | published | test | validation | seconds a trial |",
        "|---|---|---|---|---|---|",
    ]
    for entry in found["variants"]:
        if entry["variant"] in PUBLISHED:
            name, published = PUBLISHED[entry["variant"]]
            test, validation = (
                f"{e['mean']:.4f} +-{e['half_interval']:.4f}" for e in (entry["test"], entry["estimate"])
            )
            lines.append(
                f"| {entry['variant']} | {name} | {published} | {test} | {validation} | {entry['seconds']:.1f} |"
            )
    lines += ["", f"Recommended: {found['recommendation']['variant']}.", ""]
    lines += [f"- {reason}" for reason in found["recommendation"]["reasons"]]
    trials = len(found["trials"])
    lines += ["", f"Time of the {trials} trials, median of {record['repeat']}, each:", f"{record['each']}.", ""]
    lines += ["| how | seconds | the search against it |", "|---|---|---|"]
    for how, took in seconds.items():
        lines.append(f"| {how} | {took:.1f} | {seconds['search'] / took:.2f} |")
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=1, help="how often each way is timed")
    parser.add_argument("--whole", action="store_true", help="every depth, not those of the exercise alone")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "reuse_search", help="where the runs are kept")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--one-process", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_process:
        train_here(options.one_process)
        return 0
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "runs" / "ex8_searched").is_dir():
        dnnrun(["train", str(ROOT / "configs" / "ch11" / "ex8_searched.yaml"), "--json"], work)
    wanted = [*([] if options.whole else EXERCISE), "--seeds", str(options.seeds)]
    found = search(work, wanted)
    specs = trial_specs(work, found)
    print(f"{len(specs)} trials; recommended: {found['recommendation']['variant']}", flush=True)
    ways: dict[str, Callable[[], Any]] = {
        "search": lambda: search(work, wanted),
        "search, transfer.cache=off": lambda: search(work, ["transfer.cache=off", *wanted]),
        "one process": lambda: one_process(specs, work),
        "commands": lambda: commands(specs, work),
    }
    taken: dict[str, list[float]] = {how: [] for how in ways}
    before = os.getloadavg()[0]
    for _ in range(options.repeat):
        for how, call in ways.items():
            taken[how].append(timed(call))
            print(f"{how}: {taken[how][-1]:.1f} s", flush=True)
    record = {
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}",
        "load": f"load average {before:.1f} before and {os.getloadavg()[0]:.1f} after the timings",
        "seeds": options.seeds,
        "repeat": options.repeat,
        "whole": options.whole,
        "seconds": {how: median(these) for how, these in taken.items()},
        "each": "; ".join(f"{how} {', '.join(f'{s:.1f}' for s in these)}" for how, these in taken.items()),
        "search": {key: value for key, value in found.items() if key not in ("search", "picture", "source")},
    }
    record["search"]["recommendation"].pop("spec")
    for trial in record["search"]["trials"]:
        trial.pop("run", None)
        trial.pop("transfer", None)
    made = table(record)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "reuse_search.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    (options.results / "reuse_search.md").write_text(made, "utf-8")
    print(made)
    return int(record["seconds"]["search"] > BOUND * record["seconds"]["commands"])


if __name__ == "__main__":
    sys.exit(main())
