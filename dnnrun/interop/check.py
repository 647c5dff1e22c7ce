"""Whether a network gives the outputs that it gave in its own framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.readers.arrays import read_npy
from dnnrun.nn.architecture import Architecture

TOLERANCE = 1e-5  # times the largest output, where that is more than 1


@dataclass(frozen=True)
class Agreement:
    """The largest difference between outputs and what they should be. `of` are logits or probabilities."""

    difference: float
    allowed: float
    rows: int
    of: str

    @property
    def agrees(self) -> bool:
        return self.difference <= self.allowed

    def __str__(self) -> str:
        what = f"largest difference {self.difference:.2e} of {self.of} over {self.rows:,} rows"
        return f"{what} ({self.allowed:.0e} allowed)"


def read_pair(
    inputs: Path, outputs: Path, features: int, units: int, image: tuple[int, int, int] | None, channel_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (rows, features) and outputs (rows, units) of two .npy files. Raises InteropError."""
    x, y = read_npy(inputs), read_npy(outputs)
    if x.ndim == 4 and channel_first and image:
        x = x.transpose(0, 2, 3, 1)
    if x.ndim < 1 or x.size != len(x) * features:
        raise InteropError(f"{inputs}: shape {list(x.shape)}, wanted rows of {features} inputs")
    if y.ndim < 1 or y.shape[0] != len(x) or y.size != len(x) * units:
        raise InteropError(
            f"{outputs}: shape {list(y.shape)}, wanted [{len(x)}, {units}], a row for each of the inputs"
        )
    if not len(x):
        raise InteropError(f"{inputs}: has no rows; wanted some")
    return x.reshape(len(x), features), y.reshape(len(x), units)


def agreement(logits: np.ndarray, wanted: np.ndarray, ends: str | None) -> Agreement:
    """How far apart they are; `ends` is the softmax or logistic function that the other framework puts behind."""
    behind = [(ends, _FUNCTIONS[ends])] if ends else [("logits", _same), ("softmax", _FUNCTIONS["softmax"])]
    found = [compare(function(logits), wanted, name) for name, function in behind]
    return min(found, key=lambda entry: entry.difference / entry.allowed)


def compare(found: np.ndarray, wanted: np.ndarray, of: str = "logits") -> Agreement:
    """The largest difference, and the one allowed: 1e-5, relative where outputs are larger than 1."""
    difference = float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max()) if found.size else 0.0
    largest = float(np.abs(wanted).max()) if wanted.size else 0.0
    of = {"softmax": "probabilities", "logistic": "probabilities"}.get(of, of)
    return Agreement(difference if np.isfinite(difference) else np.inf, TOLERANCE * max(1.0, largest), len(found), of)


def forward(architecture: Architecture, tensors: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The logits (rows, units) float32 of a network of ours for scaled inputs (rows, features), in evaluation."""
    import jax.numpy as jnp

    from dnnrun.nn.network import Split

    network = Split(architecture).merge({name: jnp.asarray(value) for name, value in tensors.items()})
    return np.asarray(network(jnp.asarray(x, jnp.float32)))


def _same(x: np.ndarray) -> np.ndarray:
    return x


def softmax(x: np.ndarray) -> np.ndarray:
    """exp(x) over its sum, row by row."""
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"softmax": softmax, "logistic": _logistic}
