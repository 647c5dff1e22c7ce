"""dnnrun: deep networks from a YAML spec, trained on JAX, reused layer by layer.

`train(spec)` trains, `transfer(spec, source=run)` on layers of another run, whose `plan` it can show before;
`pretrain(spec)` trains layers before the labels;
`load(checkpoint)` reads a trained network back. All are imported when first used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load", "plan", "pretrain", "train", "transfer"]

if TYPE_CHECKING:
    from dnnrun.api import load, plan, pretrain, train, transfer


def __getattr__(name: str) -> Any:
    if name in ("load", "plan"):
        from dnnrun import api

        return getattr(api, name)
    raise AttributeError(f"module 'dnnrun' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps `train`, `transfer` and `pretrain` the functions: importing packages of that name would put those there."""

    @property
    def train(self) -> Any:
        from dnnrun.api import train

        return train

    @train.setter
    def train(self, package: ModuleType) -> None:
        """What the import of the package does; it is found in sys.modules all the same."""

    @property
    def pretrain(self) -> Any:
        from dnnrun.api import pretrain

        return pretrain

    @pretrain.setter
    def pretrain(self, package: ModuleType) -> None:
        """As for train."""

    @property
    def transfer(self) -> Any:
        from dnnrun.api import transfer

        return transfer

    @transfer.setter
    def transfer(self, package: ModuleType) -> None:
        """As for train."""


sys.modules[__name__].__class__ = _Package
