"""Bounds on norms that a tensor is scaled down to: max-norm of weights here, clipping of gradients in `clipping`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jax import Array
    from jax.typing import ArrayLike


def peak_size(largest: Array) -> Array:
    """What to divide by before squaring, so that no square overflows: a gradient of 1e20 is finite, its square is not.

    It is the largest size itself within bounds: zero must not divide, and a compiled division multiplies by the
    reciprocal, which float32 loses above 1e38.
    """
    import jax.numpy as jnp

    return jnp.clip(largest, 1e-30, 1e37)


def scaled_norm(x: Array, axis: int | None = None) -> tuple[Array, Array, Array]:
    """(unit, peak, norm): x = unit * peak, and the L2 norm of x along `axis` is norm * peak; axes are kept."""
    import jax.numpy as jnp

    peak = peak_size(jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0))
    unit = x / peak
    return unit, peak, jnp.sqrt(jnp.sum(unit * unit, axis=axis, keepdims=True))


def limit_norm(x: Array, limit: ArrayLike, axis: int | None = None) -> Array:
    """`x` scaled down where its L2 norm along `axis` (None: all of it) exceeds `limit`; elsewhere `x`, bit for bit.

    Zeros stay zeros. What is not finite passes unchanged, for the training loop to see.
    """
    import jax.numpy as jnp

    unit, peak, norm = scaled_norm(x, axis)
    over = (norm * peak > limit) & jnp.isfinite(norm)
    return jnp.where(over, unit * (limit / norm), x)


def max_norm(kernel: Array, limit: float) -> Array:
    """A kernel (in, out) whose columns, the incoming weights of one unit each, have an L2 norm of at most `limit`.

    Srebro and Shraibman 2005; for networks with dropout Srivastava et al. 2014, section 5.1. The bias takes no part.
    """
    return limit_norm(kernel, limit, axis=0)
