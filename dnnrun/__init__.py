"""dnnrun: deep networks from a YAML spec, trained on JAX, reused layer by layer.

`train(spec)` trains, `transfer(spec, source=run)` on layers of another run, whose `plan` it can show before;
`load(checkpoint)` reads a trained network back. All are imported when first used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load", "plan", "train", "transfer"]

if TYPE_CHECKING:
    from dnnrun.api import load, plan, train, transfer


def __getattr__(name: str) -> Any:
    if name in ("load", "plan"):
        from dnnrun import api

        return getattr(api, name)
    raise AttributeError(f"module 'dnnrun' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps `train` and `transfer` the functions: importing the packages of these names would put those there."""

    @property
    def train(self) -> Any:
        from dnnrun.api import train

        return train

    @train.setter
    def train(self, package: ModuleType) -> None:
        """What the import of the package does; it is found in sys.modules all the same."""

    @property
    def transfer(self) -> Any:
        from dnnrun.api import transfer

        return transfer

    @transfer.setter
    def transfer(self, package: ModuleType) -> None:
        """As for train."""


sys.modules[__name__].__class__ = _Package
