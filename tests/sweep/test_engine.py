"""What keeps an engine fed, on an engine that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dnnrun.sweep.engine import Answer, Task, drive


class Told:
    """Answers a task by what `answer` says of it and of how many run beside it; the newest task ends first."""

    def __init__(self, capacity: int, answer: Callable[[Task, int], str]):
        self.capacity, self.answer = capacity, answer
        self.running: list[Task] = []
        self.most: list[int] = []
        self.closed = False

    def submit(self, task: Task) -> None:
        self.running.append(task)

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        self.most.append(len(self.running))
        task, beside = self.running[-1], len(self.running) - 1
        self.running.pop()
        return task, {"status": self.answer(task, beside), "error": "as told"}

    def end(self, number: int) -> None:
        self.answer = lambda task, beside: "interrupted"

    def close(self) -> None:
        self.closed = True


def driven(engine: Told, count: int, stop: Any = lambda: None) -> list[tuple[int, str]]:
    tasks = iter([{"number": number} for number in range(count)])
    return [(task["number"], answer["status"]) for task, answer in drive(engine, lambda: next(tasks, None), stop)]


def test_every_task_is_answered_once_and_the_engine_is_kept_full() -> None:
    engine = Told(3, lambda task, beside: "done")
    assert sorted(driven(engine, 7)) == [(number, "done") for number in range(7)]
    assert max(engine.most) == 3
    assert not engine.closed  # warm for the next stage


def test_too_little_memory_halves_how_many_run_at_a_time() -> None:
    engine = Told(8, lambda task, beside: "memory" if beside >= 2 else "done")
    assert sorted(driven(engine, 20)) == [(number, "done") for number in range(20)]
    assert engine.most[-1] <= 2


def test_a_task_fails_for_memory_only_alone() -> None:
    engine = Told(4, lambda task, beside: "memory" if task["number"] == 2 else "done")
    found = dict(driven(engine, 5))
    assert found == {0: "done", 1: "done", 2: "failed", 3: "done", 4: "done"}


def test_a_stop_ends_those_that_run_and_takes_no_other() -> None:
    engine = Told(2, lambda task, beside: "done")

    def stop() -> int | None:
        return 15 if len(engine.most) > 1 else None

    answered = driven(engine, 10, stop)
    assert {status for _, status in answered} == {"done", "interrupted"}
    assert len(answered) < 6


def test_a_task_may_come_of_an_answer() -> None:
    engine = Told(2, lambda task, beside: "done")
    waiting: list[Task] = [{"number": 0}]
    seen: list[int] = []
    for task, _ in drive(engine, lambda: waiting.pop() if waiting else None, lambda: None):
        seen.append(task["number"])
        if task["number"] < 4:
            waiting.append({"number": task["number"] + 1})
    assert seen == [0, 1, 2, 3, 4]


def test_the_engine_is_closed_when_nobody_listens_any_more() -> None:
    engine = Told(2, lambda task, beside: "done")
    listening = drive(engine, lambda: {"number": 0}, lambda: None)
    next(listening)
    listening.close()
    assert engine.closed
