"""Exponential decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.schedule import Duration, Horizon, Schedule
from dnnrun.optim.schedule._between import count, elapsed

if TYPE_CHECKING:
    from jax import Array


class Exponential(Schedule):
    """Multiplied by a factor every so many steps, smoothly or in stairs.

    initial * factor^(step / every); staircase rounds the exponent down (Senior et al. 2013, "An empirical study of
    learning rates in deep neural networks for speech recognition").
    """

    type: Literal["exponential"] = "exponential"
    initial: float = Field(gt=0, description="the rate of the first step")
    factor: float = Field(0.1, gt=0, description="what the rate is multiplied by")
    every: Duration = Field(description="how long that takes")
    staircase: bool = Field(False, description="all at once at the end of each `every`")

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        every = self.every.in_steps(horizon)

        def rate(step: Array) -> Array:
            whole, rest = elapsed(count(step), every)
            exponent = whole if self.staircase else whole + rest
            return jnp.float32(self.initial * jnp.power(jnp.float32(self.factor), exponent))

        return rate
