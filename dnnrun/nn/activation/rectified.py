"""Piecewise linear activations: x above 0, a fraction of x below. At x = 0 the slope is the one of the left side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dnnrun.nn.activation import Activation, Learned

if TYPE_CHECKING:
    from jax import Array


class Identity(Activation):
    """x itself: a linear layer."""

    type: Literal["identity"] = "identity"

    def build(self) -> Callable[[Array], Array]:
        def identity(x: Array) -> Array:
            return x

        return identity


class ReLU(Activation):
    """max(x, 0): fast, but a unit that is negative for every example never learns again.

    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines" (2010).
    """

    type: Literal["relu"] = "relu"
    default_initializer: ClassVar[str] = "he_normal"

    def build(self) -> Callable[[Array], Array]:
        import jax

        return jax.nn.relu


class LeakyReLU(Activation):
    """max(slope * x, x) with a fixed small slope, so that no unit dies.

    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models" (2013). The default slope
    is that of the paper, PyTorch and Flax; TensorFlow's function takes .2 and Keras' layer .3.
    """

    type: Literal["leaky_relu"] = "leaky_relu"
    slope: float = Field(0.01, ge=0, le=1, description="factor of the negative x")
    default_initializer: ClassVar[str] = "he_normal"

    def build(self) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        slope = self.slope

        def leaky_relu(x: Array) -> Array:
            return jnp.where(x > 0, x, slope * x)

        return leaky_relu


class RReLU(Activation):
    """A leaky ReLU whose slope is drawn anew for every element in training and fixed in evaluation.

    Training: slope from U(lower, upper), one draw an element. Evaluation: the mean slope (lower + upper) / 2, which
    is 11/48 = .229 by default. This averages the slopes, as PyTorch does. The paper (Xu, Wang, Chen and Li,
    "Empirical evaluation of rectified activations in convolutional network", 2015) divides x by a number from U(3, 8)
    instead, and by its mean 5.5, a slope of .182, in evaluation.
    """

    type: Literal["rrelu"] = "rrelu"
    lower: float = Field(1 / 8, ge=0, le=1, description="smallest slope drawn in training")
    upper: float = Field(1 / 3, ge=0, le=1, description="largest slope drawn in training")
    default_initializer: ClassVar[str] = "he_normal"
    random: ClassVar[bool] = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower > self.upper:
            raise ValueError(f"lower ({self.lower:g}) is above upper ({self.upper:g}); give lower <= upper")
        return self

    def still(self) -> LeakyReLU:
        """With the mean slope."""
        return LeakyReLU(slope=(self.lower + self.upper) / 2)

    def build(self) -> Callable[..., Array]:
        import jax
        import jax.numpy as jnp

        lower, upper = self.lower, self.upper
        mean = (lower + upper) / 2

        def rrelu(x: Array, *, key: Array | None) -> Array:
            slope = mean if key is None else jax.random.uniform(key, x.shape, x.dtype, lower, upper)
            return jnp.where(x > 0, x, slope * x)

        return rrelu


class PReLU(Activation):
    """A leaky ReLU whose slope is learned, one a unit or one for the layer.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), from whom the start .25 is; so in PyTorch, whose
    layer shares one slope unless told otherwise. Keras starts from 0, Flax from .01.
    """

    type: Literal["prelu"] = "prelu"
    start: float = Field(0.25, ge=0, le=1, description="slope before training")
    shared: bool = Field(False, description="one slope for the whole layer, not one a unit")
    default_initializer: ClassVar[str] = "he_normal"

    def learned(self, units: int) -> dict[str, Learned]:
        """`slope`, of shape (units,), or (1,) if shared."""
        return {"slope": Learned((1 if self.shared else units,), self.start)}

    def build(self) -> Callable[..., Array]:
        import jax.numpy as jnp

        def prelu(x: Array, *, slope: Array) -> Array:
            return jnp.where(x > 0, x, slope * x)

        return prelu
