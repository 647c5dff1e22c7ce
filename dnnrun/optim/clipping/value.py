"""Clipping of every element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.clipping import Clipping

if TYPE_CHECKING:
    import optax


class Value(Clipping):
    """Bounds every element of the gradients; their direction may change.

    g <- min(max(g, -threshold), threshold) (Mikolov 2012). Infinity becomes the threshold, NaN stays.
    """

    type: Literal["value"] = "value"
    threshold: float = Field(1.0, gt=0, description="the largest size of an element")

    def build(self) -> optax.GradientTransformation:
        import jax
        import jax.numpy as jnp
        import optax

        def clip(updates, params):
            del params
            return jax.tree.map(lambda g: jnp.clip(g, -self.threshold, self.threshold), updates)

        return optax.stateless(clip)
