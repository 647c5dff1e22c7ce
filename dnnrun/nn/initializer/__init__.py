"""Initializers of kernels, drawn with NumPy: the same seed gives the same weights on CPU, GPU and TPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from dnnrun.component import Component

if TYPE_CHECKING:
    import numpy as np


class Initializer(Component):
    """How a kernel of shape (fan_in, fan_out) starts."""

    family: ClassVar[str] = "initializers"
    home: ClassVar[str] = "dnnrun.nn.initializer"

    def build(self) -> Callable[[np.random.Generator, tuple[int, int]], np.ndarray]:
        """A function from a generator and a shape (fan_in, fan_out) to a float32 array of that shape."""
        raise TypeError(f"{type(self).__name__} does not say what it draws")
