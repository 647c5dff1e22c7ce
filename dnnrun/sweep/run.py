"""A sweep from its plan to its table: begun or gone on with, every trial once, the best one confirmed at the end."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import Interrupted, ResumeError, RunFailed, SpecError
from dnnrun.spec.compare import differences
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Sweep
from dnnrun.store import events
from dnnrun.sweep.engine import Engine, Task, drive
from dnnrun.sweep.plan import Trial, confirming, planned, spec_of
from dnnrun.sweep.results import Outcome, Ranked, csv_of, rank, rows_of

STATE, OUTCOMES, TRIALS = "sweep.json", "outcomes.jsonl", "trials"
RESULTS = "results.csv"
Heard = Callable[[Outcome, int, int], None]


@dataclass
class SweepRun:
    """A sweep's folder, its plan, and the outcomes so far."""

    folder: Path
    base: Spec
    sweep: Sweep
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Keep a trial's end, at once and for good."""
        self.outcomes[outcome.trial.name] = outcome
        files.append(self.folder / OUTCOMES, (json.dumps(asdict(outcome)) + "\n").encode(), sync=True)

    def save(self, status: str) -> None:
        """Keep where the sweep stands, and the table of its trials."""
        state = {"status": status, "spec": self.base.model_dump(mode="json")}
        files.write_atomic(self.folder / STATE, (json.dumps(state, indent=1) + "\n").encode())
        files.write_atomic(self.folder / RESULTS, csv_of(rows_of(list(self.outcomes.values()))))

    def of(self, stage: str) -> list[Outcome]:
        """The outcomes of a stage."""
        return [outcome for outcome in self.outcomes.values() if outcome.trial.stage == stage]

    def ranked(self) -> list[Ranked]:
        """The settings by the search's results, best first."""
        return rank(self.of("search"), self.sweep.metric)


def run_sweep(
    base: Spec,
    engine: Engine,
    *,
    runs: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    fail_fast: bool = False,
    stop: Callable[[], int | None] = lambda: None,
    heard: Heard = lambda outcome, done, total: None,
) -> SweepRun:
    """Run the trials of `base.sweep` that are not done yet, then the best setting on fresh seeds.

    During the search no trial measures the test rows. Raises SpecError for settings that make no spec, RunFailed
    where every trial failed or, with `fail_fast`, at the first one, Interrupted after a signal.
    """
    if base.sweep is None:
        raise SpecError(["sweep: missing; wanted a sweep: section, or --grid, --random or --seeds"])
    trials = planned(base, base.sweep)
    folder = newest(runs, base) if resume else begin(runs, base)
    with files.lock(folder / ".lock"):
        sweep = open_sweep(folder, base)
        run_trials(sweep, trials, engine, data_dir, ("test",), fail_fast, stop, heard)
        ranked = sweep.ranked()
        if ranked[0].estimate is None:
            sweep.save("failed")
            first = next(iter(sweep.outcomes.values()))
            raise RunFailed(f"{folder}: every trial failed, the first with: {first.error}")
        best = confirming(base, base.sweep, dict(ranked[0].setting))
        run_trials(sweep, best, engine, data_dir, (), fail_fast, stop, heard)
        sweep.save("done")
    return sweep


def run_trials(
    sweep: SweepRun,
    trials: Sequence[Trial],
    engine: Engine,
    data_dir: Path | None,
    unseen: tuple[str, ...],
    fail_fast: bool,
    stop: Callable[[], int | None],
    heard: Heard,
) -> None:
    """Run what is not done of these trials. What is done is never run again; what failed is not tried again.

    Raises RunFailed with `fail_fast` at the first that fails, Interrupted after a signal.
    """
    total = len(trials)
    left = [trial for trial in trials if trial.name not in sweep.outcomes]
    by_name = {trial.name: trial for trial in left}
    tasks = (_task(sweep, trial, data_dir, unseen) for trial in left)
    failed: list[Outcome] = []

    def ended() -> int | None:
        return 15 if fail_fast and failed else stop()

    for task, answer in drive(engine, lambda: next(tasks, None), ended):
        outcome = Outcome(by_name[task["spec"]["name"]], answer["status"], answer.get("result"), answer.get("error"))
        if outcome.status == "interrupted":
            continue
        sweep.add(outcome)
        if outcome.status == "failed":
            failed.append(outcome)
        heard(outcome, sum(trial.name in sweep.outcomes for trial in trials), total)
    if fail_fast and failed:
        sweep.save("failed")
        raise RunFailed(f"{failed[0].trial.name}: {failed[0].error} (--fail-fast; go on with --resume)")
    if (number := stop()) is not None:
        sweep.save("interrupted")
        done = sum(trial.name in sweep.outcomes for trial in trials)
        raise Interrupted(f"interrupted with {done} of {total} trials done; go on with --resume", 128 + number, {})


def _task(sweep: SweepRun, trial: Trial, data_dir: Path | None, unseen: tuple[str, ...]) -> Task:
    return {
        "spec": spec_of(sweep.base, trial).model_dump(mode="json"),
        "runs": str(sweep.folder / TRIALS),
        "data_dir": None if data_dir is None else str(data_dir),
        "unseen": list(unseen),
    }


def begin(runs: Path, base: Spec, kind: str = "sweep", more: Mapping[str, bytes] | None = None) -> Path:
    """A new folder for a sweep of this kind, with `more` files in it; `latest-KIND` points to it from now on."""
    parent = runs / base.name
    files.make_folder(parent, exist_ok=True)
    folder = parent / f"{kind}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
    state = {"status": "created", "spec": base.model_dump(mode="json")}
    files.publish_folder(folder, {STATE: (json.dumps(state, indent=1) + "\n").encode(), **(more or {})})
    files.make_folder(folder / TRIALS)
    files.point(parent / f"latest-{kind}", Path(folder.name))
    return folder


def newest(runs: Path, base: Spec, kind: str = "sweep") -> Path:
    """The folder begun last for this spec's name. Raises ResumeError where there is none."""
    link = runs / base.name / f"latest-{kind}"
    if not (link.is_symlink() and (link / STATE).is_file()):
        raise ResumeError(f"{runs / base.name}: no {kind} to resume; run it without --resume to begin one")
    return link.parent / link.readlink()


def open_sweep(folder: Path, base: Spec) -> SweepRun:
    """The sweep in a folder. Raises ResumeError where its spec is another one."""
    state: Mapping[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
    old = load_mapping(state["spec"], where=str(folder / STATE))
    if changed := differences(old, base):
        lines = "\n".join(f"  {line}" for line in changed)
        raise ResumeError(f"{folder}: the spec has changed since this sweep began:\n{lines}\nundo this, or begin anew")
    files.make_folder(folder / TRIALS, exist_ok=True)
    assert base.sweep is not None
    sweep = SweepRun(folder, base, base.sweep)
    for entry in events.read(folder / OUTCOMES):
        outcome = Outcome(**{**entry, "trial": Trial(**entry["trial"])})
        sweep.outcomes[outcome.trial.name] = outcome
    return sweep
