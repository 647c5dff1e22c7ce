"""What a sweep shows: on a terminal a table that is drawn anew as trials end, a plain line a trial anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from dnnrun.cli.output import talk
from dnnrun.cli.terminal import duration
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Setting, words
from dnnrun.sweep.plan import Trial
from dnnrun.sweep.results import Outcome, rank
from dnnrun.sweep.run import Listener

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS, RUNNING = 10, 8  # of the best settings, and of the trials that run, that are shown


class Sweeping(Listener):
    """Talks on stderr. To be used in a with statement, which leaves the terminal as it was.

    `named` says what a setting is called.
    """

    def __init__(self, spec: Spec, named: Callable[[Setting], str] = words):
        assert spec.sweep is not None
        self.named = named
        self.spec, self.sweep = spec, spec.sweep
        self.outcomes: list[Outcome] = []
        self.running: dict[str, tuple[Trial, float]] = {}
        self.began = time.monotonic()
        self.first: int | None = None
        self.place: tuple[str, int, int | None] | None = None
        self.live: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(
                get_renderable=self._drawn, console=Console(stderr=True), refresh_per_second=2, transient=True
            )
            self.live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self.live is not None:
            self.live.stop()

    def say(self, line: str) -> None:
        if self.live is not None:
            self.live.console.print(line, markup=False, highlight=False)
        else:
            talk(line)

    def begun(self, trial: Trial) -> None:
        self.running[trial.name] = trial, time.monotonic()

    def freed(self, trial: Trial) -> None:
        self.running.pop(trial.name, None)

    def ended(self, outcome: Outcome, done: int, total: int | None) -> None:
        stage = outcome.trial.stage
        if self.place is None or self.place[0] != stage:
            self.began, self.first = time.monotonic(), done - 1  # those of an earlier process took no time here
        self.outcomes.append(outcome)
        self.place = stage, done, total
        if self.live is None or outcome.status == "failed":
            self.say(self._line(outcome, done, total))

    def left(self) -> float | None:
        """Seconds left of the stage, None where nothing tells."""
        _, done, total = self.place or ("", 0, None)
        if total is None or self.first is None:
            return None
        return (time.monotonic() - self.began) / max(1, done - self.first) * (total - done)

    def _line(self, outcome: Outcome, done: int, total: int | None) -> str:
        value = outcome.value(self.sweep.metric)
        came_to = f"failed: {outcome.error}" if value is None else f"{self.sweep.metric} {value:.4f}"
        if outcome.status == "pruned" and outcome.result:
            came_to += f", pruned after epoch {outcome.result['epochs']}"
        left = self.left()
        count = f"{done}/{total}" if total is not None else f"{done}"
        eta = "" if left is None else f"  ETA {duration(left)}"
        return f"{outcome.trial.stage} {count}{eta}  {self._name(outcome.trial)}: {came_to}"

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        best = Table(box=None, pad_edge=False)
        for heading in ("setting", self.sweep.metric, "runs"):
            best.add_column(heading, no_wrap=heading != "setting")
        search = [outcome for outcome in self.outcomes if outcome.trial.stage == "search"]
        ranked = rank(search, self.sweep.metric, None, self.sweep.folds)
        for entry in ranked[:ROWS]:
            failed = f" ({entry.failed} failed)" if entry.failed else ""
            count = entry.estimate.count if entry.estimate else 0
            best.add_row(self.named(dict(entry.setting)), str(entry.estimate or "-"), f"{count}{failed}")
        more = [Text(f"... and {len(ranked) - ROWS} settings more")] if len(ranked) > ROWS else []
        now = time.monotonic()
        running = [Text(f"running {duration(now - at)}  {self._name(trial)}") for trial, at in self.running.values()]
        return Group(best, *more, *running[:RUNNING], Text(self._progress()))

    def _progress(self) -> str:
        if self.place is None:
            return f"search: the first trials run, {duration(time.monotonic() - self.began)} so far"
        stage, done, total = self.place
        left = self.left()
        bar = ""
        if total:
            filled = round(20 * done / total)
            full, ahead = "█░" if "utf" in (sys.stderr.encoding or "").lower() else "#."
            bar = f"{full * filled}{ahead * (20 - filled)} "
        count = f"{done}/{total} trials" if total is not None else f"{done} trials"
        return f"{bar}{stage} {count}" + ("" if left is None else f"  ETA {duration(left)}")

    def _name(self, trial: Trial) -> str:
        fold = f", fold {trial.fold}" if trial.fold else ""
        return f"{self.named(dict(trial.setting))}, seed {trial.seed}{fold}"
