"""Gradient clipping: what bounds a gradient before the optimizer sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dnnrun.component import Component

if TYPE_CHECKING:
    import optax


class Clipping(Component):
    """A bound on the gradients of one step."""

    family: ClassVar[str] = "clippings"
    home: ClassVar[str] = "dnnrun.optim.clipping"

    def build(self) -> optax.GradientTransformation:
        """The stateless transformation of a flat dict of gradients, name -> array."""
        raise TypeError(f"{type(self).__name__} does not say how it clips")
