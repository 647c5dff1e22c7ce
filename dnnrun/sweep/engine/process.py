"""A worker process and the way to talk with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from dnnrun.sweep.engine import Answer, Task

# How the system ends a process that it has no memory for: the kernel's choice, a failed allocation, a lost mapping.
MEMORY = (-signal.SIGKILL, -signal.SIGABRT, -signal.SIGBUS)


class WorkerProcess:
    """A process of dnnrun.sweep.worker, begun when there is something for it, and anew where it has died.

    On `core` it has one thread; with None, all cores and devices that JAX finds.
    """

    def __init__(self, core: int | None):
        self.core, self.ending = core, False
        self.process: subprocess.Popen[str] | None = None

    def ask(self, tasks: list[Task]) -> Iterator[tuple[Task, Answer]]:
        """Run them together, and yield each with its answer as it ends. Waits. Every task is answered once."""
        left = dict(enumerate(tasks))
        while left and not self.ending:
            told = list(left.values())
            for number, answer in self._answers(told):
                if answer["status"] == "interrupted" and not self.ending:
                    continue  # somebody stopped this process alone; it has saved, and another one goes on
                key = next(key for key, task in left.items() if task is told[number])
                yield left.pop(key), answer
            if left and not self.ending and (ended := self._ended()):
                for task in left.values():
                    yield task, ended
                return
        for task in left.values():
            yield task, {"status": "interrupted", "error": "not begun, or cut short"}

    def end(self, number: int) -> None:
        """Begin nothing more; what runs saves and stops."""
        if not self.ending:
            self.ending = True
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)

    def close(self) -> None:
        """Wait until the process has ended."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()

    def _answers(self, tasks: list[Task]) -> Iterator[tuple[int, Answer]]:
        process = self._begun()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(tasks) + "\n")
            process.stdin.flush()
            for _ in tasks:
                if not (line := process.stdout.readline()):
                    return
                number, answer = json.loads(line)
                yield number, answer
        except BrokenPipeError:
            return

    def _begun(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            where = "all" if self.core is None else str(self.core)
            command = [sys.executable, "-m", "dnnrun.sweep.worker", where, str(os.getpid())]
            environment = os.environ if self.core is None else {**os.environ, "NPROC": "1"}
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
            if self.ending:
                self.process.send_signal(signal.SIGTERM)
        return self.process

    def _ended(self) -> Answer | None:
        """What it is for a trial that its process has ended; None where it was stopped politely."""
        assert self.process is not None
        code = self.process.wait()
        if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            return None
        if code in MEMORY:
            text = f"its process was ended by the system ({signal.Signals(-code).name}), most likely out of memory"
            return {"status": "memory", "error": text}
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return {"status": "failed", "error": f"its process ended with {how} and no answer; what it said is above"}
