"""What a run tells while it goes: the terminal draws it, a notebook ignores it, a test collects it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Status:
    """Where training stands: epochs and steps done and in all, examples/s, seconds left, the newest values.

    `stage` is the stage of pretraining that all this is of, None in the supervised part.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    examples_per_s: float
    seconds_left: float
    loss: float
    validation: Mapping[str, float] | None
    stage: str | None = None


class Watcher:
    """Hears nothing and shows nothing; subclass it to show what happens."""

    def say(self, line: str) -> None:
        """Something worth knowing, also written to out.log."""

    def warn(self, line: str) -> None:
        """Something that a person should look at, also written to out.log."""

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows of cells, the first one their headings; also written to out.log."""

    def status(self, status: Status) -> None:
        """Some steps were done; called about twice a second."""

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """An epoch was done; `record` is its event in metrics.jsonl."""

    def download(self, name: str, done: int, total: int | None) -> None:
        """So many bytes of a file have arrived, of `total` where that is known."""
