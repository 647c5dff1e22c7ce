"""Optimizers: one class each, built on optax without a learning rate, which the training step applies last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from dnnrun.component import Component
from dnnrun.optim.schedule import Schedule

if TYPE_CHECKING:
    import optax


class Optimizer(Component):
    """A direction of descent. A step changes a tensor by minus the learning rate times the direction.

    `build` returns the direction alone, without the learning rate; decoupled weight decay is part of it and touches
    only the tensors for which `decays(name)` is true (kernels: neither biases, nor batch norm, nor learned slopes).
    """

    family: ClassVar[str] = "optimizers"
    home: ClassVar[str] = "dnnrun.optim.optimizer"

    learning_rate: Schedule
    weight_decay: float = Field(0.0, ge=0, description="decoupled: this times the kernel is added to the direction")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        """The transformation of a flat dict of gradients, name -> array."""
        raise TypeError(f"{type(self).__name__} does not say how it descends")
