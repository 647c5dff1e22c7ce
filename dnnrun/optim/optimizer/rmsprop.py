"""RMSProp, plain and centred, with or without momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from dnnrun.optim import is_zero
from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.optimizer._terms import Decay, Epsilon, with_weight_decay
from dnnrun.optim.schedule import Constant, Schedule

if TYPE_CHECKING:
    import optax


class Rmsprop(Optimizer):
    """Divides by the root of a moving average of squared gradients.

    s <- decay * s + (1 - decay) * g^2; d = g / sqrt(s + epsilon); theta <- theta - rate * d (Tieleman and Hinton 2012,
    lecture 6.5). With momentum, v <- momentum * v + d takes the place of d. Centred (Graves 2013, equations 38 to 41),
    the average m of the gradients is kept too and s - m^2 takes the place of s. epsilon stands inside the root, as in
    Keras and TensorFlow; PyTorch adds its 1e-8 outside. TensorFlow 1 starts s at 1 and has epsilon 1e-10.
    """

    type: Literal["rmsprop"] = "rmsprop"
    learning_rate: Schedule = Constant(value=0.001)
    decay: Decay = Field(0.9, description="the share of the old average that is kept")
    momentum: Decay = Field(0.0, description="the share of the velocity that is kept; 0 keeps no velocity")
    centered: bool = Field(False, description="divide by the spread of the gradients about their average")
    initial_accumulator: float = Field(0.0, ge=0, description="the average of squares before the first step")
    epsilon: Epsilon = Field(1e-7, description="added to the average, inside the root")

    def build(self, decays: Callable[[str], bool]) -> optax.GradientTransformation:
        import optax

        if self.centered:
            direction = _by_spread(self.decay, self.epsilon, self.initial_accumulator)
        else:
            direction = optax.scale_by_rms(self.decay, self.epsilon, self.initial_accumulator, eps_in_sqrt=True)
        if not is_zero(self.momentum):
            direction = optax.chain(direction, optax.trace(self.momentum))
        return with_weight_decay(direction, self.weight_decay, decays)


class SpreadState(NamedTuple):
    """The moving average and the moving variance of every gradient."""

    mean: Any
    variance: Any


def _by_spread(decay: float, epsilon: float, initial: float) -> optax.GradientTransformation:
    """Divides by sqrt(variance + epsilon).

    s - m^2 is kept as one number, updated by the deviation from the old average. The two are equal, but this one cannot
    cancel below zero, where a large and steady gradient takes the difference in float32 and its root is NaN.
    """
    import jax
    import jax.numpy as jnp
    import optax

    def init(params):
        return SpreadState(
            mean=jax.tree.map(jnp.zeros_like, params),
            variance=jax.tree.map(lambda x: jnp.full_like(x, initial), params),
        )

    def update(updates, state, params=None):
        del params
        away = jax.tree.map(lambda g, m: g - m, updates, state.mean)
        mean = jax.tree.map(lambda m, d: m + (1 - decay) * d, state.mean, away)
        variance = jax.tree.map(lambda v, d: decay * (v + (1 - decay) * d * d), state.variance, away)
        scaled = jax.tree.map(lambda g, v: g * jax.lax.rsqrt(v + epsilon), updates, variance)
        return scaled, SpreadState(mean, variance)

    return optax.GradientTransformation(init, update)
