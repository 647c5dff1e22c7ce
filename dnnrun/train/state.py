"""What training changes (TrainState) and what it reads (Batches), both pytrees of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dnnrun.nn.network import Tensors

EVALUATION_BLOCK = 1000
Move = Callable[[jax.Array], jax.Array]  # raw rows (n, width) -> the same with their pixels moved


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """All that a step reads and writes.

    step: int32 scalar, steps done since the run began. params: the trainable tensors, name -> float32. statistics:
    the moving statistics that training updates. optimizer: optax's states of `params` alone, by the epoch after which
    they joined. rate_scale: float32 scalar, 1 unless a plateau lowered it. rate: the learning rate of the last step.
    sums: of the task's measures, by their names, over this epoch's steps so far. bad_step: int32, the first step whose
    loss was not finite, -1 while there is none.
    """

    step: jax.Array
    params: Tensors
    statistics: Tensors
    optimizer: Any
    rate_scale: jax.Array
    rate: jax.Array
    sums: Tensors
    bad_step: jax.Array


def fresh_state(params: Tensors, statistics: Tensors, optimizer: Any, sums: Tensors) -> TrainState:
    """The state before the first step. Scalars come from NumPy: each made by JAX would be a program to compile."""
    scalars = {
        "step": np.int32(0),
        "rate_scale": np.float32(1),
        "rate": np.float32(0),
        "sums": sums,
        "bad_step": np.int32(-1),
    }
    return TrainState(params=params, statistics=statistics, optimizer=optimizer, **jax.device_put(scalars))


class Taken(NamedTuple):
    """Some rows: x (n, width) float32, labels (n,) int32 or (n, targets) float32, weights (n,) or None."""

    x: jax.Array
    labels: jax.Array
    weights: jax.Array | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Batches:
    """The rows on the device, and how a batch is taken from them.

    features: (rows, width), uint8 or float32, of all splits. labels: (rows,) int32 or (rows, targets) float32. offset,
    factor: float32 scalars or (width,), an input is (features - offset) * factor. order: (training rows,) int32, this
    epoch's permutation. key: (2,) uint32, the run's key; the step is folded in. weights: (rows,) float32, of mean 1
    over the training rows, how much each counts in what is minimised; None where all count the same.
    """

    features: jax.Array
    labels: jax.Array
    offset: jax.Array
    factor: jax.Array
    order: jax.Array
    key: jax.Array
    weights: jax.Array | None = None

    def take(self, rows: jax.Array, move: Move | None = None) -> Taken:
        """Inputs, labels and weights of these row numbers."""
        x = self.features[rows]
        x = (x if move is None else move(x)).astype(jnp.float32)
        return Taken((x - self.offset) * self.factor, self.labels[rows], self._weights(rows))

    def _weights(self, rows: jax.Array) -> jax.Array | None:
        return None if self.weights is None else jnp.asarray(self.weights)[rows]

    def numbers(self, number: jax.Array, size: int) -> jax.Array:
        """The row numbers of this epoch's batch `number`."""
        return lax.dynamic_slice(self.order, (number * size,), (size,))

    def batch(self, number: jax.Array, size: int, move: Move | None = None) -> Taken:
        """What this epoch's batch `number` is."""
        return self.take(self.numbers(number, size), move)

    def blocks(self, start: jax.Array, stop: jax.Array) -> tuple[Any, jax.Array]:
        """The numbers, first and last (excluded), of the blocks that rows `start` to `stop` are evaluated in."""
        block = min(EVALUATION_BLOCK, self.features.shape[0])
        return 0, (stop - start + block - 1) // block

    def block(self, number: jax.Array, start: jax.Array, stop: jax.Array) -> tuple[Taken, jax.Array]:
        """Rows, and which of them are to count."""
        block = min(EVALUATION_BLOCK, self.features.shape[0])
        rows = start + number * block + jnp.arange(block, dtype=jnp.int32)
        here = rows < stop
        return self.take(jnp.minimum(rows, stop - 1)), here
