"""Local processes, one per core with one thread each."""

from __future__ import annotations

import os
import queue
import threading

from dnnrun.sweep.engine import Answer, Task
from dnnrun.sweep.engine.process import WorkerProcess


class LocalProcesses:
    """Worker processes on this machine, each pinned to a core, begun when there is a task for them."""

    def __init__(self, jobs: int):
        self.capacity = jobs
        self.waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Task, Answer]] = queue.SimpleQueue()
        self.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(jobs))
        self.workers: list[tuple[WorkerProcess, threading.Thread]] = []
        self.taken = 0

    def __str__(self) -> str:
        many = f"{self.capacity} local processes" if self.capacity > 1 else "1 local process"
        return f"{many}, one thread each"

    def submit(self, task: Task) -> None:
        self.taken += 1
        self.waiting.put(task)
        if len(self.workers) < min(self.capacity, self.taken):
            worker = WorkerProcess(self.cores[len(self.workers) % len(self.cores)])
            thread = threading.Thread(target=self._feed, args=(worker,), daemon=True)
            self.workers.append((worker, thread))
            thread.start()

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        try:
            found = self.done.get(timeout=seconds)
        except queue.Empty:
            return None
        self.taken -= 1
        return found

    def end(self, number: int) -> None:
        for worker, _ in self.workers:
            worker.end(number)

    def close(self) -> None:
        self.end(15)
        for _ in self.workers:
            self.waiting.put(None)
        for _, thread in self.workers:
            thread.join()
        self.workers.clear()

    def _feed(self, worker: WorkerProcess) -> None:
        try:
            while (task := self.waiting.get()) is not None:
                for found in worker.ask([task]):
                    self.done.put(found)
        finally:
            worker.close()
