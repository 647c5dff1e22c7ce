"""Tasks with one measure beside the loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import jax

from dnnrun.nn.network import Tensors
from dnnrun.train.task import Batch, Differentiable


class Measured(Differentiable):
    """A task whose `measures` are the loss and one more, both from one run of its network."""

    @abstractmethod
    def run(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, jax.Array, Tensors]:
        """The loss and the other measure, a number an example each, and the statistics as they moved."""

    def losses(self, tensors: Tensors, batch: Batch) -> tuple[jax.Array, Mapping[str, jax.Array], Tensors]:
        losses, values, statistics = self.run(tensors, batch)
        return losses, {self.measures[1].sum: values.sum()}, statistics

    def scores(self, tensors: Tensors, batch: Batch) -> Mapping[str, jax.Array]:
        losses, values, _ = self.run(tensors, batch)
        return {self.measures[0].sum: losses, self.measures[1].sum: values}
