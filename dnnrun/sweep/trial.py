"""One trial in this process: trained or gone on with, whatever happens an answer."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun.sweep.engine import Answer, Stop, Task
from dnnrun.watch import Watcher

if TYPE_CHECKING:
    from dnnrun.experiment import Assemble
    from dnnrun.store.run import RunDirectory


def run_trial(task: Task, stop: Stop, assemble: Assemble | None = None) -> Answer:
    """Train what the task says, or go on with it, and say what it came to. `assemble` as for `train`."""
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.errors import DnnrunError, Interrupted
    from dnnrun.experiment import train
    from dnnrun.spec.load import load_mapping
    from dnnrun.store.run import newest, runs_of

    runs, until = Path(task["runs"]), task.get("until")
    pause = _Pause(until)
    try:
        spec = load_mapping(task["spec"], where="the trial's spec")
        resume = bool(runs_of(runs / spec.name))
        if resume and until and (before := _paused_before(newest(runs, spec.name), until)):
            return before
        result = train(
            spec,
            runs=runs,
            resume=resume,
            places=find_places(task["data_dir"]),
            watcher=pause,
            stop=lambda: stop() or (signal.SIGTERM if pause.record else None),
            cache=compile_cache(),
            unseen=frozenset(task["unseen"]),
            assemble=assemble,
        )
    except Interrupted as stopped:
        if pause.record and stop() is None:
            return {"status": "paused", "result": {**stopped.result, "metrics": _metrics(pause.record)}}
        return {"status": "interrupted", "error": str(stopped)}
    except Exception as error:
        told = str(error) if isinstance(error, DnnrunError) else f"{type(error).__name__}: {error}"
        return {"status": "memory" if short_of_memory(error) else "failed", "error": told}
    return {"status": "done", "result": result.as_json()}


def short_of_memory(error: BaseException | None) -> bool:
    """Whether it is memory that an error, or what caused it, complains of: our own, Python's, NumPy's, XLA's."""
    from dnnrun.errors import MemoryShort

    while error is not None:
        if isinstance(error, MemoryError | MemoryShort) or "RESOURCE_EXHAUSTED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Pause(Watcher):
    """Notes that the epochs that were asked for are done; the run is then stopped as by a signal."""

    def __init__(self, until: int | None):
        self.until = until
        self.record: Mapping[str, Any] | None = None

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        if self.until and "stage" not in record and self.until <= record["epoch"] < epochs:
            self.record = record


def _paused_before(run: RunDirectory, until: int) -> Answer | None:
    """The answer of a run that had come so far already when its sweep was cut short."""
    from dnnrun.store import checkpoint, events

    last = checkpoint.pointed(run.checkpoints, "last")
    if last is None or (point := checkpoint.open_checkpoint(last)).manifest["epochs"] < until:
        return None
    record = next((e for e in events.read(run.metrics) if e.get("event") == "epoch" and e["epoch"] == until), None)
    if record is None or point.manifest["final"]:
        return None
    timing = {"total_s": record["timing"]["seconds"], "examples_per_s": record["timing"]["examples_per_s"]}
    result = {"run": str(run.path), "status": "interrupted", "epochs": until, "steps": record["step"], "timing": timing}
    return {"status": "paused", "result": {**result, "metrics": _metrics(record)}}


def _metrics(record: Mapping[str, Any]) -> dict[str, Any]:
    return {split: record[split] for split in ("train", "validation") if record.get(split)}
