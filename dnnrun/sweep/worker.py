"""A process that runs one trial after another, on one core with one thread.

`python -m dnnrun.sweep.worker CORE PARENT` reads a task a line as JSON from standard input and answers with a line. It
ends with its input, and at once when its parent (a process number) is gone: another sweep may go on with the trial.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun.watch import Watcher

if TYPE_CHECKING:
    from dnnrun.store.run import RunDirectory


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[1])})
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else prints must not look like an answer
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line), received)) + "\n")
        if received:
            sys.exit(128 + received[0])


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


def _answer(task: dict[str, Any], received: list[int]) -> dict[str, Any]:
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
            stop=lambda: received[0] if received else signal.SIGTERM if pause.record else None,
            cache=compile_cache(),
            unseen=frozenset(task["unseen"]),
        )
    except Interrupted as stopped:
        if pause.record and not received:
            return {"status": "paused", "result": {**stopped.result, "metrics": _metrics(pause.record)}}
        return {"status": "interrupted", "error": str(stopped)}
    except MemoryError:
        return {"status": "memory", "error": "out of memory"}
    except DnnrunError as error:
        return {"status": "failed", "error": str(error)}
    except Exception as error:
        return {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    return {"status": "done", "result": result.as_json()}


class _Pause(Watcher):
    """Notes that the epochs that were asked for are done; the run is then stopped as by a signal."""

    def __init__(self, until: int | None):
        self.until = until
        self.record: Mapping[str, Any] | None = None

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        if self.until and self.until <= record["epoch"] < epochs:
            self.record = record


def _paused_before(run: RunDirectory, until: int) -> dict[str, Any] | None:
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


if __name__ == "__main__":
    main()
