"""Adam with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from dnnrun.optim.optimizer._terms import with_weight_decay
from dnnrun.optim.optimizer.adam import MomentOptions
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Nadam(MomentOptions):
    """Adam whose average of gradients looks one step ahead.

    As adam, with beta1 * m / (1 - beta1^(t+1)) + (1 - beta1) * g / (1 - beta1^t) in place of m / (1 - beta1^t) (Dozat
    2016, algorithm 2, with a constant beta1; Keras and PyTorch also raise beta1 slowly towards its value).
    """

    type: Literal["nadam"] = "nadam"
    learning_rate: Schedule = Constant(value=0.001)

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        direction = optax.scale_by_adam(self.beta1, self.beta2, self.epsilon, nesterov=True)
        return with_weight_decay(direction, self.weight_decay, decays)
