"""What a sweep runs next: a small interface, and the search through settings that are known beforehand or drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Sweep
from dnnrun.sweep.plan import Trial, pairs, planned
from dnnrun.sweep.results import Outcome

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """A trial to run: to its end, or until so many epochs are done."""

    trial: Trial
    until: int | None = None


class Search(Protocol):
    """Proposes what to run, and hears what came of it."""

    @property
    def total(self) -> int | None:
        """How many trials it will have run at its end, None where time decides."""
        ...

    def take(self) -> Job | None:
        """The next job; None where there is none now."""
        ...

    def tell(self, job: Job, answer: Answer) -> list[Outcome]:
        """Hear how a job ended (done, failed, or paused at its `until`); the trials that have ended with it."""
        ...


class Listed:
    """Trials in a fixed order, each to its end; nothing is begun after the `deadline`, on time.monotonic."""

    def __init__(self, trials: Iterable[Trial], total: int | None, done: Container[str], deadline: float | None = None):
        self.trials: Iterator[Trial] = iter(trials)
        self.total, self.done, self.deadline = total, done, deadline

    def take(self) -> Job | None:
        if late(self.deadline):
            return None
        for trial in self.trials:
            if trial.name not in self.done:
                return Job(trial)
        return None

    def tell(self, job: Job, answer: Answer) -> list[Outcome]:
        return [Outcome(job.trial, answer["status"], answer.get("result"), answer.get("error"))]


def late(deadline: float | None) -> bool:
    """Whether the time for new trials is over."""
    return deadline is not None and time.monotonic() >= deadline


def search_of(
    base: Spec, sweep: Sweep, done: Mapping[str, Outcome], study: Callable[[], str], owner: str
) -> tuple[Search, str | None]:
    """The search that the sweep asks for, and what to say of it.

    `study` gives the storage URL of a study of its own, `owner` names the sweep in a shared one.
    """
    deadline = None if sweep.time is None else time.monotonic() + sweep.time.total
    if sweep.study:
        from dnnrun.sweep.search.study import Study

        found = Study(base, sweep, done, sweep.storage or study(), owner, deadline)
        return found, str(found)
    if sweep.ranges and sweep.trials is None:
        seeds = pairs(base, sweep)
        endless = (Trial(s, seed, fold=fold) for s in sweep.endless(base.seed) for seed, fold in seeds)
        return Listed(endless, None, done, deadline), None
    trials = planned(base, sweep)
    return Listed(trials, len(trials), done, deadline), None


def check_usable(sweep: Sweep) -> None:
    """Raise MissingExtra or SpecError where the search cannot be had here."""
    if sweep.study:
        from dnnrun.sweep.search import study

        study.check_usable(sweep)
