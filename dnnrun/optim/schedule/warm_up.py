"""A warm-up before another schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.schedule import Duration, Horizon, PlateauState, Schedule
from dnnrun.optim.schedule._between import between, count

if TYPE_CHECKING:
    from jax import Array


class WarmUp(Schedule):
    """A linear rise to the first rate of another schedule, which then begins.

    start + (then(0) - start) * step / over before step `over`, then(step - over) from there on (Goyal et al. 2017,
    section 2.2). What `then` does over the whole run it does over what the warm-up leaves of it.
    """

    type: Literal["warm_up"] = "warm_up"
    over: Duration = Field(description="how long the rise takes")
    start: float = Field(0.0, ge=0, description="the rate of the first step")
    then: Schedule = Field(description="the schedule that follows, counted from the end of the rise")

    def depends_on_epochs(self) -> bool:
        return self.then.depends_on_epochs()

    def adapt(self, state: PlateauState | None, metric: float) -> PlateauState | None:
        return self.then.adapt(state, metric)

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        over = self.over.in_steps(horizon)
        then = self.then.build(horizon._replace(started=horizon.started + over))

        def rate(step: Array) -> Array:
            at = count(step)
            rise = between(self.start, then(count(0)), at, over)
            return jnp.where(at < over, rise, then(jnp.maximum(at - over, 0)))

        return rate
