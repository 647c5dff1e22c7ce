"""Where a loss that is not finite comes from: the first layer, in the order of the computation, that went bad."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dnnrun.nn.architecture import layer_of
from dnnrun.nn.network import Tensors, dropout
from dnnrun.train.program import Program
from dnnrun.train.state import Batches, TrainState
from dnnrun.train.task import Supervised


def first_bad_layer(
    program: Program, state: TrainState, frozen: Tensors, data: Batches, rows: range | None = None
) -> tuple[str, str] | None:
    """The layer and what of it is not finite, in the step that begins with `state`, or in evaluating it on `rows`.

    Weights come first (a gradient of the step before broke them), then, layer by layer, what is computed from them,
    and last the loss itself. None where evaluating `rows` goes well.
    """
    state, frozen = jax.tree.map(jnp.asarray, (state, frozen))
    tensors = {**frozen, **state.statistics, **state.params}
    task, split = program.task, program.task.split
    for tensor in task.tensors:
        if tensor.name in tensors and not bool(jnp.all(jnp.isfinite(tensors[tensor.name]))):
            return layer_of(tensor.name), f"its {tensor.name.partition('/')[2]}, after the step before"
    step = state.step
    x, labels, _ = program.batch(data, step) if rows is None else data.take(jnp.asarray(rows))
    if not bool(jnp.all(jnp.isfinite(x))):
        return "the inputs", "a value of the data"
    if not isinstance(task, Supervised):
        return next(name for name in task.names if name in program.trainable), "its loss or its gradient"
    loss = task.loss if rows is None else task.evaluation_loss
    layers = split.architecture.layers
    network = split.merge(split.whole(tensors))
    key = (
        None if rows is not None else jax.random.fold_in(jax.random.wrap_key_data(data.key, impl="threefry2x32"), step)
    )
    if key is not None and program.first == 0:
        x = dropout(x, split.architecture.input_dropout, jax.random.fold_in(key, len(layers)))
    for number in range(program.first, len(layers)):
        dense = getattr(network, layers[number].name)
        if not bool(jnp.all(jnp.isfinite(dense.pre_activation(x)))):
            return layers[number].name, "its pre-activations"
        own = None if key is None else jax.random.fold_in(key, number)
        x = dense(x, key=own, still=layers[number].name in program.still)
        if not bool(jnp.all(jnp.isfinite(x))):
            return layers[number].name, "its outputs"
    if not bool(jnp.all(jnp.isfinite(loss(x, labels)))):
        return layers[-1].name, "the loss of its logits"
    return (layers[-1].name, "the penalty on the kernels") if rows is None else None
