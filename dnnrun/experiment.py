"""From a Spec to a run: a new run directory, or the newest one of its name again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun import files
from dnnrun.data.source import Places
from dnnrun.errors import CheckpointError, DeviceError, Interrupted, ResumeError, SpecError
from dnnrun.journal import Journal, failures
from dnnrun.prepared import reader
from dnnrun.pretraining import Pretraining, check_fine_tuning, fine_tuning, plan_pretraining
from dnnrun.session import Result, Session, Stop
from dnnrun.spec.compare import hinder_resume
from dnnrun.spec.load import dump, load
from dnnrun.spec.sections import Spec
from dnnrun.stages import Course
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store import environment
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.store.run import RunDirectory, create, newest
from dnnrun.together import hear, tell
from dnnrun.train.device import prepare
from dnnrun.train.team import Team
from dnnrun.watch import Watcher

if TYPE_CHECKING:
    from dnnrun.assembly import Assembly

__all__ = ["Assemble", "Result", "train"]

Assemble = Callable[..., "Assembly"]


def train(
    spec: Spec,
    *,
    runs: Path = Path("runs"),
    resume: bool = False,
    places: Places | None = None,
    watcher: Watcher | None = None,
    stop: Stop = lambda: None,
    cache: Path | None = None,
    age: float = 0.0,
    unseen: frozenset[str] = frozenset(),
    team: Team | None = None,
    assemble: Assemble | None = None,
    only_stages: bool = False,
) -> Result:
    """Train what `spec` says into a new directory under `runs`, or go on with the newest one of its name.

    `stop` is asked between chunks and answers with a signal's number to end politely. `cache` keeps compiled code.
    `age` is how many seconds ago the program began. Raises the errors of dnnrun.errors; Interrupted after a signal.
    Splits in `unseen` are not measured at the end. What cannot begin leaves no run directory behind. `team` makes this
    process one of several that train together, each calling this function with the same arguments. `assemble`
    stands in for dnnrun.assemble.assemble, for a process that trains many times. `only_stages` ends after the stages of
    the spec's `pretrain` section, with a checkpoint of the layers that they trained.
    """
    if spec.sweep is not None:
        raise SpecError(["sweep: train runs one trial; use dnnrun sweep, or leave the section out with sweep=null"])
    began = time.perf_counter() - age
    places, watcher, team = places or Places(), watcher or Watcher(), team or Team()
    pretraining = _plan_stages(spec, places, team, only_stages)
    if team.meeting is not None:
        _join(spec, team, cache)
    asked = _Asked(spec, places, stop, cache, began, unseen, team, assemble, pretraining, only_stages)
    if not team.lead:
        return asked.follow()
    if resume:
        directory = newest(runs, spec.name)
        with directory.lock():
            return asked.resume(directory, Journal(watcher, directory))
    files.make_folder(runs / spec.name, exist_ok=True)
    journal = Journal(watcher, None)
    tell(team, {}, None, None)
    # What trains is put together before there is a run directory: what cannot begin leaves none behind.
    ready = None if pretraining else asked.assembled(journal, None)
    directory = create(runs, spec.name, dump(spec), {"status": "created", "name": spec.name})
    with directory.lock():
        journal.open(directory)
        return asked.trained(directory, journal, None, *ready) if ready else asked.staged(directory, journal)


@dataclass(frozen=True)
class _Asked:
    """What `train` was asked for, with what every part of the run needs; `began` is on time.perf_counter."""

    spec: Spec
    places: Places
    stop: Stop
    cache: Path | None
    began: float
    unseen: frozenset[str]
    team: Team
    assemble: Assemble | None
    pretraining: Pretraining | None
    only_stages: bool

    def resume(self, directory: RunDirectory, journal: Journal) -> Result:
        """Go on in a directory that has trained before, with its stages or from its last checkpoint."""
        point = _reopen(directory, self.spec)
        if self.only_stages and point:
            raise ResumeError(
                f"{directory.path}: its stages are done and the supervised part has begun; "
                "go on with dnnrun train --resume"
            )
        if self.only_stages and journal.meta.get("status") == "done":
            journal.say(f"{directory.path}: pretrained already; dnnrun train --resume goes on to the supervised part")
            return Result(**{**journal.meta["result"], "run": directory.path})
        if self.pretraining is not None and point is None:
            return self.staged(directory, journal)
        asked = replace(self, spec=fine_tuning(self.spec))
        if point and _finished(asked.spec, journal.meta, point):
            stopped = point.manifest["progress"]["stopped"]
            advice = (
                f"stopped early ({stopped}); begin a new run to go on" if stopped else "raise train.epochs to go on"
            )
            journal.say(f"{directory.path}: finished already; {advice}")
            tell(self.team, journal.meta, point, journal.meta["result"])
            return Result(**{**journal.meta["result"], "run": directory.path})
        with failures(journal):
            tell(self.team, journal.meta, point, None)
            ready = asked.assembled(journal, point)
        return asked.trained(directory, journal, point, *ready)

    def staged(self, directory: RunDirectory, journal: Journal) -> Result:
        """The stages that are not done yet, then the supervised part on the layers of the last one."""
        assert self.pretraining is not None
        course = Course(directory, self.pretraining, journal)
        with failures(journal):
            journal.set_out()
            journal.table(self.pretraining.rows())
            try:
                last = course.go(self.places, self.cache, journal.meta.get("threads"), self.stop)
            except Interrupted as stopped:
                journal.end("interrupted")
                result = {**stopped.result, "run": str(directory.path), "stages": course.as_json()}
                raise Interrupted(str(stopped), stopped.exit_code, result) from None
            journal.meta["stages"] = course.as_json()
            journal.write()
            if self.only_stages:
                result = course.close(last, time.perf_counter() - self.began)
                journal.end("done", result=result.as_json())
                return result
            asked = replace(self, spec=fine_tuning(self.spec))
            assert last.checkpoint is not None
            ready = asked.assembled(journal, None, [str(last.checkpoint.folder)])
        return asked.trained(directory, journal, None, *ready)

    def follow(self) -> Result:
        """Train along with process 0, which alone has the run directory."""
        journal, point, finished = hear(self.team)
        if finished is not None:
            return Result(**{**finished, "run": Path(finished["run"])})
        return self.trained(RunDirectory(Path()), journal, point, *self.assembled(journal, point))

    def trained(
        self,
        directory: RunDirectory,
        journal: Journal,
        point: Checkpoint | None,
        parts: Assembly,
        found: dict[str, Any],
    ) -> Result:
        """The supervised part, from `point` or from its beginning, with what `assembled` gave."""
        with failures(journal):
            journal.begin(found, point.step if point else 0)
            self.team.last_words.append(journal.fail)
            directory = RunDirectory(Path(self.team.first(str(directory.path))))
            session = Session(self.spec, directory, parts, journal, self.stop, self.began, self.unseen, self.team)
            return session.run(point)

    def assembled(
        self, journal: Journal, point: Checkpoint | None, sources: list[str] | None = None
    ) -> tuple[Assembly, dict[str, Any]]:
        """The objects that train, and what meta.json says of them; a transfer's plan is told."""
        spec, team, assemble = self.spec, self.team, self.assemble
        team.compare({"spec": dump(spec)})
        with ThreadPoolExecutor(1) as pool:
            describing = pool.submit(environment.describe)
            if assemble is None:
                from dnnrun.assemble import assemble

            threads = journal.meta.get("threads") if spec.train.threads == "auto" else None
            sources = sources or [source["checkpoint"] for source in journal.meta.get("sources", ())] or None
            manifest, devices = point.manifest if point else None, "all" if team.meeting else None
            together = {"read": reader(team)} if team.count > 1 else {}
            parts = assemble(spec, self.places, self.cache, threads, manifest, sources, devices, **together)
            journal.say(f"device: {parts.machine}")
            for note in parts.dataset.notes:
                journal.say(f"data: {note}")
            for warning in parts.dataset.warnings:
                journal.warn(warning)
            data = {"hash": parts.dataset.hash, "classes": list(parts.dataset.classes), "features": parts.dataset.width}
            found = {
                **describing.result(),
                "device": f"{parts.machine.platform} {parts.machine.kind}",
                "devices": parts.machine.count,
                "processes": parts.machine.processes,
                "threads": parts.machine.threads,
                "data": data,
            }
        team.compare({"data": parts.dataset.hash, "version of a package": repr(found["versions"])})
        if parts.transfer:
            found["transfer"] = parts.transfer
        if plan := parts.reuse:
            found["sources"] = [
                {"checkpoint": str(donor.where), "manifest": donor.fingerprint()} for donor in plan.donors
            ]
            journal.table(plan.rows())
            journal.say(f"unused in the source: {', '.join(plan.unused) or 'nothing'}")
            for note in plan.notes:
                journal.say(f"note: {note}")
        return parts, found


