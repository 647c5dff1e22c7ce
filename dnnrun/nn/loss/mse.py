"""Squared error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from dnnrun.nn.loss import Loss

if TYPE_CHECKING:
    from jax import Array


class MeanSquaredError(Loss):
    """The square of output minus target, the mean over the targets of a row; of standardized targets."""

    type: Literal["mse"] = "mse"
    fits: ClassVar[tuple[str, ...]] = ("regression",)

    def build(self) -> Callable[[Array, Array], Array]:
        import jax.numpy as jnp

        def mse(outputs: Array, targets: Array) -> Array:
            return jnp.mean(jnp.square(outputs - targets), axis=-1)

        return mse
