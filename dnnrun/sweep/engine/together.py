"""Trials of one shape as one vmapped program, in one process on the device that JAX finds."""

from __future__ import annotations

import queue
import threading

from dnnrun.sweep.engine import Answer, Task
from dnnrun.sweep.engine.process import WorkerProcess


class Together:
    """Gathers the tasks that are given between two groups, and trains the largest set of one shape as one program.

    A trial that shares its shape with no other, or transfers, trains alone on the same device.
    """

    def __init__(self, lanes: int, device: str):
        self.capacity, self.device = lanes, device
        self.gathered: dict[str, list[Task]] = {}
        self.groups: queue.SimpleQueue[list[Task] | None] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Task, Answer]] = queue.SimpleQueue()
        self.running = 0
        self.worker = WorkerProcess(None)
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def __str__(self) -> str:
        return f"vmap, up to {self.capacity} trials as one program on {self.device}"

    def submit(self, task: Task) -> None:
        from dnnrun.spec.load import load_mapping
        from dnnrun.sweep.lifted import can_share, shape

        spec = load_mapping(task["spec"])
        key = shape(spec) if can_share(spec) else spec.name
        self.gathered.setdefault(key, []).append(task)

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        if not self.running and self.gathered:
            key = max(self.gathered, key=lambda key: len(self.gathered[key]))
            self._begin(self.gathered.pop(key))
        try:
            found = self.done.get(timeout=seconds)
        except queue.Empty:
            return None
        self.running -= 1
        return found

    def end(self, number: int) -> None:
        self.worker.end(number)
        for tasks in self.gathered.values():
            self._begin(tasks)
        self.gathered.clear()

    def close(self) -> None:
        self.end(15)
        self.groups.put(None)
        self.thread.join()

    def _begin(self, tasks: list[Task]) -> None:
        self.running += len(tasks)
        self.groups.put(tasks)

    def _feed(self) -> None:
        try:
            while (tasks := self.groups.get()) is not None:
                for found in self.worker.ask(tasks):
                    self.done.put(found)
        finally:
            self.worker.close()
