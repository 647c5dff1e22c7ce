"""Small runs on the embedded digits, in this process and in another one, and what to compare of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dnnrun.experiment import Result
from dnnrun.experiment import train as run
from dnnrun.spec.load import dump, load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store import events
from dnnrun.watch import Watcher

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "data": {"source": "digits", "validation": 0.2, "limit": 200},
    "model": {"hidden": [8], "activation": "elu"},
    "train": {
        "optimizer": {"type": "sgd", "learning_rate": 0.1},
        "batch_size": 20,
        "epochs": 3,
        "checkpoint_every": {"steps": 7},
    },
}
STEPS_PER_EPOCH = 10

# Whatever has a state of its own to lose, all in one run.
RICH = (
    "train.optimizer={type: adam, learning_rate: {type: plateau, initial: 0.01, patience: 1, factor: 0.5}}",
    "model.activation=rrelu",
    "model.dropout={input: 0.1, hidden: 0.2}",
    "model.batch_norm={momentum: 0.8, logits: true, statistics: exact}",
    "train.early_stopping={patience: 4, restore_best: true}",
    "train.max_norm=2.0",
    "data.augment={shift: 1, flip: horizontal, noise: 0.1}",
)


class Collected(Watcher):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def warn(self, line: str) -> None:
        self.warned.append(line)


def small(*overrides: str) -> Spec:
    return load_mapping(SMALL, overrides)


def trained(spec: Spec, runs: Path, cache: Path, **options: Any) -> Result:
    return run(spec, runs=runs, cache=cache, **options)


def final_bytes(run: Path) -> dict[str, bytes]:
    """The files of the network of `last` and `best`."""
    folder = run / "checkpoints"
    return {which: (folder / which / "model.safetensors").read_bytes() for which in ("last", "best")}


def untimed(run: Path) -> list[dict[str, Any]]:
    """The events without what a clock measured."""
    return [
        {key: value for key, value in event.items() if key != "timing"} for event in events.read(run / "metrics.jsonl")
    ]


def outcome(run: Path) -> dict[str, Any]:
    """All that must be the same of two runs of one spec, however often they were interrupted."""
    best = json.loads((run / "checkpoints" / "best" / "manifest.json").read_text())
    return {"tensors": final_bytes(run), "events": untimed(run), "best": best["step"]}


def spec_file(spec: Spec, folder: Path) -> Path:
    path = folder / f"{spec.name}.yaml"
    path.write_text(dump(spec))
    return path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "dnnrun", *map(str, arguments)]


def environment(compiled: Path) -> dict[str, str]:
    return {**os.environ, "DNNRUN_COMPILE_CACHE": str(compiled)}


def finished(compiled: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`dnnrun ARGUMENTS`, in a process of its own, to its end."""
    line = command(*arguments)
    return subprocess.run(line, cwd=cwd, env=environment(compiled), capture_output=True, text=True, timeout=120)
