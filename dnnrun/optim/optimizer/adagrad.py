"""AdaGrad."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.optimizer._terms import Epsilon, with_weight_decay
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Adagrad(Optimizer):
    """Divides by the root of the sum of all squared gradients so far.

    s <- s + g^2; theta <- theta - rate * g / sqrt(s + epsilon) (Duchi, Hazan and Singer 2011). epsilon stands inside
    the root, as in Keras; PyTorch adds its 1e-10 outside and starts from 0.
    """

    type: Literal["adagrad"] = "adagrad"
    learning_rate: Schedule = Constant(value=0.01)
    initial_accumulator: float = Field(0.1, ge=0, description="the sum of squares before the first step")
    epsilon: Epsilon = Field(1e-7, description="added to the sum, inside the root")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        direction = optax.scale_by_rss(self.initial_accumulator, eps=self.epsilon)
        return with_weight_decay(direction, self.weight_decay, decays)
