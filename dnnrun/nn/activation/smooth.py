"""Smooth relatives of the ReLU.

Each keeps value and gradient finite for every finite x. A branch of `where` that is not taken still takes part in the
gradient, as 0 times its derivative, so what it computes may not overflow either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from dnnrun.nn.activation import Activation

if TYPE_CHECKING:
    from jax import Array

# The pair that makes mean 0 and variance 1 a fixed point of a layer (Klambauer et al., 2017).
SELU_SCALE = 1.0507009873554804934
SELU_ALPHA = 1.6732632423543772848


class ELU(Activation):
    """x above 0, alpha * (exp(x) - 1) below: negative outputs keep the mean near 0.

    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units" (2015).
    """

    type: Literal["elu"] = "elu"
    alpha: float = Field(1.0, gt=0, description="the limit is -alpha for large negative x")
    default_initializer: ClassVar[str] = "he_normal"

    def build(self) -> Callable[[Array], Array]:
        return _exponential(self.alpha, 1.0)


class SELU(Activation):
    """A scaled ELU that keeps mean 0 and variance 1 from layer to layer.

    1.0507 * ELU(x) with alpha 1.6733. Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks"
    (2017). It holds for standardized inputs and lecun_normal kernels, without batch norm.
    """

    type: Literal["selu"] = "selu"
    default_initializer: ClassVar[str] = "lecun_normal"

    def build(self) -> Callable[[Array], Array]:
        return _exponential(SELU_ALPHA, SELU_SCALE)


def _exponential(alpha: float, scale: float) -> Callable[[Array], Array]:
    import jax.numpy as jnp

    def elu(x: Array) -> Array:
        below = alpha * jnp.expm1(jnp.where(x > 0, 0.0, x))
        return scale * jnp.where(x > 0, x, below)

    return elu


class GELU(Activation):
    """x times the normal distribution function of x.

    x * (1 + erf(x / sqrt 2)) / 2. Hendrycks and Gimpel, "Gaussian error linear units" (2016). Exact unless
    `approximate`, as in PyTorch and Keras; jax.nn.gelu approximates by default.
    """

    type: Literal["gelu"] = "gelu"
    approximate: bool = Field(False, description="the paper's formula with tanh, off by 0.0005 at most")

    def build(self) -> Callable[[Array], Array]:
        import jax
        import jax.numpy as jnp

        def exact(x: Array) -> Array:
            # erfc, as 1 + erf would cancel to 0 from x = -5 on
            return 0.5 * x * jax.lax.erfc(-(0.5**0.5) * x)

        def approximate(x: Array) -> Array:
            # (1 + tanh u) / 2 is logistic(2 u), which does not cancel; the clip keeps the cube from overflowing
            near = jnp.clip(x, -30.0, 30.0)
            return x * jax.nn.sigmoid((8 / jnp.pi) ** 0.5 * (near + 0.044715 * near**3))

        return approximate if self.approximate else exact


class SiLU(Activation):
    """x * logistic(x), also called swish.

    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function approximation in reinforcement
    learning" (2017).
    """

    type: Literal["silu"] = "silu"

    def build(self) -> Callable[[Array], Array]:
        import jax

        def silu(x: Array) -> Array:
            return x * jax.nn.sigmoid(x)

        return silu


class Mish(Activation):
    """x * tanh(softplus(x)).

    Misra, "Mish: a self regularized non-monotonic activation function" (2019).
    """

    type: Literal["mish"] = "mish"

    def build(self) -> Callable[[Array], Array]:
        import jax
        import jax.numpy as jnp

        def mish(x: Array) -> Array:
            return x * jnp.tanh(jax.nn.softplus(x))

        return mish


class Softplus(Activation):
    """log(1 + exp(x)), whose derivative is the logistic function.

    Dugas, Bengio, Belisle, Nadeau and Garcia, "Incorporating second-order functional knowledge for better option
    pricing" (2000).
    """

    type: Literal["softplus"] = "softplus"

    def build(self) -> Callable[[Array], Array]:
        import jax

        return jax.nn.softplus
