"""The one-cycle policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.schedule import Duration, Horizon, Schedule
from dnnrun.optim.schedule._between import Shape, between, count

if TYPE_CHECKING:
    from jax import Array


class OneCycle(Schedule):
    """Up to a peak and down to almost nothing, in one run.

    From peak / start_divisor up to peak in the first warm_fraction of `over`, then down to peak / (start_divisor *
    final_divisor) (Smith 2018, "A disciplined approach to neural network hyper-parameters"; the divisors as
    in PyTorch). Steps count from 0: the peak is at step round(warm_fraction * over), at least 1, and the last rate is
    reached at step `over`, the first after it, and kept.
    """

    type: Literal["one_cycle"] = "one_cycle"
    peak: float = Field(gt=0, description="the largest rate")
    start_divisor: float = Field(25.0, ge=1, description="peak over the first rate")
    final_divisor: float = Field(1e4, ge=1, description="the first rate over the last one")
    warm_fraction: float = Field(0.3, gt=0, lt=1, description="the share of the steps that the rise takes")
    anneal: Shape = Field("cosine", description="the shape of both ways")
    over: Duration | None = Field(None, description="the length of the cycle; unset, the whole run")

    def depends_on_epochs(self) -> bool:
        return self.over is None

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        steps = self.over.in_steps(horizon) if self.over else horizon.steps_left()
        rise = max(1, round(self.warm_fraction * steps))
        fall = max(1, steps - rise)
        first = self.peak / self.start_divisor
        last = first / self.final_divisor

        def rate(step: Array) -> Array:
            at = count(step)
            up = between(first, self.peak, at, rise, self.anneal)
            return jnp.where(at < rise, up, between(self.peak, last, at - rise, fall, self.anneal))

        return rate
