"""Images brought to the size and channels that a network was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.data.room import Room, release
from dnnrun.errors import DataError

BLOCK = 1000
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: grey of red, green, blue


def resize(features: np.ndarray, how: Mapping[str, Any], room: Room | None = None) -> np.ndarray:
    """Rows of images `how["from"]` (height, width, channels) as rows of `how["to"]`, float32, values as they were.

    `how["method"]` is nearest, linear, cubic or lanczos3, antialiased where it shrinks. Grey is repeated into
    channels, channels are weighted into grey. They are in memory, or in the `room`. Raises DataError for other changes
    of channels.
    """
    before, after = tuple(how["from"]), tuple(how["to"])
    if before[2] != after[2] and (before[2], after[2]) not in ((1, 3), (3, 1)):
        raise DataError(f"images of {before[2]} channels cannot become {after[2]}; wanted 1 or 3 on both sides")
    shape = (len(features), after[0] * after[1] * after[2])
    resized = _pieces(features, _compiled(before, after, how["method"]))
    if room is not None:
        return room.rows((rows.data for rows in resized), shape, np.float32)
    result, done = np.empty(shape, np.float32), 0
    for rows in resized:
        result[done : done + len(rows)] = rows
        done += len(rows)
    return result


def _pieces(features: np.ndarray, run: Any) -> Iterator[np.ndarray]:
    for start in range(0, len(features), BLOCK):
        piece = features[start : start + BLOCK]
        padded = np.zeros((BLOCK, features.shape[1]), features.dtype)
        padded[: len(piece)] = piece
        release(features)
        yield np.asarray(run(padded))[: len(piece)]


@cache
def _compiled(before: tuple[int, ...], after: tuple[int, ...], method: str) -> Any:
    return jax.jit(partial(_resize, before=before, after=after, method=method))


def _resize(rows: jax.Array, before: tuple[int, ...], after: tuple[int, ...], method: str) -> jax.Array:
    images = rows.reshape(-1, *before).astype(jnp.float32)
    if before[2] > after[2]:
        images = images @ jnp.array(LUMA, jnp.float32)[:, None]
    images = jax.image.resize(images, (images.shape[0], after[0], after[1], images.shape[3]), method)
    if images.shape[3] < after[2]:
        images = jnp.repeat(images, after[2], axis=3)
    return images.reshape(images.shape[0], -1)
