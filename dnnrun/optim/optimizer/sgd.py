"""Plain gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.optimizer._terms import with_weight_decay
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Sgd(Optimizer):
    """Stochastic gradient descent: a step along the gradient.

    theta <- theta - rate * g (Robbins and Monro 1951). It keeps no state.
    """

    type: Literal["sgd"] = "sgd"
    learning_rate: Schedule = Constant(value=0.01)

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        return with_weight_decay(optax.identity(), self.weight_decay, decays)
