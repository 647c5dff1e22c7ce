"""What a process that runs trial after trial keeps between them: rows, and programs that are the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dnnrun.assemble import assemble
from dnnrun.assembly import Assembly
from dnnrun.data.source import Raw
from dnnrun.experiment import Assemble
from dnnrun.nn.network import Tensors
from dnnrun.spec.sections import Spec
from dnnrun.sweep.engine import Task
from dnnrun.sweep.lifted import HOST
from dnnrun.sweep.shared import SharedRows
from dnnrun.train.lanes import Lanes
from dnnrun.train.program import Program, samples
from dnnrun.train.state import Batches, TrainState

MOST = 16  # programs kept: each takes some megabytes


@dataclass
class Kept:
    """Rows on the device and compiled functions, by what they depend on. The bits are those of a process of its own."""

    rows: dict[str | None, SharedRows] = field(default_factory=dict)
    compiled: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    lanes: dict[str, Lanes] = field(default_factory=dict)
    placed: tuple[Any, Any] = (None, None)
    whole: tuple[Any, Any] = (None, None)

    def rows_of(self, task: Task) -> SharedRows:
        """The rows that the sweep of this task shares."""
        folder = task.get("shared")
        return self.rows.setdefault(folder, SharedRows(folder and Path(folder)))

    def assemble_for(self, task: Task) -> Assemble:
        """What stands in for dnnrun.assemble.assemble in a trial of this task."""

        def assembled(*arguments: Any) -> Assembly:
            return KeptAssembly(**values_of(assemble(*arguments, read=self.rows_of(task).read)), kept=self)

        return assembled

    def lanes_of(self, key: str, make: Callable[[], Lanes]) -> Lanes:
        """The functions of a group of lanes, made where none like it was trained here of late."""
        if key not in self.lanes:
            self.lanes[key] = make()
            _bound(self.lanes)
        return self.lanes[key]

    def joined(self, raw: Raw) -> np.ndarray:
        """All features of a source, test rows after those to train on."""
        if self.whole[0] is not raw:
            parts = [rows.features for rows in (raw.train, raw.test) if rows is not None]
            self.whole = raw, np.concatenate(parts)
        return self.whole[1]

    def place(self, features: np.ndarray) -> Any:
        """Features on the device; mapped ones, a CPU reads where they lie."""
        if self.placed[0] is not features:
            mapped = isinstance(features, np.memmap)
            self.placed = features, jax.device_put(features, may_alias=True if mapped else None)
        return self.placed[1]


def values_of(parts: Assembly) -> dict[str, Any]:
    """The fields that an Assembly is made of."""
    return {entry.name: getattr(parts, entry.name) for entry in fields(parts) if entry.init}


@dataclass
class KeptAssembly(Assembly):
    """An Assembly whose programs are compiled once a process."""

    kept: Kept = field(kw_only=True)

    def resident(self) -> Batches:
        host = {**self.raw(), "order": self._order(0)}
        return Batches(features=self.kept.place(host.pop("features")), **jax.device_put(host))

    def make(self, **phase: Any) -> Program:
        program = KeptProgram(self.task, self.objective, **phase, spread=self.spread, augmentation=self.augmentation)
        program.key, program.kept = [fixed(self.spec), self.dataset.image, described(phase)], self.kept.compiled
        return program


class KeptProgram(Program):
    """A program that looks first for what an equal one has compiled."""

    key: list[Any]
    kept: dict[str, tuple[Any, Any]]

    def compile(self, state: TrainState, frozen: Tensors, data: Any) -> None:
        key = json.dumps([*self.key, shapes(state, frozen, samples(data))], sort_keys=True)
        if key not in self.kept:
            super().compile(state, frozen, data)
            self.kept[key] = self._train, self._evaluate
            _bound(self.kept)
        self._train, self._evaluate = self.kept[key]


def _bound(kept: dict[str, Any]) -> None:
    """Leave out the oldest."""
    while len(kept) > MOST:
        del kept[next(iter(kept))]


def fixed(spec: Spec) -> dict[str, Any]:
    """What of a spec decides its compiled functions, but for the shapes of their arguments."""
    train = {key: value for key, value in spec.train.model_dump(mode="json").items() if key not in HOST}
    augment = spec.data.augment and spec.data.augment.model_dump(mode="json")
    return {"model": spec.model.model_dump(mode="json"), "train": train, "augment": augment}


def described(phase: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a program as JSON."""
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in phase.items()}


def shapes(*trees: Any) -> str:
    """The structure, shapes and types of arrays."""
    leaves, structure = jax.tree.flatten(trees)
    return f"{structure} {[(leaf.shape, str(leaf.dtype)) for leaf in leaves]}"
