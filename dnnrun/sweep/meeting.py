"""Where the threads of a group's lanes meet: all wait there, what they ask for is computed at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from dnnrun.nn.network import Tensors
from dnnrun.train.lanes import LaneBatches, Lanes
from dnnrun.train.program import Program
from dnnrun.train.state import TrainState


class Stacked:
    """An array whose first axis are the lanes, fetched to the host once for all who ask."""

    def __init__(self, array: jax.Array):
        self.array = array
        self._host: np.ndarray | None = None

    def host(self) -> np.ndarray:
        if self._host is None:
            self._host = np.asarray(self.array)
        return self._host


class Part:
    """A lane's part of a stacked array; NumPy and JAX take it for an array."""

    __slots__ = ("lane", "stack")

    def __init__(self, stack: Stacked, lane: int):
        self.stack, self.lane = stack, lane

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stack.array.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self.stack.array.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.stack.host()[self.lane], dtype, copy=copy)


@dataclass
class Request:
    """What a lane waits for: to enter, to train from `start` to `stop`, or to be evaluated on these rows."""

    kind: str
    tree: Any
    start: int = 0
    stop: int = 0
    data: LaneBatches | None = None
    program: Program | None = None
    answer: Any = None
    error: Exception | None = None
    ready: threading.Event = field(default_factory=threading.Event)


class Place:
    """A lane's place at the meeting, for its thread; left at the end of a `with`."""

    def __init__(self, meeting: Meeting, number: int):
        self.meeting, self.number = meeting, number

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.meeting.leave(self.number)

    def enter(self, program: Program, frozen: Tensors, data: LaneBatches) -> None:
        """Be there with this program and these rows, before anything else is asked."""
        self.meeting.ask(self.number, Request("enter", frozen, data=data, program=program))

    def train(self, state: TrainState, data: LaneBatches, start: int, stop: int) -> TrainState:
        """The state after steps `start` to `stop` (excluded)."""
        return self.meeting.ask(self.number, Request("train", state, start, stop, data))

    def evaluate(self, tensors: Tensors, start: int, stop: int) -> dict[str, Any]:
        """The sums of the task's measures over these rows."""
        return self.meeting.ask(self.number, Request("evaluate", tensors, start, stop))


class Meeting:
    """Computes what the lanes ask for once all that are still there wait.

    Lanes behind the others, as after a resume, go on alone until they have caught up. `numbers` are those in which the
    lanes differ, (lanes,) each; `lanes_of` gives the compiled functions. `unfit`: JAX could not trace the numbers.
    """

    def __init__(self, count: int, numbers: Mapping[str, np.ndarray], lanes_of: Callable[[Program], Lanes]):
        self.count, self.numbers, self.lanes_of = count, numbers, lanes_of
        self.places = [Place(self, number) for number in range(count)]
        self.here, self.asked = set(range(count)), {}
        self.condition = threading.Condition()
        self.unfit = False
        self.orders: dict[int, Any] = {}

    def ask(self, lane: int, request: Request) -> Any:
        """Wait for the answer. Raises what went wrong in computing it."""
        with self.condition:
            self.asked[lane] = request
            self.condition.notify_all()
        request.ready.wait()
        if request.error is not None:
            raise request.error
        return request.answer

    def leave(self, lane: int) -> None:
        """Wait for this lane no longer."""
        with self.condition:
            self.here.discard(lane)
            self.condition.notify_all()

    def run(self) -> None:
        """Serve the lanes until all have left."""
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.asked.keys() >= self.here)
                if not self.here:
                    return
            for kind in ("enter", "evaluate", "train"):
                if asked := {lane: request for lane, request in self.asked.items() if request.kind == kind}:
                    self._serve(kind, asked)
                    break

    def _serve(self, kind: str, asked: dict[int, Request]) -> None:
        try:
            getattr(self, f"_{kind}")(asked)
        except Exception as error:
            self.unfit = self.unfit or isinstance(error, TypeError)  # as JAX's errors of concretization are
            for lane, request in asked.items():
                request.error = error
                self._answer(lane, request)

    def _answer(self, lane: int, request: Request) -> None:
        del self.asked[lane]
        request.ready.set()

    def _enter(self, asked: dict[int, Request]) -> None:
        first = next(iter(asked.values()))
        assert first.data is not None
        assert first.program is not None
        self.lanes = self.lanes_of(first.program)
        self.frozen = self._stack({lane: request.tree for lane, request in asked.items()})
        own = {lane: replace(request.data, features=None, order=None) for lane, request in asked.items()}  # type: ignore[type-var]
        self.data = replace(self._stack(own), features=first.data.features)
        for lane, request in asked.items():
            self._answer(lane, request)

    def _evaluate(self, asked: dict[int, Request]) -> None:
        first = next(iter(asked.values()))
        same = {lane: r for lane, r in asked.items() if (r.start, r.stop) == (first.start, first.stop)}
        tensors = self._stack({lane: request.tree for lane, request in same.items()})
        data = replace(self.data, order=None)
        sums = self.lanes.score(tensors, data, np.int32(first.start), np.int32(first.stop))
        host = {name: np.asarray(value) for name, value in sums.items()}
        for lane, request in same.items():
            request.answer = {name: value[lane] for name, value in host.items()}
            self._answer(lane, request)

    def _train(self, asked: dict[int, Request]) -> None:
        start = min(request.start for request in asked.values())
        behind = {lane: request for lane, request in asked.items() if request.start == start}
        ahead = [request.start for request in asked.values() if request.start > start]
        stop = min([*ahead, *(request.stop for request in behind.values())])
        active = np.isin(np.arange(self.count), list(behind))
        state = self._stack({lane: request.tree for lane, request in behind.items()})
        data = self._ordered({lane: request.data.order for lane, request in behind.items() if request.data})
        after = self.lanes.train(state, self.frozen, data, self.numbers, active, np.int32(start), np.int32(stop))
        leaves, structure = jax.tree.flatten(after)
        stacks = [Stacked(leaf) for leaf in leaves]
        for lane, request in behind.items():
            parts = [Part(stack, lane) if stack.array.ndim > 1 else stack.host()[lane] for stack in stacks]
            request.tree, request.start = jax.tree.unflatten(structure, parts), stop
            if stop == request.stop:
                request.answer = request.tree
                self._answer(lane, request)

    def _ordered(self, orders: dict[int, Any]) -> LaneBatches:
        """The rows with every lane's order of this epoch, placed anew only where one has changed."""
        if any(self.orders.get(lane) is not order for lane, order in orders.items()):
            self.orders |= orders
            self.data = replace(self.data, order=self._stack(self.orders))
        return self.data

    def _stack(self, trees: Mapping[int, Any]) -> Any:
        """Trees of the lanes as one; lanes that are absent get what another one has, which nobody looks at."""
        flat = {lane: jax.tree.flatten(tree) for lane, tree in trees.items()}
        structure = next(iter(flat.values()))[1]
        columns = zip(*(leaves for leaves, _ in flat.values()), strict=True)
        return jax.tree.unflatten(structure, [self._column(list(flat), column) for column in columns])

    def _column(self, lanes: list[int], values: tuple[Any, ...]) -> jax.Array:
        first = values[0]
        if isinstance(first, Part):
            pairs = zip(lanes, values, strict=True)
            if all(isinstance(v, Part) and v.stack is first.stack and v.lane == lane for lane, v in pairs):
                return first.stack.array
        whole = np.empty((self.count, *np.shape(first)), np.asarray(first).dtype)
        whole[:] = first
        for lane, value in zip(lanes, values, strict=True):
            whole[lane] = value
        return jax.device_put(whole)
