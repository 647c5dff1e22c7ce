"""Every random draw is a function of the seed, its stream's name and a position: nothing to save, no order to keep."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def words(seed: int, *stream: str | int) -> list[int]:
    """Four 32-bit words that depend on the seed and on every part of the stream's name."""
    text = "\x1f".join(str(part) for part in (seed, *stream))
    digest = hashlib.sha256(text.encode()).digest()
    return [int.from_bytes(digest[at : at + 4], "little") for at in range(0, 16, 4)]


def generator(seed: int, *stream: str | int) -> np.random.Generator:
    """A NumPy generator of its own for this stream, as `generator(seed, "order", epoch)`."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words(seed, *stream))))


def key_words(seed: int, *stream: str | int) -> np.ndarray:
    """The two uint32 words of a JAX threefry key for this stream; the step is folded in where it is used."""
    import numpy as np

    return np.array(words(seed, *stream)[:2], np.uint32)
