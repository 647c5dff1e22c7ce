"""Initializers whose variance follows from the layer's fan: scale / fan, so that signals keep their size.

Named as in Keras and Flax. Their normal variants are truncated at two standard deviations, and widened before that so
that the variance after it is the one of the formula; PyTorch's are not truncated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.nn.initializer import Initializer, draw

if TYPE_CHECKING:
    import numpy as np

Mode = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["truncated_normal", "untruncated_normal", "uniform"]
Draw = Callable[["np.random.Generator", tuple[int, int]], "np.ndarray"]


def scaled(scale: float, mode: Mode, distribution: Distribution) -> Draw:
    """A draw with mean 0 and variance scale / fan, the fan being the `mode` of the shape (fan_in, fan_out)."""

    def initialize(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        fan_in, fan_out = shape
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        std = math.sqrt(scale / max(fan, 1))
        if distribution == "uniform":
            return draw.uniform(rng, shape, math.sqrt(3) * std)
        if distribution == "untruncated_normal":
            return draw.normal(rng, shape, std)
        return draw.truncated_normal(rng, shape, std / draw.TRUNCATED_STD)

    return initialize


class VarianceScaling(Initializer):
    """Variance scale / fan, from a normal or uniform distribution: the general form of the named ones.

    The uniform limit is sqrt(3 * scale / fan), the standard deviation of all three distributions sqrt(scale / fan).
    """

    type: Literal["variance_scaling"] = "variance_scaling"
    scale: float = Field(1.0, gt=0, description="variance times fan")
    mode: Mode = Field("fan_in", description="which fan divides: inputs, outputs, or their mean")
    distribution: Distribution = Field("truncated_normal", description="truncated at two standard deviations, or not")

    def build(self) -> Draw:
        return scaled(self.scale, self.mode, self.distribution)


class GlorotUniform(Initializer):
    """Uniform within sqrt(6 / (fan_in + fan_out)): for logistic, tanh and softmax layers.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), equation 16.
    """

    type: Literal["glorot_uniform"] = "glorot_uniform"

    def build(self) -> Draw:
        return scaled(1.0, "fan_avg", "uniform")


class GlorotNormal(Initializer):
    """Truncated normal of std sqrt(2 / (fan_in + fan_out)): for logistic, tanh and softmax layers.

    Glorot and Bengio (2010), equation 12.
    """

    type: Literal["glorot_normal"] = "glorot_normal"

    def build(self) -> Draw:
        return scaled(1.0, "fan_avg", "truncated_normal")


class HeUniform(Initializer):
    """Uniform within sqrt(6 / fan_in): for the ReLU, its variants and ELU.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), equation 10.
    """

    type: Literal["he_uniform"] = "he_uniform"

    def build(self) -> Draw:
        return scaled(2.0, "fan_in", "uniform")


class HeNormal(Initializer):
    """Truncated normal of std sqrt(2 / fan_in): for the ReLU, its variants and ELU.

    He, Zhang, Ren and Sun (2015), equation 10.
    """

    type: Literal["he_normal"] = "he_normal"

    def build(self) -> Draw:
        return scaled(2.0, "fan_in", "truncated_normal")


class LecunUniform(Initializer):
    """Uniform within sqrt(3 / fan_in).

    LeCun, Bottou, Orr and Mueller, "Efficient backprop" (1998), equation 16.
    """

    type: Literal["lecun_uniform"] = "lecun_uniform"

    def build(self) -> Draw:
        return scaled(1.0, "fan_in", "uniform")


class LecunNormal(Initializer):
    """Truncated normal of std sqrt(1 / fan_in): for SELU.

    LeCun, Bottou, Orr and Mueller (1998), equation 16; Klambauer et al. (2017) for SELU.
    """

    type: Literal["lecun_normal"] = "lecun_normal"

    def build(self) -> Draw:
        return scaled(1.0, "fan_in", "truncated_normal")
