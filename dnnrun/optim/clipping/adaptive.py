"""Clipping of every unit's gradient against the unit's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.clipping import Clipping
from dnnrun.optim.constraint import limit_norm, scaled_norm

if TYPE_CHECKING:
    import optax


class Adaptive(Clipping):
    """Bounds each unit's gradient to a fraction of the norm of its weights.

    For every unit i, with G its gradient and W its weights, G <- G * threshold * max(|W|, epsilon) / |G| where |G|
    exceeds threshold * max(|W|, epsilon) (Brock et al. 2021, section 4). A unit is a column of a kernel (in, out), or
    the whole of a vector (bias, scale, slope). Every layer is clipped; the paper leaves out the last one.
    """

    type: Literal["adaptive"] = "adaptive"
    threshold: float = Field(0.01, gt=0, description="the largest norm of a gradient over that of its weights")
    epsilon: float = Field(1e-3, ge=1e-30, description="what a smaller norm of weights counts as")

    def build(self) -> optax.GradientTransformation:
        import jax
        import jax.numpy as jnp
        import optax

        def unit_wise(gradient, weights):
            axis = 0 if gradient.ndim > 1 else None
            _, peak, norm = scaled_norm(weights, axis)
            return limit_norm(gradient, self.threshold * jnp.maximum(norm * peak, self.epsilon), axis)

        def clip(updates, params):
            if params is None:
                raise ValueError("adaptive clipping compares gradients with weights: pass params to update()")
            return jax.tree.map(unit_wise, updates, params)

        return optax.stateless(clip)
