"""Many trials of one program as one: its step under vmap, a lane a trial, over rows that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from dnnrun.nn.network import Tensors
from dnnrun.train.program import Program
from dnnrun.train.state import Batches, Move, Taken, TrainState

Numbers = Mapping[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LaneBatches(Batches):
    """The rows of a lane: `features` are shared, `lookup` (rows,) int32 says which of them each of its rows is."""

    lookup: jax.Array = field(kw_only=True)

    def take(self, rows: jax.Array, move: Move | None = None) -> Taken:
        x = self.features[jnp.asarray(self.lookup)[rows]]
        x = (x if move is None else move(x)).astype(jnp.float32)
        return Taken((x - self.offset) * self.factor, jnp.asarray(self.labels)[rows], self._weights(rows))


# The axis of the lanes in each field: all have one but the shared features.
AXES: Any = LaneBatches(features=None, labels=0, offset=0, factor=0, order=0, key=0, weights=0, lookup=0)  # type: ignore[arg-type]


class Lanes:
    """The compiled functions of a group of lanes; every array but the shared features has the lanes as first axis.

    `program_of` gives a lane's program from the numbers, name -> float32 scalar, in which the lanes differ.
    """

    def __init__(self, program_of: Callable[[Numbers], Program]):
        self.program_of = program_of
        self.train = jax.jit(self._train)
        self.score = jax.jit(self._score)

    def _train(
        self,
        state: TrainState,
        frozen: Tensors,
        data: LaneBatches,
        numbers: Numbers,
        active: jax.Array,
        start: jax.Array,
        stop: jax.Array,
    ) -> TrainState:
        """The state after steps `start` to `stop` (excluded) where a lane is `active` (lanes,), as it was elsewhere."""

        def one(state: TrainState, frozen: Tensors, data: LaneBatches, numbers: Numbers, step: jax.Array) -> TrainState:
            return self.program_of(numbers).step(state, frozen, data, step)

        together = jax.vmap(one, in_axes=(0, 0, AXES, 0, None))

        def step(number: jax.Array, state: TrainState) -> TrainState:
            after = together(state, frozen, data, numbers, number)

            def chosen(new: jax.Array, old: jax.Array) -> jax.Array:
                return jnp.where(active.reshape(-1, *[1] * (new.ndim - 1)), new, old)

            return jax.tree.map(chosen, after, state)

        return lax.fori_loop(start, stop, step, state)

    def _score(self, tensors: Tensors, data: LaneBatches, start: jax.Array, stop: jax.Array) -> Tensors:
        """The sums of the task's measures, (lanes,) each, over rows `start` to `stop` (excluded) of every lane."""

        def one(tensors: Tensors, data: LaneBatches) -> Tensors:
            return self.program_of({}).score(tensors, data, start, stop)

        axes = replace(AXES, order=None)
        return jax.vmap(one, in_axes=(0, axes))(tensors, data)
