"""What goes through each layer, forward and backward: sizes, shares and ranks of activations, gradients, updates.

A layer at a time, so that a network of a thousand equal layers compiles one layer; inside `jax.jit` it is one program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dnnrun.nn.architecture import OUTPUTS, Layer, layer_of
from dnnrun.nn.network import Dense, Tensors, dropout, nested
from dnnrun.train.program import Data, Program
from dnnrun.train.state import Taken, TrainState
from dnnrun.train.task import Supervised

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLE = 4096  # values that quantiles are taken of, evenly spread over a larger array
RANK_ROWS = 128  # rows that the effective rank is taken of
SATURATED = 0.1  # of the activation's steepest slope
DEAD = 0.01  # slope below which nothing to speak of comes back, for every row
Record = dict[str, dict[str, Any]]


def measure(program: Program, state: TrainState, frozen: Tensors, taken: Taken, key: jax.Array) -> Record:
    """The signals of every layer from `program.first` on, in training mode, without changing anything.

    The program's task must be Supervised.

    taken: the rows of the batch. key: the step's. For each layer: `pre_activation` (what the activation
    is applied to), `activation` (the layer's outputs) and `gradient` (of an example's loss by `pre_activation`; the
    back-propagated gradient of Glorot and Bengio, 2010) as {mean, std, quantiles}; `rank`, the effective rank of the
    outputs; `saturated` and `dead`, shares of values and of units, nan where the activation has no such thing;
    `kernel`, `kernel_gradient` and `update`, root mean squares, the last two of the whole loss and of what the step
    would change, 0 for a layer that does not learn.
    """
    tensors = {**frozen, **state.statistics, **state.params}
    task = program.task
    assert isinstance(task, Supervised)
    layers, precision = task.split.architecture.layers, task.split.precision
    x, weights = taken.x, 1.0 if taken.weights is None else taken.weights
    inputs: list[jax.Array] = []
    record: Record = {}
    if program.first == 0:
        x = dropout(x, task.split.architecture.input_dropout, jax.random.fold_in(key, len(layers)))
    owned = _by_layer(tensors)
    for number in range(program.first, len(layers)):
        name = layers[number].name
        inputs.append(x)
        forward, _ = _functions(_kind(layers[number]), name in program.still, precision)
        x, record[name] = forward(owned[name], x, key, np.int32(number))
    x = x.astype(jnp.float32)
    flowing = jax.jit(jax.grad(lambda logits: (task.loss(logits, taken.labels) * weights).mean()))(x)
    gradients: Tensors = {}
    for number in reversed(range(program.first, len(layers))):
        name = layers[number].name
        _, backward = _functions(_kind(layers[number]), name in program.still, precision)
        flowing, own, found = backward(owned[name], inputs.pop(), key, np.int32(number), flowing)
        gradients |= {f"{name}/{part}": value for part, value in own.items()}
        record[name] |= found
    _add_updates(record, program, state, tensors, gradients)
    return record


def compiled(program: Program) -> Callable[[TrainState, Tensors, Data, int], Record]:
    """`measure` for the batch of a step, as one compiled function of (state, frozen, data, step)."""

    def watch(state: TrainState, frozen: Tensors, data: Data, step: jax.Array) -> Record:
        taken = data.batch(step % program.objective.steps_per_epoch, program.objective.batch_size)
        return measure(program, state, frozen, taken, step_key(data, step))

    run = jax.jit(watch)
    return lambda state, frozen, data, step: run(state, frozen, data, np.int32(step))


def step_key(data: Data, step: Any) -> jax.Array:
    """The key that the step of this number draws from."""
    return jax.random.fold_in(jax.random.wrap_key_data(data.key, impl="threefry2x32"), step)


def on_host(record: Mapping[str, Any]) -> Record:
    """The record as plain numbers of five digits, None for nan; one transfer for all of them."""
    values = jax.tree.map(lambda value: jax.tree.map(_number, value.tolist()), jax.device_get(record))
    order = sorted(values, key=lambda name: (name == OUTPUTS, len(name), name))  # JAX sorts hidden10 before hidden2
    return {name: values[name] for name in order}


def _number(value: Any) -> Any:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _by_layer(tensors: Mapping[str, Any]) -> dict[str, Tensors]:
    found: dict[str, Tensors] = {}
    for name, value in tensors.items():
        found.setdefault(layer_of(name), {})[name.partition("/")[2]] = value
    return found


def _kind(layer: Layer) -> Layer:
    """The layer without its name: equal layers share their compiled functions."""
    return replace(layer, name="", why_initializer="", initializer=None)  # type: ignore[arg-type]


@cache
def _functions(layer: Layer, still: bool, precision: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    graph, _ = nnx.split(nnx.eval_shape(lambda: Dense(layer, precision)))
    bounded, steepest = _shape(layer)

    def merged(tensors: Tensors) -> Dense:
        return nnx.merge(graph, nnx.State(nested(tensors)), copy=True)

    def before(tensors: Tensors, x: jax.Array) -> jax.Array:
        return merged(tensors).activation_input(x, stored=still)

    def after(tensors: Tensors, x: jax.Array, key: jax.Array) -> jax.Array:
        return merged(tensors).finish(x, key=key, stored=still)

    def forward(tensors: Tensors, x: jax.Array, key: jax.Array, number: jax.Array):
        key = jax.random.fold_in(key, number)
        z = before(tensors, x)
        a = after(tensors, z, key)
        own = jax.random.fold_in(key, 0)
        _, slope = jax.jvp(lambda z: merged(tensors).activate(z, own), (z,), (jnp.ones_like(z),))
        slope = jnp.abs(slope)
        missing = jnp.float32(jnp.nan)
        found = {
            "pre_activation": _spread(z),
            "activation": _spread(a),
            "rank": effective_rank(a[:RANK_ROWS].astype(jnp.float32)),
            "saturated": jnp.mean(slope < SATURATED * steepest) if bounded else missing,
            "dead": missing if bounded else jnp.mean(jnp.max(slope, 0) < DEAD),
        }
        return a, found

    def backward(tensors: Tensors, x: jax.Array, key: jax.Array, number: jax.Array, flowing: jax.Array):
        key = jax.random.fold_in(key, number)
        z, to_inputs = jax.vjp(before, tensors, x)
        _, to_z = jax.vjp(lambda tensors, z: after(tensors, z, key), tensors, z)
        above, by_z = to_z(flowing.astype(jax.eval_shape(after, tensors, z, key).dtype))
        below, by_x = to_inputs(by_z)
        own = {name: above[name] + below[name] for name in tensors}
        return by_x, own, {"gradient": _spread(by_z * x.shape[0])}

    return jax.jit(forward), jax.jit(backward)


def _shape(layer: Layer) -> tuple[bool, float]:
    """Whether the activation is bounded on both sides, and its steepest slope."""
    options: dict[str, Any] = {name: jnp.full(w.shape, w.start) for name, w in layer.activation.learned(1).items()}
    if layer.activation.random:
        options["key"] = None
    function = layer.activation.build()
    with jax.ensure_compile_time_eval():
        far = jnp.abs(function(jnp.array([[-1e4], [1e4]], jnp.float32), **options))
        grid = jnp.linspace(-8, 8, 1601, dtype=jnp.float32)[:, None]
        _, slope = jax.jvp(lambda z: function(z, **options), (grid,), (jnp.ones_like(grid),))
        return bool(far.max() < 100), float(jnp.abs(slope).max())


def _spread(values: jax.Array) -> dict[str, jax.Array]:
    """Mean, standard deviation and quantiles of all values; the latter of a sample of a large array."""
    flat = values.astype(jnp.float32).reshape(-1)
    stride = max(1, flat.size // SAMPLE)
    while math.gcd(stride, values.shape[-1]) > 1:  # so that every unit is met
        stride += 1
    sample = jnp.sort(flat[::stride])
    at = jnp.array([round(q * (sample.size - 1)) for q in QUANTILES])
    # An overflow in the squares would hide a gradient of 1e20 that float32 still holds.
    largest = jnp.max(jnp.abs(flat))
    unit = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    scaled = flat / unit
    return {"mean": flat.mean(), "std": scaled.std() * unit, "quantiles": sample[at]}


def effective_rank(rows: jax.Array) -> jax.Array:
    """The participation ratio (sum e)^2 / sum e^2 of the covariance's eigenvalues e; 0 where all rows are equal.

    rows (n, units). From 1, where all examples lie on a line, to min(n - 1, units). It needs no decomposition: the sums
    are the trace and the squared norm of the Gram matrix. Abbott, Rajan and Sompolinsky, "Interactions between
    intrinsic and stimulus-evoked activity in recurrent neural networks" (2011), equation 5.
    """
    centred = rows - rows.mean(0)
    largest = jnp.max(jnp.abs(centred))
    centred = centred / jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    gram = centred @ centred.T if rows.shape[0] <= rows.shape[1] else centred.T @ centred
    return jnp.where(largest > 0, jnp.trace(gram) ** 2 / jnp.maximum(jnp.sum(gram * gram), 1e-30), 0)


def _add_updates(
    record: Record, program: Program, state: TrainState, tensors: Tensors, gradients: Mapping[str, Any]
) -> None:
    penalty = jax.grad(program.penalty)(state.params) if program.objective.l1 or program.objective.l2 else {}
    learned = {n: gradients[n] + penalty[n] if n in penalty else gradients[n] for n in state.params}
    rate = program.objective.rate(state.step) * state.rate_scale
    after, _ = program.update(state, learned, rate)
    for name, found in record.items():
        kernel = f"{name}/kernel"
        learns = kernel in state.params
        found["kernel"] = _rms(tensors[kernel])
        found["kernel_gradient"] = _rms(learned[kernel]) if learns else jnp.float32(0)
        found["update"] = _rms(after[kernel] - state.params[kernel]) if learns else jnp.float32(0)


@jax.jit
def _rms(values: jax.Array) -> jax.Array:
    largest = jnp.max(jnp.abs(values))
    unit = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return jnp.sqrt(jnp.mean((values / unit) ** 2)) * unit
