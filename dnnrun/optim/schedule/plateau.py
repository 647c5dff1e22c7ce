"""A rate that is cut when the run stops improving."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from dnnrun.optim.schedule import Horizon, PlateauState, Schedule

if TYPE_CHECKING:
    from jax import Array


class Plateau(Schedule):
    """Cut by a factor when the monitored metric stops improving.

    An epoch improves if its metric is below the best by more than min_delta. After `patience` epochs in a row that do
    not, the rate is multiplied by `factor`, down to `minimum`; the next `cooldown` epochs are not counted. `build`
    gives the initial rate; the cuts are the `scale` of the state that `adapt` returns. As in Keras; PyTorch takes
    min_delta as a share of the best. (Krizhevsky, Sutskever and Hinton 2012, section 5, did it by hand.)
    """

    type: Literal["plateau"] = "plateau"
    initial: float = Field(gt=0, description="the rate before any cut")
    factor: float = Field(0.5, gt=0, lt=1, description="what the rate is multiplied by")
    patience: int = Field(10, ge=1, description="epochs in a row without improvement that bring a cut")
    min_delta: float = Field(1e-4, ge=0, description="how far below the best an improvement must be")
    minimum: float = Field(0.0, ge=0, description="the smallest rate")
    cooldown: int = Field(0, ge=0, description="epochs after a cut that are not counted")

    @model_validator(mode="after")
    def _falls(self) -> Plateau:
        if self.minimum > self.initial:
            raise ValueError(f"found minimum {self.minimum} above initial {self.initial}; wanted it at most as large")
        return self

    def adapt(self, state: PlateauState | None, metric: float) -> PlateauState:
        """One epoch later. A metric that is not finite never counts as better, and is never kept as the best."""
        best, stale, cooling, scale = state or PlateauState()
        metric = float(metric)
        if math.isfinite(metric) and (best is None or metric < best - self.min_delta):
            return PlateauState(metric, 0, max(0, cooling - 1), scale)
        if cooling:
            return PlateauState(best, 0, cooling - 1, scale)
        if stale + 1 < self.patience:
            return PlateauState(best, stale + 1, 0, scale)
        return PlateauState(best, 0, self.cooldown, max(scale * self.factor, self.minimum / self.initial))

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        return lambda step: jnp.float32(self.initial)
