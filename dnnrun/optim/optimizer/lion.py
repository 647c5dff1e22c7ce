"""Lion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.optimizer._terms import Decay, with_weight_decay
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Lion(Optimizer):
    """The sign of an average of gradients.

    theta <- theta - rate * sign(beta1 * m + (1 - beta1) * g), then m <- beta2 * m + (1 - beta2) * g (Chen et al. 2023,
    algorithm 2). Every element moves by the whole rate, so take a rate 3 to 10 times smaller than adam's, and a
    weight_decay larger by the same factor.
    """

    type: Literal["lion"] = "lion"
    learning_rate: Schedule = Constant(value=1e-4)
    beta1: Decay = Field(0.9, description="the weight of the average against the gradient, in the direction")
    beta2: Decay = Field(0.99, description="the share of the old average that is kept")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        return with_weight_decay(optax.scale_by_lion(self.beta1, self.beta2), self.weight_decay, decays)
