"""Runs in MLflow: parameters, metrics, artifacts; the trials of a sweep below a run of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from dnnrun import files
from dnnrun.errors import RunDirectoryError
from dnnrun.track import About, Tracker, Tracking, scalars, signal_scalars

STATUS = {"done": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
TAG, PARENT = "dnnrun.run", "mlflow.parentRunId"
LONGEST = 6000  # characters of a parameter that MLflow takes
PATIENCE = 60.0  # seconds to wait for another trial that makes the sweep's own run


class MLflow(Tracker):
    """Parameters, metrics and artifacts in MLflow; `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db` shows them.

    Kept in an SQLite file in the folder of runs unless `uri` says otherwise. The trials of a sweep are nested below a
    run of the sweep. Wants the package mlflow.
    """

    type: Literal["mlflow"] = "mlflow"
    uri: str | None = Field(None, description="tracking server or store; unset: sqlite:///RUNS/mlflow.db")
    experiment: str = Field("dnnrun", min_length=1, description="the experiment that the runs belong to")
    artifacts: bool = Field(True, description="keep spec, metrics, log and the best weights as artifacts")

    def begin(self, about: About) -> Tracking:
        return _Tracked(self, about)


class _Tracked(Tracking):
    def __init__(self, options: MLflow, about: About):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient  # pyright: ignore

        self.about, self.artifacts = about, options.artifacts
        root = about.root.resolve()
        with _alone(root):  # the first to come makes the tables too
            self.client = MlflowClient(tracking_uri=options.uri or f"sqlite:///{root / 'mlflow.db'}")
            self.experiment = self._experiment(options, root)
            parent = self._run_of(about.sweep, None) if about.sweep else None
            self.run = self._run_of(about.run, parent)
        self.client.update_run(self.run, status="RUNNING")
        known = self.client.get_run(self.run).data.params
        for key, value in about.spec.items():
            if value is not None and _key(key) not in known:
                self.client.log_param(self.run, _key(key), str(value)[:LONGEST])

    def epoch(self, record: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        self._log(scalars(record), record["step"])

    def signals(self, record: Mapping[str, Any]) -> None:
        self._log(signal_scalars(record), record["step"])

    def end(self, status: str, metrics: Mapping[str, Mapping[str, float]], tensors: Mapping[str, Any]) -> None:
        found = {f"final/{split}_{name}": v for split, values in metrics.items() for name, v in values.items()}
        self._log(found, 0)
        if self.artifacts:
            for name in ("spec.yaml", "metrics.jsonl", "out.log", "checkpoints/best/model.safetensors"):
                if (path := self.about.run / name).is_file():
                    self.client.log_artifact(self.run, str(path), "model" if "model" in name else None)
        self.client.set_terminated(self.run, STATUS.get(status, "FAILED"))

    def _experiment(self, options: MLflow, root: Path) -> str:
        found = self.client.get_experiment_by_name(options.experiment)
        if found is not None:
            return found.experiment_id
        place = None if options.uri else (root / "mlartifacts").as_uri()
        return self.client.create_experiment(options.experiment, artifact_location=place)

    def _run_of(self, folder: Path, parent: str | None) -> str:
        """The run that stands for this folder, made if there is none: a resume goes on with its own."""
        place = str(folder.resolve())
        quoted = place.replace("'", "\\'")
        found = self.client.search_runs([self.experiment], f"tags.`{TAG}` = '{quoted}'", max_results=1)
        if found:
            return found[0].info.run_id
        tags = {TAG: place, **({PARENT: parent} if parent else {})}
        return self.client.create_run(self.experiment, tags=tags, run_name=_name(folder)).info.run_id

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric  # pyright: ignore

        now = int(time.time() * 1000)
        entries = [Metric(_key(name), value, now, step) for name, value in values.items()]
        for at in range(0, len(entries), 1000):
            self.client.log_batch(self.run, metrics=entries[at : at + 1000])


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _key(name: str) -> str:
    """A name that MLflow takes: it has no brackets."""
    return name.replace("[", "_").replace("]", "_")


def _alone(root: Path) -> files.Lock:
    """The right to make tables, experiments and runs: trials begin at the same time."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return files.lock(root / ".mlflow.lock")
        except RunDirectoryError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
