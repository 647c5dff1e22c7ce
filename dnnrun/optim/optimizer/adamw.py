"""Adam with decoupled weight decay on by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.optimizer._terms import with_weight_decay
from dnnrun.optim.optimizer.adam import MomentOptions
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class AdamW(MomentOptions):
    """Adam with decoupled weight decay.

    theta <- theta - rate * (m / (sqrt(s) + epsilon) + weight_decay * theta), m and s as in adam (Loshchilov and Hutter
    2019, algorithm 2, with the rate as its schedule multiplier). Equal to adam with the same weight_decay; only the
    default differs.
    """

    type: Literal["adamw"] = "adamw"
    learning_rate: Schedule = Constant(value=0.001)
    weight_decay: float = Field(0.01, ge=0, description="decoupled: this times the kernel is added to the direction")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        direction = optax.scale_by_adam(self.beta1, self.beta2, self.epsilon)
        return with_weight_decay(direction, self.weight_decay, decays)
