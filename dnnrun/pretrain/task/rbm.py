"""Restricted Boltzmann machines: the gradient of contrastive divergence, and how well they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from dnnrun.nn.architecture import Tensor
from dnnrun.nn.network import Split, Tensors
from dnnrun.pretrain.stage import Stage
from dnnrun.train.task import LOSS, Batch, Measure, Penalty, Slopes, Task

MSE = Measure("reconstruction_mse", "squares")
ENERGY = Measure("free_energy", "energies")
PSEUDO = Measure("pseudo_likelihood", "pseudo")
COUNT = "pseudo_rows"  # over how many rows the pseudo-likelihood is summed up
EVERY = 4  # steps of CD-1 between two looks at it: each costs as much as a sixth of a step
ENUMERABLE = 20  # units of the smaller side whose states are all gone through for the exact likelihood


@dataclass(frozen=True)
class Rbm(Task):
    """p(v, h) ~ exp(-E), E = -v.b - h.c - v.W.h for Bernoulli units; with (v - b)^2 / 2 for -v.b, Gaussian inputs.

    W and c are the kernel and the bias of the layer, b the bias of `visible`. The gradient is that of
    mean F(v) - mean F(v-), where v- ends a Gibbs chain of k steps that begins with the batch, or goes on where that of
    the step before ended (`persistent`); F(v) = -log sum_h exp(-E). Positive and negative statistics take the hidden
    units' probabilities, v- is sampled. The reconstruction of a row is E[v | h] of a draw of h given the row.
    """

    split: Split
    stage: Stage
    gaussian: bool
    k: int
    persistent: bool

    @property
    def measures(self):  # type: ignore[override]
        return (LOSS, MSE, ENERGY) if self.gaussian else (LOSS, MSE, ENERGY, PSEUDO, Measure(COUNT, COUNT))

    @property
    def names(self) -> tuple[str, ...]:
        return self.stage.names

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.stage.tensors

    @property
    def layer(self) -> str:
        return self.stage.learns[0]

    @property
    def visible(self) -> str:
        return f"visible{self.stage.depth}"

    def weights(self, tensors: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """W (visible, hidden), b (visible,), c (hidden,)."""
        return tensors[f"{self.layer}/kernel"], tensors[f"{self.visible}/bias"], tensors[f"{self.layer}/bias"]

    def slopes(self, params: Tensors, rest: Tensors, batch: Batch, penalty: Penalty) -> Slopes:
        w, b, c = self.weights(params)
        v = self._inputs({**rest, **params}, batch)
        n = len(v)
        before = v @ w + c
        h = jax.nn.sigmoid(before)
        key, chain = batch.draws, f"{self.visible}/chain"
        draws = jax.random.uniform(key, (n, h.shape[1] + v.shape[1]))  # one call: its overhead counts here
        drawn = (draws[:, : h.shape[1]] < h).astype(jnp.float32)
        reconstruction = self.mean_visible(w, b, drawn)
        first = self.mean_visible(w, b, rest[chain]) if self.persistent else reconstruction
        if self.gaussian:
            negative = self._drawn(first, jax.random.fold_in(key, 1))
        else:
            negative = (draws[:, h.shape[1] :] < first).astype(jnp.float32)

        def gibbs(step: jax.Array, v: jax.Array) -> jax.Array:
            one, two = jax.random.split(jax.random.fold_in(key, step + 2))
            return self.sample_visible(w, b, sample(jax.nn.sigmoid(v @ w + c), one), two)

        if self.k > 1:
            negative = lax.fori_loop(0, self.k - 1, gibbs, negative)
        away = jax.nn.sigmoid(negative @ w + c)
        statistics = {chain: sample(away, jax.random.fold_in(key, self.k + 1))} if self.persistent else {}
        gradients = {
            f"{self.layer}/kernel": jnp.concatenate([negative, v]).T @ jnp.concatenate([away, -h]) / n,
            f"{self.visible}/bias": (negative - v).mean(0),
            f"{self.layer}/bias": (away - h).mean(0),
        }
        if (more := penalty(params)) is not None and not isinstance(more, float):
            extra = jax.grad(penalty)(params)
            gradients = {name: value + extra[name] for name, value in gradients.items()}
        squares = jnp.square(reconstruction - v).mean(-1)
        sums = {LOSS.sum: squares.sum(), MSE.sum: squares.sum(), ENERGY.sum: self._energy(v, before, b).sum()}
        if not self.gaussian:
            every = 1 if self.k > 1 else EVERY
            bits = jnp.full(n, batch.number // every % len(b))
            here = batch.number % every == 0
            found = lax.cond(here, lambda: self._pseudo(w, b, c, v, bits).sum(), lambda: jnp.float32(0))
            sums |= {PSEUDO.sum: found, COUNT: jnp.where(here, jnp.float32(n), 0)}
        total = gradients[f"{self.visible}/bias"].sum() + gradients[f"{self.layer}/bias"].sum()
        return Slopes(total, gradients, statistics, sums)

    def scores(self, tensors: Tensors, batch: Batch) -> Mapping[str, jax.Array]:
        w, b, c = self.weights(tensors)
        v = self._inputs(tensors, batch)
        before = v @ w + c
        drawn = sample(jax.nn.sigmoid(before), batch.draws)
        squares = jnp.square(self.mean_visible(w, b, drawn) - v).mean(-1)
        found = {LOSS.sum: squares, MSE.sum: squares, ENERGY.sum: self._energy(v, before, b)}
        if not self.gaussian:
            bits = (batch.number * len(v) + jnp.arange(len(v))) % len(b)
            found |= {PSEUDO.sum: self._pseudo(w, b, c, v, bits), COUNT: jnp.ones(len(v))}
        return found

    def metrics(self, sums: Mapping[str, Any], rows: int) -> dict[str, float]:
        found = super().metrics(sums, rows)
        if not self.gaussian:
            found[PSEUDO.metric] = float(sums[PSEUDO.sum]) / max(float(sums[COUNT]), 1.0)
            del found[COUNT]
        return found

    def _inputs(self, tensors: Tensors, batch: Batch) -> jax.Array:
        """What the layer takes, (n, visible)."""
        if batch.first == self.stage.first:
            return batch.x
        network = self.split.merge(self.split.whole(tensors))
        return network(batch.x, first=batch.first, last=self.stage.first)

    def mean_visible(self, w: jax.Array, b: jax.Array, h: jax.Array) -> jax.Array:
        """E[v | h]."""
        x = h @ w.T + b
        return x if self.gaussian else jax.nn.sigmoid(x)

    def sample_visible(self, w: jax.Array, b: jax.Array, h: jax.Array, key: jax.Array) -> jax.Array:
        """A draw of v given h."""
        return self._drawn(self.mean_visible(w, b, h), key)

    def _drawn(self, mean: jax.Array, key: jax.Array) -> jax.Array:
        return mean + jax.random.normal(key, mean.shape) if self.gaussian else sample(mean, key)

    def free_energy(self, tensors: Mapping[str, Any], v: jax.Array) -> jax.Array:
        """F(v), (n,)."""
        w, b, c = self.weights(tensors)
        return self._energy(v, v @ w + c, b)

    def _energy(self, v: jax.Array, before: jax.Array, b: jax.Array) -> jax.Array:
        own = jnp.square(v - b).sum(-1) / 2 if self.gaussian else -(v @ b)
        return own - softplus(before).sum(-1)

    def _pseudo(self, w: jax.Array, b: jax.Array, c: jax.Array, v: jax.Array, bits: jax.Array) -> jax.Array:
        """width * log p(bit i | the others) of the rounded rows, one bit i a row: a draw of the pseudo-likelihood."""
        v = jnp.round(v)
        bit = jnp.take_along_axis(v, bits[:, None], axis=1)
        before = v @ w + c
        flip = 1 - 2 * bit
        energy = softplus(before).sum(-1)
        flipped = softplus(before + flip * w[bits]).sum(-1)
        change = -(flip[:, 0] * b[bits]) - flipped + energy  # F of the flipped row minus F of the row
        return len(b) * jax.nn.log_sigmoid(change)

    def exact_pseudo_likelihood(self, tensors: Mapping[str, Any], v: jax.Array) -> jax.Array:
        """The sum over every bit of log p(bit | the others), (n,), of the rounded rows (n, visible)."""
        w, b, c = self.weights(tensors)
        one = jax.jit(lambda bit: self._pseudo(w, b, c, v, jnp.full(len(v), bit)) / len(b))
        return sum((one(jnp.int32(bit)) for bit in range(len(b))), jnp.zeros(len(v)))

    def log_partition(self, tensors: Mapping[str, Any]) -> jax.Array | None:
        """log Z, every state of the smaller side gone through; None where that has too many."""
        w, b, c = self.weights(tensors)
        visible, hidden = w.shape
        if hidden <= ENUMERABLE:
            h = states(hidden)
            x = h @ w.T + b
            if self.gaussian:  # the integral of exp(-(v - b)^2 / 2 + v.W.h) over v
                wide = h @ w.T
                inside = (jnp.square(wide) / 2 + wide * b).sum(-1) + visible * jnp.log(2 * jnp.pi) / 2
            else:
                inside = jax.nn.softplus(x).sum(-1)
            return jax.scipy.special.logsumexp(h @ c + inside)
        if visible <= ENUMERABLE and not self.gaussian:
            return jax.scipy.special.logsumexp(-self.free_energy(tensors, states(visible)))
        return None

    def samples(self, tensors: Mapping[str, Any], start: jax.Array, key: jax.Array, steps: int) -> jax.Array:
        """The mean visible units of chains that begin with rows `start`, after so many Gibbs steps."""
        w, b, c = self.weights(tensors)

        @jax.jit
        def run(v: jax.Array) -> jax.Array:
            def gibbs(step: jax.Array, v: jax.Array) -> jax.Array:
                one, two = jax.random.split(jax.random.fold_in(key, step))
                return self.sample_visible(w, b, sample(jax.nn.sigmoid(v @ w + c), one), two)

            v = lax.fori_loop(0, steps, gibbs, v)
            return self.mean_visible(w, b, jax.nn.sigmoid(v @ w + c))

        return run(start)


def sample(probabilities: jax.Array, key: jax.Array) -> jax.Array:
    """0 or 1, as float32."""
    return (jax.random.uniform(key, probabilities.shape) < probabilities).astype(jnp.float32)


def softplus(x: jax.Array) -> jax.Array:
    """log(1 + exp(x)), without what jax.nn's does for its gradient."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def states(units: int) -> jax.Array:
    """Every state of so many binary units, (2^units, units) float32."""
    return ((jnp.arange(2**units)[:, None] >> jnp.arange(units)) & 1).astype(jnp.float32)
