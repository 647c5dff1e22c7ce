"""The stages of a run, one after the other: each in a directory of its own inside the run's, begun or gone on with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun import files
from dnnrun.data.source import Places
from dnnrun.errors import CheckpointError, ResumeError
from dnnrun.journal import Journal, failures
from dnnrun.pretrain.stage import Stage
from dnnrun.pretraining import Pretraining, assemble_stage
from dnnrun.session import Result, Session, Stop
from dnnrun.spec.load import dump
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store import events
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.store.run import META, STAGES, RunDirectory, create_stage
from dnnrun.train.team import Team

GONE = ("exact_pseudo_likelihood", "log_likelihood")  # metrics of the end alone


@dataclass(frozen=True)
class StageRun:
    """A stage and its directory; `checkpoint` is its last one where it is done."""

    stage: Stage
    directory: RunDirectory
    checkpoint: Checkpoint | None

    def as_json(self) -> dict[str, Any]:
        """What `--json` says of it under `stages`: metrics of the training rows, those of other splits inside."""
        epochs = [event for event in events.read(self.directory.metrics) if event["event"] == "epoch"]
        final = next((e for e in events.read(self.directory.metrics) if e["event"] == "final"), {})
        meta = self.directory.meta()
        first, last = (_flat(event) for event in (epochs[0], epochs[-1])) if epochs else ({}, {})
        if last:
            last |= {split: final[split] for split in ("validation", "test") if split in final}
            gap = epochs[-1].get("validation", {}).get("free_energy_gap")
            if gap is not None:
                last["validation"] = {**last.get("validation", {}), "free_energy_gap": gap}
            last |= {name: final["train"][name] for name in GONE if name in final.get("train", {})}
        timing = meta.get("result", {}).get("timing", {})
        return {
            "stage": self.stage.name,
            "epochs": len(epochs),
            "seconds": timing.get("total_s"),
            "examples_per_s": timing.get("examples_per_s"),
            "metrics": {"first": first, "last": last},
            "run": str(self.directory.path),
        }


def _flat(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**event["train"], **({"validation": event["validation"]} if "validation" in event else {})}


class Course:
    """Runs the stages of a run that this process has the lock of, and tells how each ended."""

    def __init__(self, run: RunDirectory, pretraining: Pretraining, journal: Journal):
        self.run, self.pretraining, self.journal = run, pretraining, journal
        self.done: list[StageRun] = []

    def go(self, places: Places, cache: Path | None, threads: int | None, stop: Stop) -> StageRun:
        """Run what is not done yet, to the end; the last stage has every pretrained layer. Raises Interrupted."""
        before: dict[str, np.ndarray] = {}
        count = len(self.pretraining.stages)
        for number, stage in enumerate(self.pretraining.stages):
            directory = self._directory(number, stage)
            point = _point(directory)
            if point is None or not point.manifest["final"] or directory.meta()["status"] != "done":
                self.journal.say(f"stage {number + 1} of {count}: {stage.name}")
                known = threads or directory.meta().get("threads")
                parts = assemble_stage(self.pretraining, number, before, places, cache, known)
                point = self._train(directory, parts, point, stop)
            else:
                self._same_rows(directory)
                self.journal.say(f"stage {number + 1} of {count}: {stage.name}: done already")
            before |= point.model()
            self.done.append(StageRun(stage, directory, point))
        return self.done[-1]

    def _same_rows(self, directory: RunDirectory) -> None:
        before, after = directory.meta()["data"]["hash"], self.pretraining.dataset.hash
        if before != after:
            raise ResumeError(
                f"{directory.path}: the data has changed since this stage began (its hash was {before[:12]}, "
                f"now {after[:12]}); restore it, or begin a new run"
            )

    def _directory(self, number: int, stage: Stage) -> RunDirectory:
        name = f"{number + 1}-{stage.name.replace(':', '-')}"
        path = self.run.path / STAGES / name
        if (path / META).is_file():
            files.remove_temporaries(path)
            files.make_folder(path / "checkpoints", exist_ok=True)
            checkpoints.clean(path / "checkpoints")
            return RunDirectory(path)
        meta = {"status": "created", "name": self.pretraining.spec.name, "stage": stage.name}
        return create_stage(self.run, name, dump(self.pretraining.spec_of(stage)), meta)

    def _train(self, directory: RunDirectory, parts: Any, point: Checkpoint | None, stop: Stop) -> Checkpoint:
        began = time.perf_counter()
        with directory.lock():
            journal = _Within(self.journal, directory)
            journal.begin(_found(parts), point.step if point else 0)
            session = Session(parts.spec, directory, parts, journal, stop, began, frozenset(), Team())
            with failures(journal):
                session.run(point)
        found = _point(directory)
        assert found is not None
        self._tell(parts.stage.name, directory)
        return found

    def _tell(self, name: str, directory: RunDirectory) -> None:
        metrics = directory.meta()["result"]["metrics"]
        for split, values in metrics.items():
            told = "  ".join(f"{metric} {value:.4f}" for metric, value in values.items())
            self.journal.say(f"{name} {split:>10}: {told}")

    def close(self, last: StageRun, seconds: float) -> Result:
        """Write the checkpoint that pretraining alone ends with, and what it came to."""
        assert last.checkpoint is not None
        point, scheme = last.checkpoint, self.pretraining.scheme
        model = {name: value for name, value in point.model().items() if scheme.carried(name)}
        written = ("format", "dnnrun", "step", "tensors", "checksum")
        said = {key: value for key, value in point.manifest.items() if key not in written}
        there = checkpoints.save(self.run.checkpoints, point.step, model, None, {**said, "final": True})
        checkpoints.point(self.run.checkpoints, "last", there)
        checkpoints.point(self.run.checkpoints, "best", there)
        ended = last.directory.meta()["result"]
        metrics = {split: _whole(values) for split, values in ended["metrics"].items()}
        stages = self.as_json()
        timing = {**ended["timing"], "total_s": round(seconds, 3), "to_first_step_s": None}
        epochs, steps = sum(stage["epochs"] for stage in stages), point.step
        result = Result(self.run.path, "done", epochs, steps, metrics, timing, ended["parameters"], stages=stages)
        meta = last.directory.meta()
        self.journal.meta |= {key: meta[key] for key in ("versions", "device", "threads") if key in meta}
        return result

    def as_json(self) -> list[dict[str, Any]]:
        """Every stage that has begun."""
        begun = {run.stage.name: run for run in self.done}
        for number, stage in enumerate(self.pretraining.stages):
            path = self.run.path / STAGES / f"{number + 1}-{stage.name.replace(':', '-')}"
            if stage.name not in begun and (path / META).is_file():
                begun[stage.name] = StageRun(stage, RunDirectory(path), None)
        return [run.as_json() for run in begun.values()]


class _Within(Journal):
    """A stage's journal: what it says is in the run's log too, and is shown by the run's watcher."""

    def __init__(self, outer: Journal, directory: RunDirectory):
        super().__init__(outer.watcher, directory)
        self.outer = outer

    def _log(self, line: str) -> None:
        super()._log(line)
        if self.outer.directory is not None:
            self.outer.directory.log(line)


def _whole(metrics: Mapping[str, float]) -> dict[str, float]:
    """The last stage's metrics as those of all layers: the inputs' reconstruction in place of the layer's."""
    found = {name: value for name, value in metrics.items() if name != "input_mse"}
    return {**found, "reconstruction_mse": metrics["input_mse"]} if "input_mse" in metrics else found


def _found(parts: Any) -> dict[str, Any]:
    from dnnrun.store import environment

    machine, data = parts.machine, parts.dataset
    return {
        "versions": environment.versions(),
        "device": f"{machine.platform} {machine.kind}",
        "devices": 1,
        "processes": 1,
        "threads": machine.threads,
        "data": {"hash": data.hash, "classes": list(data.classes), "features": data.width},
    }


def _point(directory: RunDirectory) -> Checkpoint | None:
    """The stage's last checkpoint, verified; None before the first."""
    last = checkpoints.pointed(directory.checkpoints, "last")
    if last is None:
        return None
    point = checkpoints.open_checkpoint(last)
    try:
        point.model()
        point.train()
    except CheckpointError as error:
        raise CheckpointError(f"{error}. Begin a new run without --resume") from None
    return point
