"""dnnrun: deep networks from a YAML spec, trained on JAX, reused layer by layer.

`train(spec)` trains; `load(checkpoint)` reads a trained network back. Both are imported when first used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load", "train"]

if TYPE_CHECKING:
    from dnnrun.api import load, train


def __getattr__(name: str) -> Any:
    if name == "load":
        from dnnrun.api import load

        return load
    raise AttributeError(f"module 'dnnrun' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps `dnnrun.train` the function: importing a module of the package of that name would put the package there."""

    @property
    def train(self) -> Any:
        from dnnrun.api import train

        return train

    @train.setter
    def train(self, package: ModuleType) -> None:
        """What the import of the package does; it is found in sys.modules all the same."""


sys.modules[__name__].__class__ = _Package
