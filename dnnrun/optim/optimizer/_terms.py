"""What the optimizers share: the bounds of their options and the decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from dnnrun.optim import is_zero

if TYPE_CHECKING:
    import optax

# In float32 a decay nearer to 1 rounds to 1 and its bias correction divides by zero.
Decay = Annotated[float, Field(ge=0, le=0.999999)]
# A smaller number is zero in float32, and a zero gradient would be divided by it.
Epsilon = Annotated[float, Field(ge=1e-30)]


def with_weight_decay(
    direction: optax.GradientTransformation, weight_decay: float, decays: Callable[[str], bool]
) -> optax.GradientTransformation:
    """`direction` plus `weight_decay` times each tensor that decays; `direction` itself, with no state, when it is 0.

    The sum is what the learning rate multiplies: theta <- theta - rate * (direction + weight_decay * theta)
    (Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2).
    """
    if is_zero(weight_decay):
        return direction
    import optax

    def mask(tensors):
        return type(tensors)({name: decays(name) for name in tensors})

    return optax.chain(direction, optax.add_decayed_weights(weight_decay, mask=mask))
