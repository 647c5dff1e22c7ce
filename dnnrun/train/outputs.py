"""What a network puts out for some rows, and what each row's loss is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.nn.network import Tensors
from dnnrun.train.state import EVALUATION_BLOCK
from dnnrun.train.task import Supervised


def outputs(
    task: Any, tensors: Tensors, host: Mapping[str, Any], start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (rows, outputs) and losses (rows,), float32, of rows `start` to `stop` (excluded), in evaluation mode.

    `host` has the fields of Batches as NumPy arrays; a block of rows at a time is on the device.
    """
    assert isinstance(task, Supervised)

    @jax.jit
    def run(tensors: Tensors, features: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = (features.astype(jnp.float32) - host["offset"]) * host["factor"]
        found = task.split.merge(task.split.whole(tensors))(x)
        return found, task.evaluation_loss(found, labels)

    block = min(EVALUATION_BLOCK, stop - start)
    pieces = []
    for first in range(start, stop, block):
        rows = np.minimum(np.arange(first, first + block), stop - 1)
        pieces.append(run(tensors, host["features"][rows], host["labels"][rows]))
    found, losses = (np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*pieces, strict=True))
    return found[: stop - start], losses[: stop - start]
