"""Trials as the lanes of one program: each an ordinary run in a thread of its own, computed where they meet."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from dnnrun.assemble import assemble, objective_of
from dnnrun.assembly import Assembly
from dnnrun.nn.network import Tensors
from dnnrun.spec.load import load_mapping
from dnnrun.sweep.engine import Answer, Stop, Task
from dnnrun.sweep.kept import Kept, described, values_of
from dnnrun.sweep.lifted import numbers, shape, with_numbers
from dnnrun.sweep.meeting import Meeting, Place
from dnnrun.sweep.shared import in_one_order
from dnnrun.sweep.trial import run_trial
from dnnrun.train.lanes import LaneBatches, Lanes
from dnnrun.train.program import Program
from dnnrun.train.state import TrainState


def run_group(tasks: Sequence[Task], stop: Stop, kept: Kept, answered: Callable[[int, Answer], None]) -> None:
    """Train these tasks, of one shape, together. `answered` hears each one's number and answer, in any thread.

    Where JAX cannot trace the numbers in which they differ, they are trained one after another.
    """
    group = _Group(tasks, kept)
    alone: list[int] = []

    def run(place: Place) -> None:
        with place:
            answer = run_trial(tasks[place.number], stop, group.assemble_for(place))
        if answer["status"] == "failed" and group.meeting.unfit:
            alone.append(place.number)
        else:
            answered(place.number, answer)

    threads = [threading.Thread(target=run, args=(place,)) for place in group.meeting.places]
    for thread in threads:
        thread.start()
    group.meeting.run()
    for thread in threads:
        thread.join()
    for number in sorted(alone):
        answered(number, run_trial(tasks[number], stop, kept.assemble_for(tasks[number])))


class _Group:
    """What the lanes of a group have in common."""

    def __init__(self, tasks: Sequence[Task], kept: Kept):
        self.kept, self.rows = kept, kept.rows_of(tasks[0])
        self.specs = [load_mapping(task["spec"]) for task in tasks]
        values = [numbers(spec.train) for spec in self.specs]
        self.differ = sorted(name for name in values[0] if len({value[name] for value in values}) > 1)
        self.numbers = {name: np.array([v[name] for v in values], np.float32) for name in self.differ}
        self.assembling = threading.Lock()
        self.meeting = Meeting(len(tasks), self.numbers, self.lanes_of)

    def assemble_for(self, place: Place) -> Callable[..., Assembly]:
        """What stands in for dnnrun.assemble.assemble in a lane; one at a time, so that rows are copied once."""

        def assembled(spec: Any, places: Any, *more: Any) -> Assembly:
            with self.assembling:
                parts = assemble(spec, places, *more, read=self.rows.read)
                values = values_of(parts)
                if in_one_order(spec):
                    features, lookup = parts.dataset.features, np.arange(len(parts.dataset.labels), dtype=np.int32)
                else:
                    raw = self.rows.raw(spec, places)
                    features, lookup = self.kept.joined(raw), parts.dataset.origin.astype(np.int32)
                    own = parts.dataset.features  # from here on only its shape and type are asked for
                    nothing = np.broadcast_to(np.zeros((), own.dtype), own.shape)
                    values["dataset"] = replace(parts.dataset, features=nothing)
                return LaneAssembly(**values, place=place, shared=self.kept.place(features), lookup=lookup)

        return assembled

    def lanes_of(self, program: Program) -> Lanes:
        """The compiled functions of a group like this one, from a lane's program."""
        train, steps = self.specs[0].train, program.objective.steps_per_epoch
        same = {name: value for name, value in numbers(train).items() if name not in self.differ}
        phase = {
            name: getattr(program, name) for name in ("trainable", "moving", "first", "joined", "factors", "later")
        }
        key = json.dumps([shape(self.specs[0]), same, self.differ, steps, described(phase)], sort_keys=True)
        base = Program(program.task, program.objective, **phase, augmentation=program.augmentation)

        def program_of(traced: Mapping[str, Any]) -> Program:
            return replace(base, objective=objective_of(with_numbers(train, traced), steps))

        return self.kept.lanes_of(key, lambda: Lanes(program_of))


@dataclass
class LaneAssembly(Assembly):
    """An Assembly that computes where the others of its group do. `lookup` says which of the `shared` rows are its."""

    place: Place = field(kw_only=True)
    shared: jax.Array = field(kw_only=True)
    lookup: np.ndarray = field(kw_only=True)

    @cached_property
    def rows(self) -> LaneBatches:
        return LaneBatches(**{**self.raw(), "order": self._order(0), "features": self.shared, "lookup": self.lookup})

    def batches(self, epoch: int) -> LaneBatches:
        return replace(self.rows, order=self._order(epoch))

    def make(self, **phase: Any) -> Program:
        program = LaneProgram(self.task, self.objective, **phase, augmentation=self.augmentation)
        program.lane = self.place
        return program

    def exact_statistics(self, tensors: Mapping[str, Any], epoch: int | None = None) -> Mapping[str, Any]:
        return super().exact_statistics({name: np.asarray(value) for name, value in tensors.items()}, epoch)


class LaneProgram(Program):
    """A program that is computed together with those of the other lanes."""

    lane: Place

    def compile(self, state: TrainState, frozen: Tensors, data: LaneBatches) -> None:
        self.lane.enter(self, self._needed(frozen), data)

    def train_chunk(self, state: TrainState, frozen: Tensors, data: LaneBatches, start: int, stop: int) -> TrainState:
        return self.lane.train(state, data, start, stop)

    def evaluate(self, tensors: Tensors, data: LaneBatches, start: int, stop: int) -> dict[str, float]:
        return self.task.metrics(self.lane.evaluate(self._needed(tensors), start, stop), stop - start)

    def hold(self, tensors: Tensors) -> Tensors:
        return {name: np.array(value) for name, value in tensors.items()}
