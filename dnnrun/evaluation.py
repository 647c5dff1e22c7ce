"""The metrics of a checkpoint on a split of its own data, or on a file of other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.baseline import as_json, baselines
from dnnrun.data.source import Places
from dnnrun.errors import DataError
from dnnrun.measure import measure
from dnnrun.trained import load
from dnnrun.watch import Watcher

SPLITS = ("test", "validation", "train")  # in the order that eval prefers them


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a checkpoint on one split, each with its 95% interval; `each` is told class by class, or of a
    regression target by target; `confusion` is (true, predicted)."""

    checkpoint: Path
    split: str
    examples: int
    metrics: Mapping[str, float]
    task: str
    intervals: Mapping[str, tuple[float, float]]
    each: Sequence[Mapping[str, Any]]
    confusion: np.ndarray | None = None
    baseline: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """What `eval --json` prints."""
        found = {
            "checkpoint": str(self.checkpoint),
            "split": self.split,
            "examples": self.examples,
            "metrics": dict(self.metrics),
            "task": self.task,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "per_target" if self.task == "regression" else "per_class": [dict(entry) for entry in self.each],
        }
        if self.confusion is not None:
            found["confusion_matrix"] = self.confusion.tolist()
        if self.baseline is not None:
            found["baseline"] = self.baseline
        return found


def evaluate(
    checkpoint: str | Path,
    *,
    split: str | None = None,
    data: str | Path | None = None,
    labels: str | Path | None = None,
    places: Places | None = None,
    watcher: Watcher | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> Evaluation:
    """Metrics of a checkpoint on a split of its own data: test, else validation, else train.

    `data` is a file of a table to evaluate on instead, all its rows, with the columns of the training table, the target
    among them; or of arrays or images, `labels` being the .npy or IDX file of their labels, where they have none of
    their own. Raises CheckpointError for a damaged or missing checkpoint, DataError for a split that the data has not.
    """
    from dnnrun.assemble import assemble

    trained = load(checkpoint)
    tensors = trained.tensors
    spec, threads = trained.spec, trained.spec.train.threads
    here = spec.train.model_copy(update={"device": device, "devices": 1, "threads": "auto"})  # not where it was trained
    spec = spec.model_copy(update={"train": here})
    manifest = trained.checkpoint.manifest
    reading: dict[str, Any] = {}
    if labels is not None and data is None:
        raise DataError("--labels: they are those of --data; name its file too")
    if data is not None:
        if split is not None:
            raise DataError("--split: --data has no splits; leave one of them out")
        reading["read"] = lambda spec, places: trained.read(str(data), places, labels and str(labels))
        spec = spec.model_copy(update={"train": here.model_copy(update={"batch_size": 1})})  # however few rows
    parts = assemble(spec, places or Places(), cache, None if threads == "auto" else threads, manifest, **reading)
    if misfit := parts.architecture.misfit({name: value.shape for name, value in tensors.items()}):
        raise DataError(f"{trained.checkpoint.folder}: {misfit}: the data is not of the kind that it was trained on")
    if data is not None and watcher:
        for line in parts.dataset.warnings:
            watcher.warn(line)
    if data is None and manifest["data_hash"] not in (None, parts.dataset.hash) and watcher:
        watcher.warn("the data is not what this network was trained with; the numbers are of the data as it is now")
    name = split or next(name for name in SPLITS if name in parts.dataset.splits)
    start, stop = parts.dataset.splits.get(name, (0, 0))
    if start == stop:
        raise DataError(f"--split {name}: there are none of these rows; there are {', '.join(parts.dataset.splits)}")
    metrics = parts.evaluate_whole(tensors, name)
    outputs, losses = parts.outputs_whole(tensors, name)
    outputs = outputs if parts.targets is None else parts.targets.restore(outputs)
    rows = parts.dataset
    found = measure(rows.task, outputs, rows.rows(name).labels, rows.names, losses)
    beside = spec.eval.baseline and data is None  # which of other rows knows no training rows
    return Evaluation(
        checkpoint=trained.checkpoint.folder,
        split=name if data is None else str(data),
        examples=stop - start,
        metrics={**metrics, **{key: value for key, value in found.metrics.items() if key not in metrics}},
        task=rows.task,
        intervals=found.intervals,
        each=found.each,
        confusion=found.confusion,
        baseline=as_json(baselines(rows, parts.scaling, [name])) if beside else None,
    )
