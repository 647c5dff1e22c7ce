"""Absolute error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from dnnrun.nn.loss import Loss

if TYPE_CHECKING:
    from jax import Array


class MeanAbsoluteError(Loss):
    """The absolute value of output minus target, the mean over the targets of a row; of standardized targets.

    Its minimum is the median, which rows far out move less than the mean.
    """

    type: Literal["mae"] = "mae"
    fits: ClassVar[tuple[str, ...]] = ("regression",)

    def build(self) -> Callable[[Array, Array], Array]:
        import jax.numpy as jnp

        def mae(outputs: Array, targets: Array) -> Array:
            return jnp.mean(jnp.abs(outputs - targets), axis=-1)

        return mae
