"""Gradient descent with heavy-ball momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.optimizer._terms import Decay, with_weight_decay
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Momentum(Optimizer):
    """Gradient descent with a velocity that sums past gradients.

    v <- momentum * v + g; theta <- theta - rate * v (Polyak 1964). The rate stays outside the velocity, as in PyTorch,
    so a change of the rate acts at once; at a constant rate Keras and TensorFlow take the same steps.
    """

    type: Literal["momentum"] = "momentum"
    learning_rate: Schedule = Constant(value=0.01)
    momentum: Decay = Field(0.9, description="the share of the velocity that is kept")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        return with_weight_decay(optax.trace(self.momentum), self.weight_decay, decays)
