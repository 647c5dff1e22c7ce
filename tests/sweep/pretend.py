"""A sweep's engine that trains nothing."""

from __future__ import annotations

from typing import Any

from dnnrun.sweep.engine import Answer, Task


class Pretend:
    """An engine that trains nothing, one task at a time: the accuracy of a trial is what `score` says."""

    capacity = 1

    def __init__(self, score: Any):
        self.score, self.ran, self.done, self.ending = score, [], [], False

    def submit(self, task: Task) -> None:
        self.done.append((task, self._answer(task)))

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        return self.done.pop(0) if self.done else None

    def end(self, number: int) -> None:
        self.done = [(task, {"status": "interrupted", "error": ""}) for task, _ in self.done]

    def close(self) -> None:
        pass

    def _answer(self, task: Task) -> Answer:
        self.ran.append(task["spec"]["name"])
        found, until = self.score(task["spec"]), task.get("until")
        if isinstance(found, str):
            return {"status": "failed", "error": found}
        splits = [split for split in ("validation", "test") if split not in task["unseen"]]
        metrics = {split: {"loss": 1 - found, "accuracy": found} for split in splits}
        epochs = until or task["spec"]["train"]["epochs"]
        result = {"metrics": metrics, "timing": {"total_s": 1.0}, "epochs": epochs, "run": "r"}
        return {"status": "paused" if until else "done", "result": result}
