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
from pathlib import Path
from typing import Any


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
    from dnnrun.store.run import runs_of

    runs = Path(task["runs"])
    try:
        spec = load_mapping(task["spec"], where="the trial's spec")
        result = train(
            spec,
            runs=runs,
            resume=bool(runs_of(runs / spec.name)),
            places=find_places(task["data_dir"]),
            stop=lambda: received[0] if received else None,
            cache=compile_cache(),
            unseen=frozenset(task["unseen"]),
        )
    except Interrupted as stopped:
        return {"status": "interrupted", "error": str(stopped)}
    except MemoryError:
        return {"status": "memory", "error": "out of memory"}
    except DnnrunError as error:
        return {"status": "failed", "error": str(error)}
    except Exception as error:
        return {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    return {"status": "done", "result": result.as_json()}


if __name__ == "__main__":
    main()
