"""Adam and AMSGrad, and the options that its descendants share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.optimizer._terms import Decay, Epsilon, with_weight_decay
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class MomentOptions(Optimizer):
    """The options of every optimizer that averages gradients (beta1) and their squares or sizes (beta2)."""

    beta1: Decay = Field(0.9, description="the share of the old average of gradients that is kept")
    beta2: Decay = Field(0.999, description="the share of the old average of squared gradients that is kept")
    epsilon: Epsilon = Field(1e-8, description="added to the root of the average of squares")


class Adam(MomentOptions):
    """Averages of gradients over the root of averages of their squares.

    m <- beta1 * m + (1 - beta1) * g; s <- beta2 * s + (1 - beta2) * g^2; at step t = 1, 2, ... both are divided by
    1 - beta^t; theta <- theta - rate * m / (sqrt(s) + epsilon) (Kingma and Ba 2015, algorithm 1). With amsgrad the
    divisor uses the largest bias-corrected s so far (Reddi, Kale and Kumar 2018); PyTorch and Keras take the largest
    before they correct it.
    """

    type: Literal["adam"] = "adam"
    learning_rate: Schedule = Constant(value=0.001)
    amsgrad: bool = Field(False, description="divide by the largest average of squares so far")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        scale = optax.scale_by_amsgrad if self.amsgrad else optax.scale_by_adam
        return with_weight_decay(scale(self.beta1, self.beta2, self.epsilon), self.weight_decay, decays)
