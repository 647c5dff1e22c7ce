"""Who runs trials: a small interface, and what keeps an engine behind it fed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Protocol

Task = dict[str, Any]
Answer = dict[str, Any]
Stop = Callable[[], int | None]

WAIT = 0.2  # seconds between two looks at whether to stop


class Engine(Protocol):
    """Runs tasks side by side. str() of it says to people what it is.

    An answer has a `status`: done (with the `result` of train), paused (with the result so far: its `until` epochs are
    done, and its run can be gone on with), failed (with the `error`), interrupted (its run can be
    gone on with), or memory: the trial found too little of it, and may be run again beside fewer others.
    """

    @property
    def capacity(self) -> int:
        """How many tasks are worth having with it at a time; may change while it runs."""
        ...

    def submit(self, task: Task) -> None:
        """Take a task. Never waits."""
        ...

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        """A task that has ended, the object submitted, and its answer; None where none has in these seconds."""
        ...

    def end(self, number: int) -> None:
        """Let the tasks that run save and stop, as by this signal, and begin no other: all answer, interrupted."""
        ...

    def close(self) -> None:
        """Leave nothing running behind; a second call does nothing."""
        ...


def drive(engine: Engine, take: Callable[[], Task | None], stop: Stop) -> Generator[tuple[Task, Answer], None, None]:
    """Give the engine what `take` returns (None: nothing now), and yield each task with its answer as it comes.

    Ends when nothing runs and `take` has nothing; the engine is then warm for more, and whoever made it closes it. It
    is closed here where it was ended, or something went wrong. After `stop` answers with a signal's number, nothing
    more is taken.
    A trial that ran out of memory is run again with half as many at a time, and has failed only when it ran alone.
    """
    limit: int | None = None
    again: deque[Task] = deque()
    flying: dict[int, int] = {}  # id of the task -> how many ran at a time when it was begun
    ending, over = False, False
    try:
        while True:
            if not ending and (number := stop()) is not None:
                engine.end(number)
                ending = True
            while not ending and len(flying) < (most := engine.capacity if limit is None else limit):
                task = again.popleft() if again else take()
                if task is None:
                    break
                flying[id(task)] = most
                engine.submit(task)
            if not flying:
                over = not ending
                return
            if (found := engine.next(WAIT)) is None:
                continue
            task, answer = found
            most = flying.pop(id(task))
            if answer["status"] == "memory":
                if ending:
                    answer = {**answer, "status": "interrupted"}
                elif most == 1:
                    answer = {**answer, "status": "failed"}
                else:
                    limit = min(most // 2, engine.capacity if limit is None else limit)
                    again.append(task)
                    continue
            yield task, answer
    finally:
        if not over:
            engine.close()