def _plan_stages(spec: Spec, places: Places, team: Team, only_stages: bool) -> Pretraining | None:
    """The stages of the spec, None where it has none. Raises what would keep them or the supervised part from going."""
    if spec.pretrain is None and not only_stages:
        return None
    if team.meeting is not None:
        raise DeviceError("pretrain: its stages run in one process; pretrain without --distributed, then transfer")
    from dnnrun.assemble import read_data

    pretraining = plan_pretraining(spec, places)
    if not only_stages:
        check_fine_tuning(spec, pretraining, read_data(spec, places))
    return pretraining


def _join(spec: Spec, team: Team, cache: Path | None) -> None:
    """Meet the other processes; JAX has started then."""
    if spec.train.devices not in (1, "all"):
        raise DeviceError(
            f"train.devices: {spec.train.devices}, and --distributed takes all devices of all processes; "
            "use train.devices=all, or leave it out"
        )
    prepare(spec.train.device, spec.train.threads, cache, count="all", join=team.join)


def _reopen(run: RunDirectory, spec: Spec) -> Checkpoint | None:
    """The checkpoint to go on from, None before the first one. Raises ResumeError where `spec` is another run."""
    last = checkpoints.pointed(run.checkpoints, "last")
    if last and "pretrained" in checkpoints.open_checkpoint(last).manifest:
        last = None  # what `dnnrun pretrain` ended with: the supervised part has not begun
    point = _verified(last) if last else None
    if changed := hinder_resume(load(run.spec), spec, point.manifest["epochs"] if point else 0.0):
        lines = "\n".join(f"  {line}" for line in changed)
        raise ResumeError(
            f"{run.path}: the spec has changed since this run began:\n{lines}\n"
            "undo the changes to resume it, or train without --resume to begin a new run"
        )
    files.remove_temporaries(run.path)
    files.make_folder(run.checkpoints, exist_ok=True)  # a kill may have come before it was made
    checkpoints.clean(run.checkpoints)
    files.write_atomic(run.spec, dump(spec).encode())
    return point


def _verified(last: Path) -> Checkpoint:
    """The checkpoint, every tensor of which is what its manifest says. Raises CheckpointError, naming the others."""
    try:
        point = checkpoints.open_checkpoint(last)
        point.model()
        point.train()
    except CheckpointError as error:
        others = [folder.name for folder in checkpoints.saved(last.parent) if folder != last]
        advice = f" To resume from one of {', '.join(others)}, let {last.parent / 'last'} point to it" if others else ""
        raise CheckpointError(f"{error}.{advice}") from None
    return point


def _finished(spec: Spec, meta: Mapping[str, Any], point: Checkpoint) -> bool:
    done = meta.get("status") == "done" and point.manifest["final"]
    return done and (spec.train.epochs <= point.manifest["epochs"] or bool(point.manifest["progress"]["stopped"]))
