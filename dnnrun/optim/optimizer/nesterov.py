"""Gradient descent with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.optimizer._terms import Decay, with_weight_decay
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Nesterov(Optimizer):
    """Momentum whose gradient looks one step ahead.

    v <- momentum * v + g; theta <- theta - rate * (g + momentum * v), with g taken at theta: Nesterov's accelerated
    gradient (1983) in the coordinates of Sutskever et al. 2013, section 2, as Keras, PyTorch and optax write it.
    """

    type: Literal["nesterov"] = "nesterov"
    learning_rate: Schedule = Constant(value=0.01)
    momentum: Decay = Field(0.9, description="the share of the velocity that is kept")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        return with_weight_decay(optax.trace(self.momentum, nesterov=True), self.weight_decay, decays)
