"""Values that stand in the wrong place: pixels permuted, blocks of an image swapped, columns of other rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.errors import SpecError
from dnnrun.pretrain.corruption import Corruption, Image

if TYPE_CHECKING:
    from jax import Array


class Permute(Corruption):
    """A share of the values, drawn for each row, changes places; every value stays in the row."""

    type: Literal["permute"] = "permute"
    share: float = Field(default=0.5, gt=0, le=1, description="share of the values that move")

    def check(self, width: int, image: Image | None) -> None:
        if width < 2:
            raise SpecError([f"permute: rows of {width} value; wanted two or more"])

    def build(self, width: int, image: Image | None) -> Callable[[Array, Array], Array]:
        import jax
        import jax.numpy as jnp

        moved = max(2, round(self.share * width))

        def permute(x: Array, key: Array) -> Array:
            # The first of a random order of the places each give their value to the next: nothing stays where it was.
            order = jnp.argsort(jax.random.uniform(key, x.shape), axis=1)[:, :moved]
            values = jnp.take_along_axis(x, jnp.roll(order, 1, axis=1), axis=1)
            return jnp.put_along_axis(x, order, values, axis=1, inplace=False)

        return permute


class BlockSwap(Corruption):
    """Two square blocks of the image, drawn for each row, change places."""

    type: Literal["block_swap"] = "block_swap"
    size: int = Field(default=7, gt=0, description="height and width of a block in pixels")

    def check(self, width: int, image: Image | None) -> None:
        if image is None:
            raise SpecError(["block_swap: wants images, and this data is a table; use column_swap"])
        height, across, _ = image
        blocks = (height // self.size) * (across // self.size)
        if blocks < 2:
            told = "no block" if blocks == 0 else "one block"
            raise SpecError([f"block_swap: size {self.size} gives {told} of {height}x{across}; take a smaller one"])

    def build(self, width: int, image: Image | None) -> Callable[[Array, Array], Array]:
        import jax
        import jax.numpy as jnp
        import numpy as np

        assert image is not None  # as checked
        height, across, channels = image
        rows, columns = height // self.size, across // self.size
        pixels = np.arange(width).reshape(image)
        cut = pixels[: rows * self.size, : columns * self.size]
        blocks = cut.reshape(rows, self.size, columns, self.size, channels).transpose(0, 2, 1, 3, 4)
        places = jnp.asarray(blocks.reshape(rows * columns, -1))

        def swap(x: Array, key: Array) -> Array:
            first, second = jax.random.split(key)
            a = jax.random.randint(first, (len(x),), 0, len(places))
            b = (a + jax.random.randint(second, (len(x),), 1, len(places))) % len(places)
            to = jnp.concatenate([places[a], places[b]], axis=1)
            values = jnp.take_along_axis(x, jnp.concatenate([places[b], places[a]], axis=1), axis=1)
            return jnp.put_along_axis(x, to, values, axis=1, inplace=False)

        return swap


class ColumnSwap(Corruption):
    """A share of a row's values comes from another row: each column keeps its distribution, their relation is lost."""

    type: Literal["column_swap"] = "column_swap"
    share: float = Field(default=0.3, gt=0, lt=1, description="share of the columns")

    def build(self, width: int, image: Image | None) -> Callable[[Array, Array], Array]:
        import jax
        import jax.numpy as jnp

        share = self.share

        def swap(x: Array, key: Array) -> Array:
            which, by = jax.random.split(key)
            other = jnp.roll(x, 1 + jax.random.randint(by, (), 0, max(1, len(x) - 1)), axis=0)
            return jnp.where(jax.random.bernoulli(which, share, x.shape), other, x)

        return swap
