"""Auxiliary tasks: a head on top of the layers that tells good rows from bad ones, or like pairs from unlike ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import Tensor
from dnnrun.nn.network import Split, Tensors
from dnnrun.pretrain.stage import Stage
from dnnrun.pretrain.task.measured import Measured
from dnnrun.train.task import LOSS, Batch, Measure

HITS = Measure("accuracy", "hits")
TWIN = "twin_"


@dataclass(frozen=True)
class GoodOrBad(Measured):
    """A logit a row: real, or corrupted. With a `margin`, a score: a row's must be that much above its corruption's.

    Without: logistic loss, the mean over a row and its corruption. With: max(0, margin - score + bad score)
    (Collobert and Weston, 2008). accuracy: the share told right; with a margin, the share of rows scored higher.
    """

    split: Split
    corrupt: Callable[[jax.Array, jax.Array], jax.Array]
    margin: float | None = None
    measures = (LOSS, HITS)

    def run(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, jax.Array, Tensors]:
        network = self.split.merge(self.split.whole(tensors))
        bad_rows = self.corrupt(batch.x, jax.random.fold_in(batch.draws, len(self.names)))
        scores = network(jnp.concatenate([batch.x, bad_rows]), key=batch.key, still=batch.still)[:, 0]
        good, bad = jnp.split(scores, 2)
        statistics = self.split.statistics(network)
        if self.margin is not None:
            return jax.nn.relu(self.margin - good + bad), (good > bad).astype(jnp.float32), statistics
        losses = (jnp.logaddexp(0, -good) + jnp.logaddexp(0, bad)) / 2
        return losses, ((good > 0).astype(jnp.float32) + (bad <= 0)) / 2, statistics


@dataclass(frozen=True)
class Pairs(Measured):
    """Whether two rows, one after the other in the batch, are of one class: two towers, joined, then a logit.

    The second tower has weights of its own, or those of the first where `shared`.
    """

    split: Split
    stage: Stage
    shared: bool
    joint: Activation
    measures = (LOSS, HITS)
    rows = 2

    @property
    def names(self) -> tuple[str, ...]:
        return self.stage.names

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.stage.tensors

    def run(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, jax.Array, Tensors]:
        same = batch.labels[0::2] == batch.labels[1::2]
        first, statistics = self.tower(tensors, batch, 0)
        second, others = self.tower(tensors, batch, 1)
        logits = self.match(tensors, first, second)
        hits = ((logits > 0) == same).astype(jnp.float32)
        return jnp.logaddexp(0, jnp.where(same, -logits, logits)), hits, {**statistics, **others}

    def tower(self, tensors: Tensors, batch: Batch, which: int) -> tuple[jax.Array, Tensors]:
        """What the first (0) or second tower makes of its rows of the batch, and its statistics as they moved."""
        twin = bool(which) and not self.shared
        mark = TWIN if twin else ""
        own = {name.removeprefix(mark): value for name, value in tensors.items() if name.startswith(mark)}
        network = self.split.merge(self.split.whole({n: v for n, v in own.items() if not n.startswith(TWIN)}))
        key = None if batch.key is None else jax.random.fold_in(batch.key, which)
        x = network(batch.x[which::2], key=key, still=batch.still)
        return x, {mark + name: value for name, value in self.split.statistics(network).items()}

    def match(self, tensors: Mapping[str, jax.Array], first: jax.Array, second: jax.Array) -> jax.Array:
        """The logit that rows of the two towers' outputs (n, units) are of one class, (n,)."""
        x = jnp.concatenate([first, second], axis=-1)
        x = self.joint.build()(x @ tensors["joint/kernel"] + tensors["joint/bias"])
        return (x @ tensors["match/kernel"] + tensors["match/bias"])[..., 0]


def as_rows(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rows of pairs, one after the other: first, second, first, second, ..."""
    return np.stack([first, second], axis=1).reshape(-1, *first.shape[1:])
