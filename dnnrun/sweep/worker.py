"""A process that runs trials: one after another on one core with one thread, or a group of them as one program.

`python -m dnnrun.sweep.worker CORE PARENT` reads a list of tasks a line as JSON from standard input and answers each
with a line, `[number in the list, answer]`. CORE is `all` for no core in particular. It ends with its input, and at
once when its parent (a process number) is gone: another sweep may go on with the trials.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

from dnnrun.sweep.engine import Answer


def main() -> None:
    core, parent = sys.argv[1], int(sys.argv[2])
    if core != "all" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else prints must not look like an answer
    from dnnrun.sweep.group import run_group
    from dnnrun.sweep.kept import Kept
    from dnnrun.sweep.trial import run_trial

    kept, writing = Kept(), threading.Lock()

    def answered(number: int, answer: Answer) -> None:
        with writing:
            answers.write(json.dumps([number, answer]) + "\n")

    def stop() -> int | None:
        return received[0] if received else None

    for line in sys.stdin:
        tasks = json.loads(line)
        if len(tasks) == 1:
            answered(0, run_trial(tasks[0], stop, kept.assemble_for(tasks[0])))
        else:
            run_group(tasks, stop, kept, answered)
        if received:
            sys.exit(128 + received[0])


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


if __name__ == "__main__":
    main()
