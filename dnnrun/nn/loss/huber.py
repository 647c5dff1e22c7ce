"""Squared error near the target, absolute error beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from dnnrun.nn.loss import Loss

if TYPE_CHECKING:
    from jax import Array


class Huber(Loss):
    """e^2 / 2 where |e| is at most delta, delta (|e| - delta / 2) beyond, where e is output - target; their mean.

    Huber, "Robust estimation of a location parameter", 1964. Targets are standardized, so delta counts standard
    deviations.
    """

    type: Literal["huber"] = "huber"
    delta: float = Field(1.0, gt=0, description="where it turns from squared to absolute, in standard deviations")
    fits: ClassVar[tuple[str, ...]] = ("regression",)

    def build(self) -> Callable[[Array, Array], Array]:
        import jax.numpy as jnp

        delta = self.delta

        def huber(outputs: Array, targets: Array) -> Array:
            away = jnp.abs(outputs - targets)
            near = jnp.minimum(away, delta)
            return jnp.mean(near * (away - near / 2), axis=-1)

        return huber
