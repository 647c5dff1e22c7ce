"""Corruptions of rows: one class each, its options its fields, its code what `build` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from dnnrun.component import Component

if TYPE_CHECKING:
    from jax import Array

Image = tuple[int, int, int]


class Corruption(Component):
    """What makes a bad row of a good one."""

    family: ClassVar[str] = "corruptions"
    home: ClassVar[str] = "dnnrun.pretrain.corruption"

    def check(self, width: int, image: Image | None) -> None:
        """Raise SpecError where it cannot be for rows of this width; `image` is their height, width and channels."""

    def build(self, width: int, image: Image | None) -> Callable[[Array, Array], Array]:
        """A function of rows (n, width) float32, as scaled, and a key to rows of the same shape, JAX imported inside.

        `image` is None for a table.
        """
        raise TypeError(f"{type(self).__name__} does not say what it does")
