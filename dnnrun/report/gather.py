"""A finished run, or the runs of one spec over seeds, read from their directories. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dnnrun.errors import CheckpointError, RunDirectoryError
from dnnrun.nn.architecture import Architecture, lay_out
from dnnrun.spec.compare import flatten
from dnnrun.spec.load import load
from dnnrun.spec.sections import Spec
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store import events
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.store.find import nearby
from dnnrun.store.run import META, RunDirectory, runs_of

OF_A_SEED = ("seed", "name", "train.device", "train.threads", "train.checkpoint_every")
# What is read of each kind of event, and as what.
SHAPES: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "epoch": {"epoch": int, "step": int, "learning_rate": (int, float, type(None)), "train": dict},
    "signals": {"step": int, "layers": dict},
}


@dataclass(frozen=True)
class Run:
    """One run directory. What is read is read once, when asked for."""

    path: Path

    @property
    def label(self) -> str:
        """Its name and when, as a person would tell runs apart."""
        return f"{self.path.parent.name}/{self.path.name}"

    @cached_property
    def spec(self) -> Spec:
        if not (path := self.path / "spec.yaml").is_file():
            raise RunDirectoryError(f"{path}: missing; a run directory has the spec of its run")
        return load(path)

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        return RunDirectory(self.path).meta()

    @cached_property
    def status(self) -> str:
        return RunDirectory(self.path).status()

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        found = events.read(path)
        for number, event in enumerate(found, 1):
            for key, kind in SHAPES.get(event["event"], {}).items():
                if not isinstance(event.get(key), kind):
                    told = f"{path}:{number}: {event['event']} without {key}"
                    raise RunDirectoryError(f"{told}; the file was changed by something else")
        return found

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == "epoch"]

    @property
    def result(self) -> Mapping[str, Any]:
        return self.meta.get("result") or {}

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics as `split.metric`."""
        return {key: value for key, value in flatten(self.result.get("metrics", {})).items() if key}

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The last one, None before the first."""
        last = checkpoints.pointed(self.path / "checkpoints", "last")
        return checkpoints.open_checkpoint(last) if last else None

    @cached_property
    def architecture(self) -> Architecture | None:
        """The network, as the checkpoint tells its width; None before the first."""
        point = self.checkpoint
        return point and lay_out(self.spec.model, point.manifest["features"], checkpoints.outputs_of(point.manifest))

    @property
    def model_bytes(self) -> int | None:
        """The size of the weights' file."""
        point = self.checkpoint
        return (point.folder / checkpoints.MODEL).stat().st_size if point else None


def find_run(argument: str | Path) -> Run:
    """The run that `argument` names: a run directory, or of a name (`runs/NAME`) its newest finished run.

    Raises CheckpointError where there is none.
    """
    path = Path(argument)
    if (path / META).is_file():
        return Run(path.parent / path.readlink() if path.is_symlink() else path)
    found = _runs(path)
    done = [run for run in found if run.status() == "done"]
    if not found:
        raise CheckpointError(f"{path}: no run here; wanted a run directory or runs/NAME{nearby(path)}")
    if not done:
        newest, status = found[-1].path, found[-1].status()
        advice = "wait for its end" if status == "running" else "resume it"
        raise CheckpointError(
            f"{path}: no finished run (the newest, {newest.name}, is {status}); {advice}, or name it: {newest}"
        )
    return Run(done[-1].path)


def over_seeds(argument: str | Path) -> list[Run]:
    """The finished runs of a name that differ from its newest in the seed alone, one a seed, the newest of each.

    Of a run directory, that run. Raises CheckpointError where there is none.
    """
    newest = find_run(argument)
    if (Path(argument) / META).is_file():
        return [newest]
    wanted = _identity(newest.spec)
    found: dict[int, Run] = {}
    for directory in _runs(Path(argument)):
        run = Run(directory.path)
        try:
            if run.status == "done" and _identity(run.spec) == wanted:
                found[run.spec.seed] = run
        except RunDirectoryError:
            continue  # what cannot be read is none of the finished runs
    return [found[seed] for seed in sorted(found)]


def _runs(path: Path) -> list[RunDirectory]:
    try:
        return runs_of(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


def _identity(spec: Spec) -> dict[str, Any]:
    leaves = flatten(spec.model_dump(mode="json"))
    return {key: value for key, value in leaves.items() if not key.startswith(OF_A_SEED)}
