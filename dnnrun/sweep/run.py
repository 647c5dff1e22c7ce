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
from dnnrun.data.places import find_places
from dnnrun.errors import Interrupted, ResumeError, RunFailed, SpecError
from dnnrun.spec.compare import differences
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Sweep
from dnnrun.store import events
from dnnrun.sweep.engine import Engine, Task, drive
from dnnrun.sweep.page import page_of
from dnnrun.sweep.plan import Trial, check, confirming, settled, spec_of
from dnnrun.sweep.results import Outcome, Ranked, csv_of, parquet_of, rank, rows_of
from dnnrun.sweep.search import Job, Listed, Search, check_usable, search_of

STATE, OUTCOMES, TRIALS, SHARED = "sweep.json", "outcomes.jsonl", "trials", "shared"


class Listener:
    """Hears how a sweep goes; does nothing by itself."""

    def say(self, line: str) -> None:
        """Something worth knowing."""

    def begun(self, trial: Trial) -> None:
        """An engine has a trial now, or has it again."""

    def freed(self, trial: Trial) -> None:
        """The engine is done with it: it has ended, or waits to be gone on with."""

    def ended(self, outcome: Outcome, done: int, total: int | None) -> None:
        """A trial has ended, the `done`-th of its stage; `total` is None where time decides how many there will be."""


@dataclass
class SweepRun:
    """A sweep's folder, its plan, and the outcomes so far. `paged`: whether its results are told on a page too."""

    folder: Path
    base: Spec
    sweep: Sweep
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    paged: bool = True

    def add(self, outcome: Outcome) -> None:
        """Keep a trial's end, at once and for good."""
        self.outcomes[outcome.trial.name] = outcome
        files.append(self.folder / OUTCOMES, (json.dumps(asdict(outcome)) + "\n").encode(), sync=True)

    def save(self, status: str) -> None:
        """Keep where the sweep stands, and the table of its trials."""
        state = {"status": status, "spec": self.base.model_dump(mode="json")}
        files.write_atomic(self.folder / STATE, (json.dumps(state, indent=1) + "\n").encode())
        rows = rows_of(list(self.outcomes.values()))
        files.write_atomic(self.folder / "results.csv", csv_of(rows))
        files.write_atomic(self.folder / "results.parquet", parquet_of(rows))
        if self.paged:
            page = page_of(self.base, self.ranked(), list(self.outcomes.values()), self.folder.name)
            files.write_atomic(self.page, page.encode())
        if status == "done" and (self.folder / SHARED).is_dir():
            files.remove_tree(self.folder / SHARED)

    def of(self, stage: str) -> list[Outcome]:
        """The outcomes of a stage."""
        return [outcome for outcome in self.outcomes.values() if outcome.trial.stage == stage]

    def ranked(self) -> list[Ranked]:
        """The settings by the search's results, best first."""
        return rank(self.of("search"), self.sweep.metric, self.sweep.reference, self.sweep.folds)

    @property
    def page(self) -> Path:
        """Where its results are told."""
        return self.folder / "results.html"

    @property
    def owner(self) -> str:
        """What this sweep is called in a study that it shares with others."""
        return self.folder.name

    def storage(self) -> str:
        """The URL of a study of its own."""
        return f"sqlite:///{(self.folder / 'study.db').resolve()}"


def run_sweep(
    base: Spec,
    engine: Engine,
    *,
    runs: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    fail_fast: bool = False,
    stop: Callable[[], int | None] = lambda: None,
    heard: Listener | None = None,
) -> SweepRun:
    """Run the trials of `base.sweep` that are not done yet, then the best setting on fresh seeds.

    During the search no trial measures the test rows. Raises SpecError for settings that make no spec, RunFailed
    where every trial failed or, with `fail_fast`, at the first one, Interrupted after a signal.
    """
    heard = heard or Listener()
    try:
        if base.sweep is None:
            raise SpecError(["sweep: missing; wanted a sweep: section, or --grid, --range or --seeds"])
        base = settled(base, find_places(data_dir))
        assert base.sweep is not None
        check(base, base.sweep, () if base.sweep.study else base.sweep.every_setting(base.seed))
        check_usable(base.sweep)
        folder = newest(runs, base) if resume else begin(runs, base)
        with files.lock(folder / ".lock"):
            files.remove_temporaries(folder)
            sweep = open_sweep(folder, base)
            search, said = search_of(base, base.sweep, sweep.outcomes, sweep.storage, sweep.owner)
            if said:
                heard.say(f"search: {said}")
            run_search(sweep, search, "search", engine, data_dir, ("test",), fail_fast, stop, heard)
            ranked = sweep.ranked()
            if not ranked:
                sweep.save("failed")
                if base.sweep.storage is None:
                    raise RunFailed(f"{folder}: no trial was run in the time given; raise sweep.time")
                raise RunFailed(
                    f"{folder}: no trial was run: the sweeps that share the study of sweep.storage have begun all "
                    "those planned, or the time was over; raise sweep.trials or sweep.time"
                )
            if ranked[0].estimate is None or ranked[0].epochs is not None:
                sweep.save("failed")
                first = next((outcome for outcome in sweep.outcomes.values() if outcome.status == "failed"), None)
                if first is None:
                    raise RunFailed(f"{folder}: no trial came to its end; give it more trials or time, and --resume")
                raise RunFailed(f"{folder}: every trial failed, the first with: {first.error}")
            best = confirming(base, base.sweep, dict(ranked[0].setting))
            run_trials(sweep, best, engine, data_dir, (), fail_fast, stop, heard)
            sweep.save("done")
    finally:
        engine.close()
    return sweep


