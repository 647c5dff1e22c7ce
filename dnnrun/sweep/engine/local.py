"""Local processes, one per core with one thread each."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from typing import Any

from dnnrun.sweep.engine import Answer, Task


class LocalProcesses:
    """Worker processes on this machine, each pinned to a core, begun when there is a task for them."""

    def __init__(self, jobs: int):
        self.capacity = jobs
        self.waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Task, Answer]] = queue.SimpleQueue()
        self.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(jobs))
        self.workers: list[_Worker] = []
        self.taken = 0

    def __str__(self) -> str:
        return f"{self.capacity} local processes, one thread each"

    def submit(self, task: Task) -> None:
        self.taken += 1
        self.waiting.put(task)
        if len(self.workers) < min(self.capacity, self.taken):
            core = self.cores[len(self.workers) % len(self.cores)]
            self.workers.append(_Worker(core, self.waiting, self.done))

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        try:
            found = self.done.get(timeout=seconds)
        except queue.Empty:
            return None
        self.taken -= 1
        return found

    def end(self, number: int) -> None:
        for worker in self.workers:
            worker.end(number)

    def close(self) -> None:
        self.end(15)
        for _ in self.workers:
            self.waiting.put(None)
        for worker in self.workers:
            worker.thread.join()
        self.workers.clear()


class _Worker:
    """A worker process and the thread that feeds it."""

    def __init__(
        self, core: int, waiting: queue.SimpleQueue[Task | None], done: queue.SimpleQueue[tuple[Task, Answer]]
    ):
        self.core, self.waiting, self.done = core, waiting, done
        self.ending = False
        self.process: subprocess.Popen[str] | None = None
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def end(self, number: int) -> None:
        """Begin no further task, and let the process save and end."""
        if not self.ending:
            self.ending = True
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)

    def _feed(self) -> None:
        try:
            while (task := self.waiting.get()) is not None:
                interrupted = {"status": "interrupted", "error": "not begun"}
                self.done.put((task, interrupted if self.ending else self._ask(task)))
        finally:
            if self.process is not None and self.process.stdin is not None:
                self.process.stdin.close()
                self.process.wait()

    def _ask(self, task: Task) -> Answer:
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "dnnrun.sweep.worker", str(self.core), str(os.getpid())]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.process = subprocess.Popen(command, env={**os.environ, "NPROC": "1"}, start_new_session=True, **pipes)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        code = self.process.wait()
        if self.ending:
            return {"status": "interrupted", "error": f"the worker ended with {code}"}
        return {"status": "memory", "error": f"the worker was ended by the system ({code}), most likely out of memory"}
