"""The outputs of the first layers over all rows, for training that goes on from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.nn.architecture import layer_of
from dnnrun.nn.network import Split
from dnnrun.train.state import EVALUATION_BLOCK, Batches


def outputs(
    split: Split, tensors: Mapping[str, Any], data: Batches, first: int, order: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """What layer number `first` takes as inputs, (rows, units) float32 in pieces, in evaluation mode.

    `order`, (rows,) row numbers, is the order that they are computed in; unset, that of the rows.
    """
    names = split.architecture.names[:first]
    used = {name: jnp.asarray(value) for name, value in tensors.items() if layer_of(name) in names}
    rows = data.features.shape[0]
    block = min(EVALUATION_BLOCK, rows)
    turn = jnp.arange(rows, dtype=jnp.int32) if order is None else jnp.asarray(order, jnp.int32)

    @jax.jit
    def run(tensors: Mapping[str, Any], data: Batches, turn: jax.Array, start: jax.Array) -> jax.Array:
        numbers = jnp.minimum(start + jnp.arange(block, dtype=jnp.int32), rows - 1)
        return split.merge(split.whole(tensors))(data.take(turn[numbers])[0], last=first)

    for start in range(0, rows, block):
        yield np.asarray(run(used, data, turn, jnp.int32(start)))[: rows - start]