def run_trials(
    sweep: SweepRun,
    trials: Sequence[Trial],
    engine: Engine,
    data_dir: Path | None,
    unseen: tuple[str, ...],
    fail_fast: bool,
    stop: Callable[[], int | None],
    heard: Listener,
) -> None:
    """Run what is not done of these trials. What is done is never run again; what failed is not tried again.

    Raises RunFailed with `fail_fast` at the first that fails, Interrupted after a signal.
    """
    search = Listed(trials, len(trials), sweep.outcomes)
    stage = trials[0].stage if trials else "search"
    run_search(sweep, search, stage, engine, data_dir, unseen, fail_fast, stop, heard)


def run_search(
    sweep: SweepRun,
    search: Search,
    stage: str,
    engine: Engine,
    data_dir: Path | None,
    unseen: tuple[str, ...],
    fail_fast: bool,
    stop: Callable[[], int | None],
    heard: Listener,
) -> None:
    """Run what the search proposes until it has nothing more. The rest is as for `run_trials`."""
    jobs: dict[int, tuple[Task, Job]] = {}
    failed: list[Outcome] = []

    def keep(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.trial.name in sweep.outcomes:
                continue
            sweep.add(outcome)
            if outcome.status == "failed":
                failed.append(outcome)
            heard.ended(outcome, len(sweep.of(stage)), search.total)

    def take() -> Task | None:
        while (job := search.take()) is not None:
            try:
                task = _task(sweep, job, data_dir, unseen)
            except SpecError as error:  # a drawn value, or a pair of them, that the ends of its range did not show
                keep(search.tell(job, {"status": "failed", "error": str(error)}))
                continue
            jobs[id(task)] = task, job
            heard.begun(job.trial)
            return task
        return None

    def ended() -> int | None:
        return 15 if fail_fast and failed else stop()

    for task, answer in drive(engine, take, ended):
        _, job = jobs.pop(id(task))
        heard.freed(job.trial)
        if answer["status"] != "interrupted":
            keep(search.tell(job, answer))
    if fail_fast and failed:
        sweep.save("failed")
        raise RunFailed(f"{failed[0].trial.name}: {failed[0].error} (--fail-fast; go on with --resume)")
    if (number := stop()) is not None:
        sweep.save("interrupted")
        of = f" of {search.total}" if search.total is not None else ""
        message = f"interrupted with {len(sweep.of(stage))}{of} trials done; go on with --resume"
        raise Interrupted(message, 128 + number, {})


def _task(sweep: SweepRun, job: Job, data_dir: Path | None, unseen: tuple[str, ...]) -> Task:
    return {
        "spec": spec_of(sweep.base, job.trial).model_dump(mode="json"),
        "until": job.until,
        "runs": str(sweep.folder / TRIALS),
        "data_dir": None if data_dir is None else str(data_dir),
        "unseen": list(unseen),
        "shared": str(sweep.folder / SHARED),
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


def open_sweep(folder: Path, base: Spec, paged: bool = True) -> SweepRun:
    """The sweep in a folder. Raises ResumeError where its spec is another one."""
    state: Mapping[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
    old = load_mapping(state["spec"], where=str(folder / STATE))
    if changed := [line for line in differences(old, base) if not _may_change(line, old, base)]:
        lines = "\n".join(f"  {line}" for line in changed)
        raise ResumeError(f"{folder}: the spec has changed since this sweep began:\n{lines}\nundo this, or begin anew")
    files.make_folder(folder / TRIALS, exist_ok=True)
    assert base.sweep is not None
    sweep = SweepRun(folder, base, base.sweep, paged=paged)
    for entry in events.records(folder / OUTCOMES):
        outcome = Outcome(**{**entry, "trial": Trial(**entry["trial"])})
        sweep.outcomes[outcome.trial.name] = outcome
    return sweep


def _may_change(line: str, old: Spec, new: Spec) -> bool:
    """Whether a sweep may go on with this difference: more trials, another time, another setting to compare to,
    another engine."""
    assert old.sweep is not None
    assert new.sweep is not None
    if line.startswith("sweep.trials:") and old.sweep.trials and new.sweep.trials:
        return new.sweep.trials > old.sweep.trials
    return line.startswith(("sweep.time", "sweep.reference", "sweep.engine"))
