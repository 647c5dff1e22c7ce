"""Activations bounded on both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from dnnrun.nn.activation import Activation

if TYPE_CHECKING:
    from jax import Array


class Logistic(Activation):
    """The sigmoid 1 / (1 + exp(-x)), from 0 to 1.

    Its slope is at most 1/4 and nearly 0 from |x| = 5 on, which is what starves the lower layers of a deep net.
    """

    type: Literal["logistic"] = "logistic"

    def build(self) -> Callable[[Array], Array]:
        import jax

        return jax.nn.sigmoid


class Tanh(Activation):
    """The hyperbolic tangent, from -1 to 1."""

    type: Literal["tanh"] = "tanh"

    def build(self) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        return jnp.tanh


class Softsign(Activation):
    """x / (1 + |x|), from -1 to 1, with tails heavier than tanh's.

    Bergstra, Desjardins, Lamblin and Bengio, "Quadratic polynomials learn better image features" (2009).
    """

    type: Literal["softsign"] = "softsign"

    def build(self) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        def softsign(x: Array) -> Array:
            return x / (1 + jnp.abs(x))

        return softsign
