"""From a Spec to a run: a new run directory, or the newest one of its name again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
    if not team.lead:
        return _follow(spec, team, places, stop, cache, began, unseen)
    if resume:
        directory = newest(runs, spec.name)
        with directory.lock():
            journal = Journal(watcher, directory)
            return _resume(
                spec, directory, journal, places, stop, cache, began, unseen, team, assemble, pretraining, only_stages
            )
    files.make_folder(runs / spec.name, exist_ok=True)
    journal = Journal(watcher, None)
    tell(team, {}, None, None)
    if pretraining is not None:
        directory = create(runs, spec.name, dump(spec), {"status": "created", "name": spec.name})
        with directory.lock():
            journal.open(directory)
            return _staged(
                spec, directory, journal, places, stop, cache, began, unseen, team, assemble, pretraining, only_stages
            )
    parts, found = _assemble(spec, journal, places, cache, None, team, assemble)
    directory = create(runs, spec.name, dump(spec), {"status": "created", "name": spec.name})
    with directory.lock():
        journal.open(directory)
        return _train(spec, directory, parts, found, journal, None, stop, began, unseen, team)


def _resume(
    spec: Spec,
    directory: RunDirectory,
    journal: Journal,
    places: Places,
    stop: Stop,
    cache: Path | None,
    began: float,
    unseen: frozenset[str],
    team: Team,
    assemble: Assemble | None,
    pretraining: Pretraining | None,
    only_stages: bool,
) -> Result:
    point = _reopen(directory, spec)
    if only_stages and point:
        raise ResumeError(
            f"{directory.path}: its stages are done and the supervised part has begun; go on with dnnrun train --resume"
        )
    if only_stages and journal.meta.get("status") == "done":
        journal.say(f"{directory.path}: pretrained already; dnnrun train --resume goes on to the supervised part")
        return Result(**{**journal.meta["result"], "run": directory.path})
    if pretraining is not None and point is None:
        return _staged(
            spec, directory, journal, places, stop, cache, began, unseen, team, assemble, pretraining, only_stages
        )
    spec = fine_tuning(spec)
    if point and _finished(spec, journal.meta, point):
        stopped = point.manifest["progress"]["stopped"]
        advice = f"stopped early ({stopped}); begin a new run to go on" if stopped else "raise train.epochs to go on"
        journal.say(f"{directory.path}: finished already; {advice}")
        tell(team, journal.meta, point, journal.meta["result"])
        return Result(**{**journal.meta["result"], "run": directory.path})
    with failures(journal):
        tell(team, journal.meta, point, None)
        parts, found = _assemble(spec, journal, places, cache, point, team, assemble)
    return _train(spec, directory, parts, found, journal, point, stop, began, unseen, team)


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


def _staged(
    spec: Spec,
    directory: RunDirectory,
    journal: Journal,
    places: Places,
    stop: Stop,
    cache: Path | None,
    began: float,
    unseen: frozenset[str],
    team: Team,
    assemble: Assemble | None,
    pretraining: Pretraining,
    only_stages: bool,
) -> Result:
    """The stages that are not done yet, then the supervised part on the layers of the last one."""
    course = Course(directory, pretraining, journal)
    with failures(journal):
        journal.set_out()
        journal.table(pretraining.rows())
        try:
            last = course.go(places, cache, journal.meta.get("threads"), stop)
        except Interrupted as stopped:
            journal.end("interrupted")
            result = {**stopped.result, "run": str(directory.path), "stages": course.as_json()}
            raise Interrupted(str(stopped), stopped.exit_code, result) from None
        journal.meta["stages"] = course.as_json()
        journal.write()
        if only_stages:
            result = course.close(last, time.perf_counter() - began)
            journal.end("done", result=result.as_json())
            return result
        tuned = fine_tuning(spec)
        assert last.checkpoint is not None
        parts, found = _assemble(tuned, journal, places, cache, None, team, assemble, [str(last.checkpoint.folder)])
    return _train(tuned, directory, parts, found, journal, None, stop, began, unseen, team)


def _join(spec: Spec, team: Team, cache: Path | None) -> None:
    """Meet the other processes; JAX has started then."""
    if spec.train.devices not in (1, "all"):
        raise DeviceError(
            f"train.devices: {spec.train.devices}, and --distributed takes all devices of all processes; "
            "use train.devices=all, or leave it out"
        )
    prepare(spec.train.device, spec.train.threads, cache, count="all", join=team.join)


def _follow(
    spec: Spec,
    team: Team,
    places: Places,
    stop: Stop,
    cache: Path | None,
    began: float,
    unseen: frozenset[str],
) -> Result:
    """Train along with process 0, which alone has the run directory."""
    journal, point, finished = hear(team)
    if finished is not None:
        return Result(**{**finished, "run": Path(finished["run"])})
    parts, found = _assemble(spec, journal, places, cache, point, team)
    return _train(spec, RunDirectory(Path()), parts, found, journal, point, stop, began, unseen, team)


def _train(
    spec: Spec,
    directory: RunDirectory,
    parts: Assembly,
    found: dict[str, Any],
    journal: Journal,
    point: Checkpoint | None,
    stop: Stop,
    began: float,
    unseen: frozenset[str],
    team: Team,
) -> Result:
    with failures(journal):
        journal.begin(found, point.step if point else 0)
        team.last_words.append(journal.fail)
        directory = RunDirectory(Path(team.first(str(directory.path))))
        return Session(spec, directory, parts, journal, stop, began, unseen, team).run(point)


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


def _assemble(
    spec: Spec,
    journal: Journal,
    places: Places,
    cache: Path | None,
    point: Checkpoint | None,
    team: Team,
    assemble: Assemble | None = None,
    sources: list[str] | None = None,
) -> tuple[Assembly, dict[str, Any]]:
    """The objects that train, and what meta.json says of them; a transfer's plan is told."""
    team.compare({"spec": dump(spec)})
    with ThreadPoolExecutor(1) as pool:
        describing = pool.submit(environment.describe)
        if assemble is None:
            from dnnrun.assemble import assemble

        threads = journal.meta.get("threads") if spec.train.threads == "auto" else None
        sources = sources or [source["checkpoint"] for source in journal.meta.get("sources", ())] or None
        manifest, devices = point.manifest if point else None, "all" if team.meeting else None
        together = {"read": reader(team)} if team.count > 1 else {}
        parts = assemble(spec, places, cache, threads, manifest, sources, devices, **together)
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
        found["sources"] = [{"checkpoint": str(donor.where), "manifest": donor.fingerprint()} for donor in plan.donors]
        journal.table(plan.rows())
        journal.say(f"unused in the source: {', '.join(plan.unused) or 'nothing'}")
        for note in plan.notes:
            journal.say(f"note: {note}")
    return parts, found
