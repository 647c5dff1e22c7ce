"""The network as Flax modules, built from its architecture, and its tensors as flat dicts, name -> array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dnnrun.nn.architecture import Architecture, Layer
from dnnrun.streams import generator

Tensors = dict[str, Any]


class Learnable(nnx.Module):
    """The tensors that an activation learns."""

    def __init__(self, layer: Layer):
        for name, what in layer.activation.learned(layer.units).items():
            setattr(self, name, nnx.Param(jnp.full(what.shape, what.start)))


class Dense(nnx.Module):
    """A dense layer with its batch normalization, activation and dropout; (batch, fan_in) to (batch, units).

    `precision` is what it multiplies and adds in; its tensors, and the means of batch norm, are float32 all the same.
    """

    def __init__(self, layer: Layer, precision: str = "float32"):
        self.layer, self.precision = layer, jnp.dtype(precision)
        self.kernel = nnx.Param(jnp.zeros((layer.fan_in, layer.units)))
        self.bias = nnx.Param(jnp.zeros(layer.units)) if layer.bias else None
        self.batch_norm = _batch_norm(layer)
        self.activation = Learnable(layer)
        self.function = layer.activation.build()

    def pre_activation(self, x: jax.Array) -> jax.Array:
        """x @ kernel + bias, before any normalization."""
        x = x.astype(self.precision) @ self.kernel[...].astype(self.precision)
        return x if self.bias is None else x + self.bias[...].astype(self.precision)

    def activate(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        """The activation with its learned tensors; drawn from `key` where it is random and in training."""
        options: dict[str, Any] = {
            name: getattr(self.activation, name)[...] for name in self.layer.activation.learned(self.layer.units)
        }
        if self.layer.activation.random:
            options["key"] = key
        return self.function(x, **options)

    def activation_input(self, x: jax.Array, *, stored: bool) -> jax.Array:
        """What the activation is applied to: normalized, where batch norm comes before it."""
        x = self.pre_activation(x)
        norm = self.layer.batch_norm
        if norm and self.batch_norm is not None and norm.position == "before":
            x = self.batch_norm(x, use_running_average=stored)
        return x

    def finish(self, x: jax.Array, *, key: jax.Array | None, stored: bool) -> jax.Array:
        """The layer's outputs, from what its activation is applied to."""
        x = self.activate(x, None if key is None else jax.random.fold_in(key, 0))
        norm = self.layer.batch_norm
        if norm and self.batch_norm is not None and norm.position == "after":
            x = self.batch_norm(x, use_running_average=stored)
        return x if key is None else dropout(x, self.layer.dropout, jax.random.fold_in(key, 1))

    def __call__(self, x: jax.Array, *, key: jax.Array | None, still: bool) -> jax.Array:
        """`key` is None in evaluation; `still` keeps batch norm on its stored statistics and leaves them alone."""
        stored = still or key is None
        return self.finish(self.activation_input(x, stored=stored), key=key, stored=stored)


def _batch_norm(layer: Layer) -> nnx.BatchNorm | None:
    if not (norm := layer.batch_norm):
        return None
    found = nnx.BatchNorm(
        layer.units,
        momentum=norm.momentum,
        epsilon=norm.epsilon,
        use_scale=False,
        use_bias=False,
        rngs=nnx.Rngs(),
    )
    # Given here, not by BatchNorm: the keys it would draw for them take time that grows with the layers' square.
    if norm.scale:
        found.scale = nnx.Param(jnp.ones(layer.units))
    if norm.center:
        found.bias = nnx.Param(jnp.zeros(layer.units))
    return found


class Network(nnx.Module):
    """Hidden layers in order, then outputs; each an attribute under its layer's name."""

    def __init__(self, architecture: Architecture, precision: str = "float32"):
        self.architecture = architecture
        for layer in architecture.layers:
            setattr(self, layer.name, Dense(layer, precision))

    def __call__(
        self,
        x: jax.Array,
        *,
        key: jax.Array | None = None,
        still: frozenset[str] = frozenset(),
        first: int = 0,
        last: int | None = None,
    ) -> jax.Array:
        """Logits (batch, outputs) float32 of inputs (batch, features), whatever the precision between.

        With a `key` in training mode, else in evaluation. Layers named in `still` keep their batch-norm statistics.
        `first` and `last` cut a slice of the layers, as for lists: `first` above 0 takes that layer's inputs as x.
        """
        layers = self.architecture.layers
        if key is not None and first == 0:
            x = dropout(x, self.architecture.input_dropout, jax.random.fold_in(key, len(layers)))
        for number in range(first, len(layers) if last is None else last):
            name = layers[number].name
            own = None if key is None else jax.random.fold_in(key, number)
            x = getattr(self, name)(x, key=own, still=name in still)
        return x.astype(jnp.float32)


def dropout(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
    """Inverted dropout: a share `rate` of the values becomes 0, the rest grows by 1 / (1 - rate)."""
    if rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


class Split:
    """A network without its tensors: what `nnx.split` leaves, and the way back for a flat dict of tensors."""

    def __init__(self, architecture: Architecture, precision: str = "float32"):
        self.architecture, self.precision = architecture, precision
        self.graph, _ = nnx.split(nnx.eval_shape(lambda: Network(architecture, precision)))

    def merge(self, tensors: Mapping[str, Any]) -> Network:
        """The network with these tensors, name -> array; a copy, so that a trace can change it."""
        return nnx.merge(self.graph, nnx.State(nested(tensors)), copy=True)

    def whole(self, tensors: Mapping[str, Any]) -> Tensors:
        """Those of `tensors` that are the network's, and empty ones for layers that are not called: the graph has a
        place for them."""
        own = {tensor.name for tensor in self.architecture.tensors}
        absent = (name for name in own if name not in tensors)
        return {**dict.fromkeys(absent, jnp.zeros(())), **{n: value for n, value in tensors.items() if n in own}}

    @staticmethod
    def statistics(network: Network) -> Tensors:
        """The moving statistics as they stand in `network`."""
        found = nnx.to_flat_state(nnx.as_pure(nnx.state(network, nnx.BatchStat)))
        return {"/".join(str(part) for part in path): value for path, value in found}


def initial_tensors(architecture: Architecture, seed: int) -> dict[str, np.ndarray]:
    """Every tensor's first value, float32. A layer's draws depend on the seed and its name, not on other layers."""
    found: dict[str, np.ndarray] = {}
    for layer in architecture.layers:
        draw = layer.initializer.build()
        for tensor in layer.tensors:
            if tensor.start is None:
                rng = generator(seed, "initialize", tensor.name)
                found[tensor.name] = draw(rng, (layer.fan_in, layer.units))
            else:
                found[tensor.name] = np.full(tensor.shape, tensor.start, np.float32)
    return found


def nested(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """A flat dict of names with slashes as nested dicts, as a Flax state has it."""
    found: dict[str, Any] = {}
    for name, value in tensors.items():
        *path, last = name.split("/")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found
