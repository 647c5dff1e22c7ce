"""The initializers of a textbook's table, which differ from today's defaults for tanh and ReLU."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from dnnrun.nn.initializer import Initializer
from dnnrun.nn.initializer.scaled import Draw, scaled

FACTORS = {"logistic": 1.0, "tanh": 4.0, "relu": math.sqrt(2)}


class Xavier(Initializer):
    """Table 11-1: fan-average uniform or normal, with the table's factor for logistic, tanh or ReLU.

    Geron, "Hands-on machine learning with Scikit-Learn and TensorFlow" (2017), chapter 11. Uniform within
    r = factor * sqrt(6 / (fan_in + fan_out)), or normal, not truncated, of standard deviation
    s = factor * sqrt(2 / (fan_in + fan_out)); factor 1 for logistic, 4 for tanh, sqrt(2) for ReLU and its variants.
    `relu` is the table's He initialization; he_uniform and he_normal divide by fan_in alone. `logistic` with `uniform`
    is glorot_uniform. The layer's own activation is not looked at: name the row that is wanted.
    """

    type: Literal["xavier"] = "xavier"
    activation: Literal["logistic", "tanh", "relu"] = Field("logistic", description="row of the table")
    distribution: Literal["uniform", "normal"] = Field("uniform", description="column of the table")

    def build(self) -> Draw:
        uniform = self.distribution == "uniform"
        return scaled(FACTORS[self.activation] ** 2, "fan_avg", "uniform" if uniform else "untruncated_normal")
