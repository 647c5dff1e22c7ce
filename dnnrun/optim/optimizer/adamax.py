"""Adam with the infinity norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.optimizer._terms import Decay, Epsilon, with_weight_decay
from dnnrun.optim.optimizer.adam import MomentOptions
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Adamax(MomentOptions):
    """Adam with the largest recent gradient in place of the mean square.

    m <- beta1 * m + (1 - beta1) * g; u <- max(beta2 * u, |g| + epsilon); theta <- theta - rate * m / (1 - beta1^t) / u
    (Kingma and Ba 2015, algorithm 2). epsilon stands beside |g|, as in PyTorch; Keras adds its 1e-7 to u.
    """

    type: Literal["adamax"] = "adamax"
    learning_rate: Schedule = Constant(value=0.001)
    beta2: Decay = Field(0.999, description="how much of the largest size is left after a step")
    epsilon: Epsilon = Field(1e-8, description="added to the size of the gradient")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        direction = optax.scale_by_adamax(self.beta1, self.beta2, self.epsilon)
        return with_weight_decay(direction, self.weight_decay, decays)
