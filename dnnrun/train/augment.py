"""Random changes of the rows of a batch, inside the compiled step.

Every draw is a function of the run's key and the step, whatever else draws in that step.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.data.augment import Augment, Image

STREAM = np.uint32(1 << 31)  # no step has this number, so these draws are nobody else's
DOWN, RIGHT, HORIZONTAL, VERTICAL, NOISE = range(5)


@dataclass(frozen=True)
class Augmentation:
    """How the rows of a batch change: `image` is what a row is (height, width, channels), None for a table."""

    options: Augment
    image: Image | None

    def key(self, run: jax.Array, step: jax.Array) -> jax.Array:
        """The key of a step's draws, from the run's key (2,) uint32."""
        key = jax.random.wrap_key_data(run, impl="threefry2x32")
        return jax.random.fold_in(jax.random.fold_in(key, STREAM), step)

    def move(self, rows: jax.Array, key: jax.Array) -> jax.Array:
        """Raw rows (n, width) with their pixels moved; of the same shape and type.

        A mirrored image is mirrored before it is moved, so that a shift goes the same way in both.
        """
        if self.image is None or not self.options.moves:
            return rows
        height, width, channels = self.image
        shape = (len(rows), 1, 1, 1)
        down, right, channel = (jnp.arange(size, dtype=jnp.int32) for size in self.image)
        down, right = down[None, :, None, None], right[None, None, :, None]
        inside = jnp.ones((), bool)
        if most := self.options.shift:
            down = down - jax.random.randint(jax.random.fold_in(key, DOWN), shape, -most, most + 1)
            right = right - jax.random.randint(jax.random.fold_in(key, RIGHT), shape, -most, most + 1)
            inside = (down >= 0) & (down < height) & (right >= 0) & (right < width)
            down, right = jnp.clip(down, 0, height - 1), jnp.clip(right, 0, width - 1)
        if self.options.flip in ("vertical", "both"):
            half = jax.random.bernoulli(jax.random.fold_in(key, VERTICAL), shape=shape)
            down = jnp.where(half, height - 1 - down, down)
        if self.options.flip in ("horizontal", "both"):
            half = jax.random.bernoulli(jax.random.fold_in(key, HORIZONTAL), shape=shape)
            right = jnp.where(half, width - 1 - right, right)
        places = ((down * width + right) * channels + channel).reshape(-1, rows.shape[1])
        moved = jnp.take_along_axis(rows, places, axis=1, mode="promise_in_bounds")
        if not self.options.shift or self.options.fill == "edge":
            return moved
        inside = jnp.broadcast_to(inside, (len(rows), *self.image)).reshape(rows.shape)
        return jnp.where(inside, moved, jnp.zeros((), rows.dtype))

    def disturb(self, x: jax.Array, key: jax.Array) -> jax.Array:
        """Scaled rows (n, width) float32 with noise on every value."""
        if not self.options.noise:
            return x
        return x + self.options.noise * jax.random.normal(jax.random.fold_in(key, NOISE), x.shape)
