"""Reuse searches on sources that were never trained, with an engine that trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dnnrun.data.source import Places
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.sweep.engine import Answer, Task
from dnnrun.sweep.reuse.prepare import Prepared, prepare

BASE: dict[str, Any] = {
    "name": "new",
    "seed": 3,
    "data": {"source": "digits", "limit": 100},
    "model": {"hidden": [12, 10, 8]},
    "train": {"epochs": 2, "batch_size": 50},
}


def spec_on(source: Path | None, **sections: Any) -> Spec:
    """The small spec with layers of `source`; 2 seeds unless `sections` says otherwise."""
    given = {**BASE, "sweep": {"seeds": 2}, **sections}
    if source is not None:
        given["transfer"] = {"from": str(source), **sections.get("transfer", {})}
    return load_mapping(given)


def prepared(source: Path | None, runs: Path, options: dict[str, Any] | None = None, **sections: Any) -> Prepared:
    return prepare(spec_on(source, **sections), Places(), runs, **(options or {}))


class Pretend:
    """Trains nothing: the accuracy, or 1 - RMSE, of a trial is what `score` makes of its spec; a text is why not."""

    capacity = 1

    def __init__(self, score: Callable[[dict[str, Any]], float | str]):
        self.score = score
        self.ran: list[str] = []
        self.unseen: dict[str, list[str]] = {}
        self.waiting: list[tuple[Task, Answer]] = []

    def submit(self, task: Task) -> None:
        name, found = task["spec"]["name"], self.score(task["spec"])
        self.ran.append(name)
        self.unseen[name] = task["unseen"]
        if isinstance(found, str):
            self.waiting.append((task, {"status": "failed", "error": found}))
            return
        splits = [split for split in ("validation", "test") if split not in task["unseen"]]
        metrics = {split: {"loss": 1 - found, "rmse": 1 - found, "accuracy": found} for split in splits}
        seconds = 1.0 + len(task["spec"]["model"]["hidden"])
        result = {"metrics": metrics, "timing": {"total_s": seconds}, "epochs": 2, "run": "r"}
        self.waiting.append((task, {"status": "done", "result": result}))

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        return self.waiting.pop(0) if self.waiting else None

    def end(self, number: int) -> None:
        self.waiting = [(task, {"status": "interrupted", "error": ""}) for task, _ in self.waiting]

    def close(self) -> None:
        pass


def shape(spec: dict[str, Any]) -> tuple[int, int, int]:
    """How many layers a trial's spec reuses, freezes, and has."""
    transfer = spec["transfer"] or {"reuse": "", "freeze": ""}

    def last(pattern: str | None) -> int:
        return int(pattern.rstrip("]")[-1]) if pattern else 0

    return last(transfer["reuse"]), last(transfer["freeze"]), len(spec["model"]["hidden"])
