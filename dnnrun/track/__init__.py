"""Trackers: where a run's numbers go besides its own files. One class each; what is recorded goes to its `Tracking`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dnnrun.component import Component

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class About:
    """The run that is tracked: its directory, its name, its spec's values by dotted key, the step it begins at (0, or
    that of the checkpoint it goes on from), and the shape of its images, None for a table."""

    run: Path
    name: str
    spec: Mapping[str, Any]
    step: int
    image: tuple[int, ...] | None = None

    @property
    def sweep(self) -> Path | None:
        """The folder of the sweep that the run is a trial of."""
        folder = self.run.parent.parent
        return folder.parent if folder.name == "trials" else None

    @property
    def root(self) -> Path:
        """The folder that all runs are kept in."""
        return (self.sweep or self.run).parent.parent


class Tracking:
    """One run being tracked. Every method may raise: the run goes on, without this tracker."""

    wants_tensors: ClassVar[bool] = False

    def epoch(self, record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        """An epoch's event; `tensors` is empty unless `wants_tensors`."""

    def signals(self, record: Mapping[str, Any]) -> None:
        """An event of signals."""

    def end(self, status: str, metrics: Mapping[str, Mapping[str, float]], tensors: Mapping[str, np.ndarray]) -> None:
        """The run is done, interrupted or failed; `metrics` by split, empty unless it is done."""


class Tracker(Component):
    """Where a run's numbers go besides its own metrics.jsonl."""

    family: ClassVar[str] = "trackers"
    home: ClassVar[str] = "dnnrun.track"

    def begin(self, about: About) -> Tracking:
        """Begin to track a run. Raises where that cannot be, a package that is absent included."""
        raise TypeError(f"{type(self).__name__} does not say how it tracks")


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an epoch's event: `train/loss`, `validation/accuracy`, `learning_rate`, `examples_per_s`."""
    found = {
        f"{split}/{metric}": value
        for split in ("train", "validation", "test")
        for metric, value in record.get(split, {}).items()
        if value is not None
    }
    found["learning_rate"] = record["learning_rate"]
    if rate := record.get("timing", {}).get("examples_per_s"):
        found["examples_per_s"] = rate
    return found


def signal_scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an event of signals: `signals/gradient_std/hidden1`, ..."""
    found: dict[str, float] = {}
    for layer, signals in record["layers"].items():
        for name in ("pre_activation", "activation", "gradient"):
            found[f"signals/{name}_std/{layer}"] = signals[name]["std"]
        for name in ("rank", "saturated", "dead", "kernel", "kernel_gradient", "update"):
            found[f"signals/{name}/{layer}"] = signals[name]
    return {name: value for name, value in found.items() if value is not None}
