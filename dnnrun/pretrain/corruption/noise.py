"""Values put out, put to an end, or shaken."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.pretrain.corruption import Corruption, Image

if TYPE_CHECKING:
    from jax import Array


class Mask(Corruption):
    """A share of the values becomes 0 (Vincent et al., "Stacked denoising autoencoders", 2010)."""

    type: Literal["mask"] = "mask"
    rate: float = Field(default=0.3, gt=0, lt=1, description="share of the values")

    def build(self, width: int, image: Image | None) -> Callable[[Array, Array], Array]:
        import jax
        import jax.numpy as jnp

        rate = self.rate
        return lambda x, key: jnp.where(jax.random.bernoulli(key, rate, x.shape), 0, x)


class SaltAndPepper(Corruption):
    """A share of the values becomes `low` or `high`, either as likely."""

    type: Literal["salt_and_pepper"] = "salt_and_pepper"
    rate: float = Field(default=0.3, gt=0, lt=1, description="share of the values")
    low: float = Field(default=0.0, description="pepper, as scaled")
    high: float = Field(default=1.0, description="salt, as scaled")

    def build(self, width: int, image: Image | None) -> Callable[[Array, Array], Array]:
        import jax
        import jax.numpy as jnp

        rate, low, high = self.rate, self.low, self.high

        def salt_and_pepper(x: Array, key: Array) -> Array:
            draw = jax.random.uniform(key, x.shape)
            return jnp.where(draw < rate / 2, low, jnp.where(draw < rate, high, x))

        return salt_and_pepper


class Gaussian(Corruption):
    """Noise of a normal distribution is added to every value."""

    type: Literal["gaussian"] = "gaussian"
    std: float = Field(default=0.3, gt=0, description="standard deviation, as scaled")

    def build(self, width: int, image: Image | None) -> Callable[[Array, Array], Array]:
        import jax

        std = self.std
        return lambda x, key: x + std * jax.random.normal(key, x.shape)
