"""Batch-norm statistics over the whole training set, in place of moving averages."""

from __future__ import annotations

from collections.abc import Set
from functools import partial

import jax
import jax.numpy as jnp

from dnnrun.nn.network import Tensors
from dnnrun.train.program import Program
from dnnrun.train.state import EVALUATION_BLOCK, Batches


def exact_statistics(
    program: Program, tensors: Tensors, data: Batches, start: int, stop: int, kept: Set[str] = frozenset()
) -> Tensors:
    """The mean and (biased) variance of what each moving batch norm sees over rows `start` to `stop`.

    Layer by layer, each on the outputs of those below with their exact statistics, in evaluation mode. Layers whose
    statistics stand still, and those in `kept`, keep theirs.
    """
    found: Tensors = {}
    split = program.task.split
    layers = split.architecture.layers
    x = data.take(jnp.arange(start, stop))[0]
    for number in range(program.first, len(layers)):
        layer = layers[number]
        norm = layer.batch_norm
        if norm and norm.statistics == "exact" and layer.name not in program.still | kept:
            network = split.merge(split.whole({**tensors, **found}))
            dense = getattr(network, layer.name)
            seen = _blocks(x, dense.pre_activation)
            if norm.position == "after":
                seen = _blocks(seen, partial(dense.activate, key=None))
            found[f"{layer.name}/batch_norm/mean"] = seen.mean(0)
            found[f"{layer.name}/batch_norm/var"] = seen.var(0)
        network = split.merge(split.whole({**tensors, **found}))
        x = _blocks(x, partial(network, first=number, last=number + 1))
    return found


def _blocks(x: jax.Array, function) -> jax.Array:
    compiled = jax.jit(lambda x: function(x).astype(jnp.float32))
    return jnp.concatenate([compiled(x[at : at + EVALUATION_BLOCK]) for at in range(0, len(x), EVALUATION_BLOCK)])
