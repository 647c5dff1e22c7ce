"""Losses: one class each, its options its fields, its formula what `build` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Self

from dnnrun.component import Component

if TYPE_CHECKING:
    from jax import Array


class Loss(Component):
    """What training minimises, as one number an example; the caller averages over the batch."""

    family: ClassVar[str] = "losses"
    home: ClassVar[str] = "dnnrun.nn.loss"
    fits: ClassVar[tuple[str, ...]] = ("classification",)

    def outputs(self, task: str, names: int) -> int:
        """How many outputs a network has that tells so many classes, labels or targets by this loss."""
        return names

    def build(self) -> Callable[[Array, Array], Array]:
        """A function from outputs (batch, outputs) and labels to losses (batch,), JAX imported inside.

        labels: (batch,) int32 of classes; (batch, outputs) float32 of several labels or targets.
        """
        raise TypeError(f"{type(self).__name__} does not say what it computes")

    def evaluation(self) -> Self:
        """The loss that evaluation reports, early stopping and `best` included: this one without what only regularizes.

        It is the same one unless a loss says otherwise.
        """
        return self
