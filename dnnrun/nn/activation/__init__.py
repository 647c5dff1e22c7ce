"""Activations: one class each, its options its fields, its formula what `build` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from dnnrun.component import Component

if TYPE_CHECKING:
    from jax import Array


class Learned(NamedTuple):
    """A tensor that an activation learns: its shape and the value it starts from."""

    shape: tuple[int, ...]
    start: float


class Activation(Component):
    """An elementwise function of the pre-activations, shape (batch, units) in and out.

    `default_initializer` is the initializer a layer takes when the spec names none. An activation with learned
    tensors names them in `learned`, and is called with them as keywords; one that is `random` is called with the
    keyword `key`, a JAX PRNG key in training and None in evaluation.
    """

    family: ClassVar[str] = "activations"
    home: ClassVar[str] = "dnnrun.nn.activation"
    default_initializer: ClassVar[str] = "glorot_uniform"
    random: ClassVar[bool] = False

    def learned(self, units: int) -> dict[str, Learned]:
        """The tensors learned for a layer of `units` outputs, by name."""
        return {}

    def still(self) -> Activation:
        """What it is in evaluation: itself, unless it is random."""
        return self

    def build(self) -> Callable[..., Array]:
        """The function, JAX imported inside."""
        raise TypeError(f"{type(self).__name__} does not say what it computes")
