"""What a step minimises: a task gives the gradient of a batch and the sums that its metrics are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.nn.architecture import Tensor
from dnnrun.nn.network import Split, Tensors

Losses = Callable[[jax.Array, jax.Array], jax.Array]
Penalty = Callable[[Tensors], Any]


class Measure(NamedTuple):
    """A metric: the name of its sum over rows in TrainState, and the type of that."""

    metric: str
    sum: str
    dtype: Any = np.float32


LOSS = Measure("loss", "loss_sum")
ACCURACY = Measure("accuracy", "correct", np.int32)


@dataclass(frozen=True)
class Batch:
    """Rows that a step learns from, or that are evaluated together.

    x: (n, width) float32, the inputs of layer number `first`. labels: (n,) int32 or (n, targets) float32. `draws` is
    the key of every random draw, `number` that of the step, or in evaluation of the block. `still` names the layers
    whose batch norm keeps its stored statistics in training. weights: (n,) float32, how much each row counts in what is
    minimised; None where all count the same, and in evaluation.
    """

    x: jax.Array
    labels: jax.Array
    draws: jax.Array
    number: jax.Array
    first: int = 0
    training: bool = False
    still: frozenset[str] = frozenset()
    weights: jax.Array | None = None

    @property
    def key(self) -> jax.Array | None:
        """What a network draws from in training, None in evaluation."""
        return self.draws if self.training else None


class Slopes(NamedTuple):
    """What a step needs of its batch. `total` must be finite; `sums` are over the batch, by the names of the measures;
    `statistics` holds every tensor that moves without a gradient."""

    total: jax.Array
    gradients: Tensors
    statistics: Tensors
    sums: Mapping[str, jax.Array]


class Task(ABC):
    """What is minimised over a network and, where a task has some, tensors of its own.

    `split` is the network: of its layers the first ones may be frozen and cached. `rows` is how many rows of a batch
    make one example.
    """

    split: Split
    measures: ClassVar[Sequence[Measure]] = (LOSS,)
    rows: ClassVar[int] = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The layers in order, those of the network first."""
        return self.split.architecture.names

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor, named `layer/what`."""
        return self.split.architecture.tensors

    @abstractmethod
    def slopes(self, params: Tensors, rest: Tensors, batch: Batch, penalty: Penalty) -> Slopes:
        """The gradient by `params` of the mean loss and the penalty; `rest` are all other tensors."""

    @abstractmethod
    def scores(self, tensors: Tensors, batch: Batch) -> Mapping[str, jax.Array]:
        """What is summed up in evaluation, by the names of the measures: a number an example each."""

    def metrics(self, sums: Mapping[str, Any], rows: int) -> dict[str, float]:
        """The metrics of sums over so many rows."""
        count = rows / self.rows
        return {measure.metric: np.asarray(sums[measure.sum]).item() / count for measure in self.measures}


class Differentiable(Task):
    """A task whose gradient is that of its loss."""

    @abstractmethod
    def losses(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, Mapping[str, jax.Array], Tensors]:
        """One loss an example, the batch's sums of the measures but the loss, and the statistics as they moved."""

    def slopes(self, params: Tensors, rest: Tensors, batch: Batch, penalty: Penalty) -> Slopes:
        def total_loss(params: Tensors):
            losses, sums, statistics = self.losses({**rest, **params}, batch)
            return losses.mean() + penalty(params), ({LOSS.sum: losses.sum(), **sums}, statistics)

        (total, (sums, statistics)), gradients = jax.value_and_grad(total_loss, has_aux=True)(params)
        return Slopes(total, gradients, statistics, sums)


@dataclass(frozen=True)
class Classification(Differentiable):
    """Classes from rows. loss, evaluation_loss: logits (n, outputs), labels (n,) -> losses (n,)."""

    split: Split
    loss: Losses
    evaluation_loss: Losses
    measures = (LOSS, ACCURACY)

    def losses(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, Mapping[str, jax.Array], Tensors]:
        network = self.split.merge(self.split.whole(tensors))
        logits = network(batch.x, key=batch.key, still=batch.still, first=batch.first)
        correct = jnp.sum(jnp.argmax(logits, -1) == batch.labels, dtype=jnp.int32)
        losses = self.loss(logits, batch.labels)
        losses = losses if batch.weights is None else losses * batch.weights
        return losses, {ACCURACY.sum: correct}, self.split.statistics(network)

    def scores(self, tensors: Tensors, batch: Batch) -> Mapping[str, jax.Array]:
        logits = self.split.merge(self.split.whole(tensors))(batch.x, first=batch.first)
        hits = jnp.argmax(logits, -1) == batch.labels
        return {LOSS.sum: self.evaluation_loss(logits, batch.labels), ACCURACY.sum: hits}


def zeros(measures: Iterable[Measure]) -> dict[str, np.ndarray]:
    """The sums before the first step."""
    return {measure.sum: np.zeros((), measure.dtype) for measure in measures}
