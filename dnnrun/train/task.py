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
    """A metric: the name of its sum over rows in TrainState, and the type and shape of that."""

    metric: str
    sum: str
    dtype: Any = np.float32
    shape: tuple[int, ...] = ()


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
class Supervised(Differentiable):
    """What is told of a row, learned from the rows of which it is known.

    loss, evaluation_loss: outputs (n, outputs), labels -> losses (n,). Weights of rows count in `loss` alone, in
    training: every metric counts each row once.
    """

    split: Split
    loss: Losses
    evaluation_loss: Losses

    @abstractmethod
    def judge(self, outputs: jax.Array, labels: jax.Array) -> Mapping[str, jax.Array]:
        """A number a row, or one for each target, (n, ...): what the sums of the measures but the loss are of."""

    def losses(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, Mapping[str, jax.Array], Tensors]:
        network = self.split.merge(self.split.whole(tensors))
        outputs = network(batch.x, key=batch.key, still=batch.still, first=batch.first)
        types = {measure.sum: measure.dtype for measure in self.measures}
        sums = {n: v.sum(0, dtype=types[n]) for n, v in self.judge(outputs, batch.labels).items()}
        losses = self.loss(outputs, batch.labels)
        losses = losses if batch.weights is None else losses * batch.weights
        return losses, sums, self.split.statistics(network)

    def scores(self, tensors: Tensors, batch: Batch) -> Mapping[str, jax.Array]:
        outputs = self.split.merge(self.split.whole(tensors))(batch.x, first=batch.first)
        return {LOSS.sum: self.evaluation_loss(outputs, batch.labels), **self.judge(outputs, batch.labels)}


@dataclass(frozen=True)
class Classification(Supervised):
    """Which class a row is of: that of the largest output; of one output, the second where it is above 0."""

    measures = (LOSS, ACCURACY)

    def judge(self, outputs: jax.Array, labels: jax.Array) -> Mapping[str, jax.Array]:
        found = (outputs[:, 0] > 0).astype(jnp.int32) if outputs.shape[-1] == 1 else jnp.argmax(outputs, -1)
        return {ACCURACY.sum: found == labels}


@dataclass(frozen=True)
class Multilabel(Supervised):
    """Which labels a row has: those with an output above 0. accuracy: the share of rows with every label right."""

    measures = (LOSS, ACCURACY)

    def judge(self, outputs: jax.Array, labels: jax.Array) -> Mapping[str, jax.Array]:
        return {ACCURACY.sum: jnp.all((outputs > 0) == (labels > 0.5), axis=-1)}


ROUNDED = 1e-5  # of a sum of squares in float32: less than this may be rounding alone


@dataclass(frozen=True)
class Regression(Supervised):
    """Numbers, from targets that are standardized; `std` gives the metrics back in the units of each target.

    rmse, mae and r2 are the mean over the targets of each one's own, as scikit-learn has it (uniform_average).
    """

    std: tuple[float, ...]

    @property
    def measures(self):  # type: ignore[override]
        shape = (len(self.std),)
        kinds = ("rmse", "squares"), ("mae", "distances"), ("r2", "targets"), ("", "target_squares")
        return (LOSS, *(Measure(metric, name, np.float32, shape) for metric, name in kinds))

    def judge(self, outputs: jax.Array, labels: jax.Array) -> Mapping[str, jax.Array]:
        away = outputs - labels
        return {
            "squares": jnp.square(away),
            "distances": jnp.abs(away),
            "targets": labels,
            "target_squares": jnp.square(labels),
        }

    def metrics(self, sums: Mapping[str, Any], rows: int) -> dict[str, float]:
        found = {name: np.asarray(value, np.float64) for name, value in sums.items()}
        std, squares = np.asarray(self.std), found["squares"]
        spread = found["target_squares"] - np.square(found["targets"]) / rows
        spread = np.where(spread > ROUNDED * found["target_squares"], spread, 0)  # targets that are all the same
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = np.where(spread > 0, 1 - squares / spread, np.where(squares > 0, 0.0, 1.0))
        return {
            "loss": found["loss_sum"].item() / rows,
            "rmse": float((np.sqrt(squares / rows) * std).mean()),
            "mae": float((found["distances"] / rows * std).mean()),
            "r2": float(r2.mean()),
        }


def zeros(measures: Iterable[Measure]) -> dict[str, np.ndarray]:
    """The sums before the first step."""
    return {measure.sum: np.zeros(measure.shape, measure.dtype) for measure in measures}
