"""Who runs trials: a small interface, and local processes behind it, one per core with one thread each."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

Task = dict[str, Any]
Answer = dict[str, Any]


class Engine(Protocol):
    """Runs tasks in any order and yields each with its answer as it comes. `stop` ends it politely."""

    def run(self, tasks: Sequence[Task], stop: Callable[[], int | None]) -> Iterator[tuple[Task, Answer]]: ...


class LocalProcesses:
    """Worker processes on this machine, each pinned to a core.

    A worker that the system ends (out of memory, most often) gives its trial back; it is tried once more when the
    others are done, alone.
    """

    def __init__(self, jobs: int):
        self.jobs = jobs

    def run(self, tasks: Sequence[Task], stop: Callable[[], int | None]) -> Iterator[tuple[Task, Answer]]:
        again: list[Task] = []
        for task, answer in self._pass(tasks, self.jobs, stop):
            if answer["status"] == "memory":
                again.append(task)
            else:
                yield task, answer
        for task, answer in self._pass(again, 1, stop):
            yield task, {**answer, "status": "failed"} if answer["status"] == "memory" else answer

    def _pass(self, tasks: Sequence[Task], jobs: int, stop: Callable[[], int | None]) -> Iterator[tuple[Task, Answer]]:
        waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            waiting.put(task)
        done: queue.SimpleQueue[tuple[Task, Answer] | None] = queue.SimpleQueue()
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(jobs))
        workers = [_Worker(cores[number % len(cores)], waiting, done) for number in range(min(jobs, len(tasks)))]
        running = len(workers)
        try:
            while running:
                try:
                    item = done.get(timeout=0.2)
                except queue.Empty:
                    if (number := stop()) is not None:
                        for worker in workers:
                            worker.end(number)
                    continue
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for worker in workers:
                worker.end(15)


class _Worker:
    """A worker process and the thread that feeds it."""

    def __init__(self, core: int, waiting: queue.SimpleQueue[Task], done: queue.SimpleQueue[Any]):
        self.core, self.waiting, self.done = core, waiting, done
        self.ending = False
        self.process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._feed, daemon=True).start()

    def end(self, number: int) -> None:
        """Take no further task, and let the process save and end."""
        if not self.ending:
            self.ending = True
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)

    def _feed(self) -> None:
        try:
            while not self.ending:
                try:
                    task = self.waiting.get_nowait()
                except queue.Empty:
                    break
                self.done.put((task, self._ask(task)))
        finally:
            if self.process is not None and self.process.stdin is not None:
                self.process.stdin.close()
                self.process.wait()
            self.done.put(None)

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
