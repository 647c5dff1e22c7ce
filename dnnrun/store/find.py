"""From what a person types to a checkpoint: a run, a run directory, a checkpoint folder, `.../best`, `.../step-N`."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

from dnnrun.errors import CheckpointError
from dnnrun.store.checkpoint import MANIFEST, Checkpoint, open_checkpoint, pointed, saved
from dnnrun.store.run import CHECKPOINTS, META, RunDirectory, all_runs, runs_of
from dnnrun.store.zoo_place import PREFIX, model_folder

RUNS = "runs"  # where they are kept unless one says
STEP = re.compile(r"step-0*(\d+)((?:-\d+)?)")


def located(argument: str | Path) -> Path:
    """The path that `argument` is, or the folder of the model that `zoo:NAME` is. Raises ZooError."""
    text = str(argument)
    return model_folder(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else Path(argument)


def find_checkpoint(argument: str | Path) -> Checkpoint:
    """The checkpoint that `argument` names: of a run its `last`, of a name its newest finished run's.

    Raises CheckpointError when there is none, listing what is there.
    """
    path = located(argument)
    try:
        return _find(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


def _find(path: Path) -> Checkpoint:
    if (path / MANIFEST).is_file():
        return open_checkpoint(path.resolve())
    if (path / META).is_file():
        return _of_run(path, "last")
    if path.is_dir() and (found := runs_of(path)):
        return _of_run(_finished(path, found, "last"), "last")
    if (path.name in ("best", "last") or STEP.fullmatch(path.name)) and path.parent.is_dir():
        parent = path.parent.parent if path.parent.name == CHECKPOINTS else path.parent
        if (parent / META).is_file():
            return _of_run(parent, path.name)
        if found := runs_of(parent):
            return _of_run(_finished(parent, found, path.name), path.name)
    return open_checkpoint(path) if path.is_file() else _missing(path)


def _finished(folder: Path, found: list[RunDirectory], which: str) -> Path:
    for run in reversed(found):
        if run.status() == "done":
            return run.path
    newest, status = found[-1], found[-1].status()
    there = newest.path / CHECKPOINTS / which
    advice = "wait for its end" if status == "running" else "resume it"
    named = f", or name its checkpoint: {there}" if there.exists() else ""
    raise CheckpointError(f"{folder}: no finished run (the newest, {newest.path.name}, is {status}); {advice}{named}")


def _of_run(run: Path, which: str) -> Checkpoint:
    run = run.parent / run.readlink() if run.is_symlink() else run  # `latest` is soon another one
    checkpoints = run / CHECKPOINTS
    if step := STEP.fullmatch(which):
        for folder in saved(checkpoints):
            if (match := STEP.fullmatch(folder.name)) and match.groups() == step.groups():
                return open_checkpoint(folder)
    elif folder := pointed(checkpoints, which):
        return open_checkpoint(folder)
    there = ", ".join(folder.name for folder in saved(checkpoints)) or "none yet"
    goes_on = "; it is running, wait for the next one" if RunDirectory(run).status() == "running" else ""
    raise CheckpointError(f"{run}: no checkpoint {which}; there: {there}{goes_on}")


def _missing(path: Path) -> Checkpoint:
    found = "no run and no checkpoint here" if path.is_dir() else "not found"
    raise CheckpointError(f"{path}: {found}; wanted a run or a checkpoint folder{nearby(path)}")


def nearby(path: Path) -> str:
    """What a message on a path that names no run ends with: the folders that are there, and the one probably meant."""
    near = next((folder for folder in (path, path.parent) if folder.is_dir()), None)
    near = near or next((folder for folder in path.parents[1:3] if folder.is_dir() and all_runs(folder)), None)
    names = sorted(p.name for p in near.iterdir() if p.is_dir() and not p.name.startswith(".")) if near else []
    if near is None or not names:
        return ""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    wanted = path.parts[len(near.parts)] if path != near else ""
    close = get_close_matches(wanted, names, 1)
    meant = f"; did you mean {near / close[0]}?" if close else ""
    return f"; {near} has {', '.join(names[:10])}{more}{meant}"


def names_run(argument: str) -> bool:
    """Whether a path at which nothing is can only be meant as a run: a model of the zoo, or below what has runs."""
    path = Path(argument)
    if argument.startswith(PREFIX) or path.parts[:1] == (RUNS,):
        return True
    return any(folder.name and (runs_of(folder) or all_runs(folder)) for folder in path.parents[:3])


def newest_finished(runs: Path) -> Path | None:
    """The newest finished run of any name under `runs`, None where there is none."""
    newest_first = sorted(all_runs(runs), key=lambda run: run.path.name, reverse=True)
    return next((run.path for run in newest_first if run.status() == "done"), None)
