"""What a network does with its inputs before its first layer, as our scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.weights import Step


def scaling_of(
    where: str, before: Sequence[Step], features: int, image: tuple[int, int, int] | None, channel_first: bool
) -> tuple[Mapping[str, Any] | None, list[str]]:
    """As Scaling.to_json writes it, None where the file has none. Raises InteropError for what is no scaling."""
    steps = [step.options for step in before if step.kind == "scaling"]
    if not steps:
        return None, []
    if len(steps) == 1 and steps[0]["type"] in ("unit", "standardize"):
        found = dict(steps[0])
        if found["type"] == "standardize":
            mean = _spread(where, found["mean"], features, image, channel_first)
            std = _spread(where, found["std"], features, image, channel_first)
            found |= {"mean": mean.tolist(), "std": std.tolist()}
        return found, [f"its inputs are scaled within the file: {found['type']}"]
    factor, shift = np.ones(features), np.zeros(features)
    for options in steps:
        if options["type"] == "unknown":
            raise InteropError(f"{where}: scales its inputs in a way that its configuration does not tell")
        own = _affine(options)
        times = _spread(where, own[0], features, image, channel_first)
        plus = _spread(where, own[1], features, image, channel_first)
        factor, shift = factor * times, shift * times + plus
    if (shift == 0).all() and (factor == factor[0]).all() and factor[0] > 0:
        return {"type": "unit", "divide_by": _short(1 / factor[0])}, ["its inputs are scaled within the file: unit"]
    if (factor < 0).any() or not np.isfinite(factor).all() or not np.isfinite(shift).all():
        raise InteropError(f"{where}: scales its inputs by negative or infinite numbers, which dnnrun does not")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(factor > 0, -shift / factor, 0.0)
        std = np.where(factor > 0, 1 / factor, 0.0)
    if (shift[factor == 0] != 0).any():
        raise InteropError(f"{where}: replaces an input by a number, which dnnrun does not")
    return {"type": "standardize", "mean": mean.tolist(), "std": std.tolist()}, [
        "its inputs are scaled within the file: standardize"
    ]


def _affine(options: Mapping[str, Any]) -> tuple[Any, Any]:
    if options["type"] == "unit":
        return 1 / options["divide_by"], 0.0
    if options["type"] == "standardize":
        mean, std = np.asarray(options["mean"]), np.asarray(options["std"])
        return 1 / std, -mean / std
    return options["factor"], options["shift"]


def _spread(
    where: str, value: Any, features: int, image: tuple[int, int, int] | None, channel_first: bool
) -> np.ndarray:
    """The value of each input, (features,), of one for all, one an input, or one a channel."""
    found = np.asarray(value, np.float64).ravel()
    if found.size == 1:
        return np.full(features, found[0])
    if image and found.size == image[2] and found.size != features:
        return np.broadcast_to(found, image).ravel()
    if found.size == features:
        if channel_first and image:
            return found.reshape(image[2], image[0], image[1]).transpose(1, 2, 0).ravel()
        return found
    raise InteropError(f"{where}: scales its {features} inputs by {found.size} numbers; dnnrun has no such")


def _short(number: float) -> float:
    """255.0 of what a float32 made of 1 / 255."""
    near = round(number)
    return float(near) if near and abs(number - near) < 1e-5 * near else float(number)
