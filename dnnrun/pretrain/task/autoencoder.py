"""Reconstruction of the inputs of some layers from their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import Tensor
from dnnrun.nn.network import Split, Tensors
from dnnrun.pretrain.stage import Stage
from dnnrun.pretrain.task.measured import Measured
from dnnrun.train.task import LOSS, Batch, Measure

SQUARES = Measure("reconstruction_mse", "squares")


@dataclass(frozen=True)
class Decoder:
    """The way back through a layer: activation(x @ kernel + bias), the kernel its own or that of `layer` transposed."""

    name: str
    layer: str
    tied: bool
    activation: Activation
    units: int

    def logits(self, tensors: Mapping[str, Any], x: jax.Array) -> jax.Array:
        """What the activation takes, (n, units)."""
        kernel = tensors[f"{self.layer}/kernel"].T if self.tied else tensors[f"{self.name}/kernel"]
        return x @ kernel + tensors[f"{self.name}/bias"]

    def __call__(self, tensors: Mapping[str, Any], x: jax.Array) -> jax.Array:
        """The inputs of the layer, (n, units), from its outputs."""
        learned = {what: tensors[f"{self.name}/activation/{what}"] for what in self.activation.learned(self.units)}
        options: dict[str, Any] = {**learned, "key": None} if self.activation.random else learned
        return self.activation.build()(self.logits(tensors, x), **options)


@dataclass(frozen=True)
class Autoencoder(Measured):
    """The mean over the values of (reconstruction - input)^2, or their cross-entropy (Hinton and Salakhutdinov, 2006).

    `decoders` go from the outputs of the encoder down. The encoder begins with layer number `below`; what that takes is
    the target, and what it gets is `noise` of it in training.
    """

    split: Split
    stage: Stage
    decoders: tuple[Decoder, ...]
    below: int
    cross_entropy: bool
    noise: Callable[[jax.Array, jax.Array], jax.Array] | None
    measures = (LOSS, SQUARES)

    @property
    def names(self) -> tuple[str, ...]:
        return self.stage.names

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.stage.tensors

    def reconstructions(self, tensors: Tensors, batch: Batch) -> jax.Array:
        """The target's reconstruction, (n, width)."""
        return self._reconstruct(tensors, batch)[2]

    def run(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, jax.Array, Tensors]:
        target, logits, found, statistics = self._reconstruct(tensors, batch)
        squares = jnp.square(found - target).mean(-1)
        if self.cross_entropy:
            return (jnp.logaddexp(0, logits) - target * logits).mean(-1), squares, statistics
        return squares, squares, statistics

    def _reconstruct(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array, Tensors]:
        """The target, the logits of its reconstruction, the reconstruction, and the statistics as they moved."""
        network = self.split.merge(self.split.whole(tensors))
        target = network(batch.x, first=batch.first, last=self.below) if batch.first < self.below else batch.x
        x = target
        if batch.training and self.noise is not None:
            x = self.noise(x, jax.random.fold_in(batch.draws, len(self.names)))
        x = network(x, key=batch.key, still=batch.still, first=self.below)
        for decoder in self.decoders[:-1]:
            x = decoder(tensors, x)
        last = self.decoders[-1]
        logits = last.logits(tensors, x)
        found = jax.nn.sigmoid(logits) if self.cross_entropy else last(tensors, x)
        return target, logits, found, self.split.statistics(network)
