"""Clipping of all tensors by their joint norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.optim.clipping import Clipping
from dnnrun.optim.constraint import peak_size

if TYPE_CHECKING:
    import optax


class GlobalNorm(Clipping):
    """Bounds the L2 norm of all gradients together, keeping their direction.

    With n the norm of the vector of all elements of all tensors that train, g <- g * threshold / n if n exceeds the
    threshold (Pascanu, Mikolov and Bengio 2013, algorithm 1). Gradients with NaN or infinity in them pass unchanged.
    """

    type: Literal["global_norm"] = "global_norm"
    threshold: float = Field(1.0, gt=0, description="the largest L2 norm of all gradients together")

    def build(self) -> optax.GradientTransformation:
        import jax
        import jax.numpy as jnp
        import optax

        def clip(updates, params):
            del params
            sizes = [jnp.max(jnp.abs(g), initial=0) for g in jax.tree.leaves(updates)]
            if not sizes:
                return updates
            peak = peak_size(jnp.max(jnp.stack(sizes)))
            units = jax.tree.map(lambda g: g / peak, updates)
            norm = jnp.sqrt(sum(jnp.sum(u * u) for u in jax.tree.leaves(units)))
            over = (norm * peak > self.threshold) & jnp.isfinite(norm)
            return jax.tree.map(lambda g, u: jnp.where(over, u * (self.threshold / norm), g), updates, units)

        return optax.stateless(clip)
