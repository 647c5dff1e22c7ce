"""dnnrun: deep networks from a YAML spec, trained on JAX, reused layer by layer.

`train(spec)` trains; `load(checkpoint)` reads a trained network back. Both are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load", "train"]

if TYPE_CHECKING:
    from dnnrun.api import load, train


def __getattr__(name: str) -> Any:
    if name in ("load", "train"):
        from dnnrun import api

        return getattr(api, name)
    raise AttributeError(f"module 'dnnrun' has no attribute {name!r}")
