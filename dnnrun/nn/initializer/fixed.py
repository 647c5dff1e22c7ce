"""Initializers whose size is given and does not depend on the layer's fan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.nn.initializer import Initializer, draw
from dnnrun.nn.initializer.scaled import Draw

if TYPE_CHECKING:
    import numpy as np


class Normal(Initializer):
    """Normal of mean 0 and a given std, not truncated."""

    type: Literal["normal"] = "normal"
    std: float = Field(gt=0, description="standard deviation")

    def build(self) -> Draw:
        return lambda rng, shape: draw.normal(rng, shape, self.std)


class TruncatedNormal(Initializer):
    """Normal of mean 0 and a given std, cut off at two std.

    As in TensorFlow, Keras and Flax, `std` is the one before the cut; that of the weights is 0.8796 times it.
    """

    type: Literal["truncated_normal"] = "truncated_normal"
    std: float = Field(gt=0, description="standard deviation before the cut")

    def build(self) -> Draw:
        return lambda rng, shape: draw.truncated_normal(rng, shape, self.std)


class Uniform(Initializer):
    """Uniform from -limit to limit."""

    type: Literal["uniform"] = "uniform"
    limit: float = Field(gt=0, description="largest absolute value")

    def build(self) -> Draw:
        return lambda rng, shape: draw.uniform(rng, shape, self.limit)


class Constant(Initializer):
    """The same value everywhere."""

    type: Literal["constant"] = "constant"
    value: float = Field(description="the value")

    def build(self) -> Draw:
        import numpy as np

        return lambda rng, shape: np.full(shape, self.value, np.float32)


class Zeros(Initializer):
    """Zero everywhere: the units of a hidden layer then stay equal, so of use for outputs only."""

    type: Literal["zeros"] = "zeros"

    def build(self) -> Draw:
        import numpy as np

        return lambda rng, shape: np.zeros(shape, np.float32)


class Orthogonal(Initializer):
    """A random orthogonal matrix times gain: columns orthonormal where fan_in >= fan_out, else rows.

    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks" (2013). Uniform over all such matrices: the Q of a normal matrix, with the signs that make R's diagonal
    positive (Mezzadri, 2007).
    """

    type: Literal["orthogonal"] = "orthogonal"
    gain: float = Field(1.0, gt=0, description="factor of the matrix, its singular values")

    def build(self) -> Draw:
        import numpy as np

        def orthogonal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
            fan_in, fan_out = shape
            # float64, so that rounding to float32 is the only error
            q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
            q *= np.where(np.diagonal(r) < 0, -self.gain, self.gain)
            return np.ascontiguousarray(q if fan_in >= fan_out else q.T, np.float32)

        return orthogonal
