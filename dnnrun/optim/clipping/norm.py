"""Clipping of every tensor by its own norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.clipping import Clipping
from dnnrun.optim.constraint import limit_norm

if TYPE_CHECKING:
    import optax


class Norm(Clipping):
    """Bounds the L2 norm of each tensor's gradient, keeping its direction.

    g <- g * threshold / |g| for every tensor whose |g| exceeds the threshold (Pascanu, Mikolov and Bengio 2013,
    algorithm 1, tensor by tensor). A gradient with NaN or infinity in it passes unchanged.
    """

    type: Literal["norm"] = "norm"
    threshold: float = Field(1.0, gt=0, description="the largest L2 norm of one tensor's gradient")

    def build(self) -> optax.GradientTransformation:
        import jax
        import optax

        def clip(updates, params):
            del params
            return jax.tree.map(lambda g: limit_norm(g, self.threshold), updates)

        return optax.stateless(clip)
