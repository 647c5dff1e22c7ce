"""The distributions that initializers draw from, all of mean 0, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Standard deviation of the standard normal cut off at -2 and 2.
TRUNCATED_STD = 0.87962566103423978


def uniform(rng: np.random.Generator, shape: tuple[int, int], limit: float) -> np.ndarray:
    """U(-limit, limit)."""
    import numpy as np

    draws = rng.random(shape, dtype=np.float32)
    draws -= 0.5
    draws *= 2 * limit
    return draws


def normal(rng: np.random.Generator, shape: tuple[int, int], std: float) -> np.ndarray:
    """N(0, std^2)."""
    import numpy as np

    draws = rng.standard_normal(shape, dtype=np.float32)
    draws *= std
    return draws


def truncated_normal(rng: np.random.Generator, shape: tuple[int, int], std: float) -> np.ndarray:
    """N(0, std^2) given |x| <= 2 std. The standard deviation of what comes out is TRUNCATED_STD * std.

    Exact: what falls outside, 4.6%, is drawn again until nothing does.
    """
    import numpy as np

    draws = rng.standard_normal(shape, dtype=np.float32)
    flat = draws.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2)
    while outside.size:
        again = rng.standard_normal(outside.size, dtype=np.float32)
        flat[outside] = again
        outside = outside[np.abs(again) > 2]
    draws *= std
    return draws
