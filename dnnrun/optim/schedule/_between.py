"""The way from one rate to another in a number of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from jax import Array
    from jax.typing import ArrayLike

Shape = Literal["cosine", "linear"]


def between(start: ArrayLike, end: ArrayLike, step: Array, steps: int, shape: Shape = "linear") -> Array:
    """The rate (float32) at `step`: exactly `start` up to 0, exactly `end` from `steps` on.

    The cosine (1 + cos(pi x)) / 2 is written as sin^2 of the part that is left, which is accurate close to the end,
    where the sum cancels. The ends are set, for a compiled division by a constant need not give 1 there.
    """
    import jax.numpy as jnp

    done = jnp.clip(step, 0, steps)
    ahead = jnp.where(done <= 0, 1, (steps - done).astype(jnp.float32) / steps)
    behind = jnp.where(done >= steps, 1, done.astype(jnp.float32) / steps)
    if shape == "cosine":
        ahead, behind = jnp.sin(jnp.pi / 2 * ahead) ** 2, jnp.sin(jnp.pi / 2 * behind) ** 2
    return jnp.float32(start * ahead + end * behind)


def count(step: ArrayLike) -> Array:
    """`step` as an int32 scalar, whether it is traced, a NumPy number or a plain one."""
    import jax.numpy as jnp

    return jnp.asarray(step, jnp.int32)


def elapsed(step: Array, every: int) -> tuple[Array, Array]:
    """step / every as its whole part (exact) and the rest below 1, both float32."""
    import jax.numpy as jnp

    whole = step // every
    return whole.astype(jnp.float32), (step - whole * every).astype(jnp.float32) / every
