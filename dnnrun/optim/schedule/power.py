"""Inverse-time decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.schedule import Duration, Horizon, Schedule
from dnnrun.optim.schedule._between import count, elapsed

if TYPE_CHECKING:
    from jax import Array


class Power(Schedule):
    """Falls as a power of the time: to a half, a third, a quarter.

    initial / (1 + step / every)^exponent (Robbins and Monro 1951; in this form Bottou 2012, "Stochastic gradient
    descent tricks", section 5.2).
    """

    type: Literal["power"] = "power"
    initial: float = Field(gt=0, description="the rate of the first step")
    every: Duration = Field(description="how long until the rate is initial / 2^exponent")
    exponent: float = Field(1.0, gt=0, description="1 for the inverse of the time, 0.5 for its root")

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        every = self.every.in_steps(horizon)

        def rate(step: Array) -> Array:
            whole, rest = elapsed(count(step), every)
            return jnp.float32(self.initial / jnp.power(1 + whole + rest, jnp.float32(self.exponent)))

        return rate
