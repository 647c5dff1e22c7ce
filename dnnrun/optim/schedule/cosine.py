"""Cosine annealing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.schedule import Duration, Horizon, Schedule
from dnnrun.optim.schedule._between import between, count

if TYPE_CHECKING:
    from jax import Array


class Cosine(Schedule):
    """Half a cosine from the initial rate down to the final one.

    final + (initial - final) * (1 + cos(pi * step / over)) / 2 (Loshchilov and Hutter 2017, equation 5, one cycle).
    Steps count from 0, so `final` is reached at step `over`, the first after it, and kept; a run as long as `over` ends
    one step short of it and wastes none at rate 0.
    """

    type: Literal["cosine"] = "cosine"
    initial: float = Field(gt=0, description="the rate of the first step")
    final: float = Field(0.0, ge=0, description="the rate from the end of `over` on")
    over: Duration | None = Field(None, description="how long the way down takes; unset, the whole run")

    def depends_on_epochs(self) -> bool:
        return self.over is None

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        steps = self.over.in_steps(horizon) if self.over else horizon.steps_left()
        return lambda step: between(self.initial, self.final, count(step), steps, "cosine")
