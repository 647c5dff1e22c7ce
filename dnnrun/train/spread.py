"""One model on many devices: each has all of the network and its own share of every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dnnrun.train.state import EVALUATION_BLOCK, Move, Taken

AXIS = "data"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shares:
    """The rows on many devices, in place of Batches: axis 1 is shared out evenly, in the order of the devices.

    batches: (steps, batch, width), those of one epoch in its order; its labels: (steps, batch). rows: (blocks, block,
    width), all rows of all splits in the order of the dataset, the last block filled up, for evaluation; its labels:
    (blocks, block), and of targets one axis more. batch_weights: (steps, batch), None where all rows count the same.
    offset, factor, key: as in Batches, whole on every device. first: the number of the first of the batches in the
    epoch, int32: 0 unless they are streamed.
    """

    batches: jax.Array
    batch_labels: jax.Array
    rows: jax.Array
    row_labels: jax.Array
    offset: jax.Array
    factor: jax.Array
    key: jax.Array
    first: jax.Array
    batch_weights: jax.Array | None = None

    def batch(self, number: jax.Array, size: int, move: Move | None = None) -> Taken:
        """What this epoch's batch `number` is."""
        number = number - self.first
        labels = lax.dynamic_index_in_dim(self.batch_labels, number, keepdims=False)
        weights = None
        if self.batch_weights is not None:
            weights = lax.dynamic_index_in_dim(self.batch_weights, number, keepdims=False)
        return Taken(self._scaled(self.batches, number, move), labels, weights)

    def blocks(self, start: jax.Array, stop: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The numbers, first and last (excluded), of the blocks that have rows `start` to `stop`."""
        block = self.rows.shape[1]
        return start // block, (stop + block - 1) // block

    def block(self, number: jax.Array, start: jax.Array, stop: jax.Array) -> tuple[Taken, jax.Array]:
        """Rows, and which of them are to count."""
        rows = number * self.rows.shape[1] + jnp.arange(self.rows.shape[1], dtype=jnp.int32)
        labels = lax.dynamic_index_in_dim(self.row_labels, number, keepdims=False)
        return Taken(self._scaled(self.rows, number), labels), (start <= rows) & (rows < stop)

    def _scaled(self, rows: jax.Array, number: jax.Array, move: Move | None = None) -> jax.Array:
        x = lax.dynamic_index_in_dim(rows, number, keepdims=False)
        x = (x if move is None else move(x)).astype(jnp.float32)
        return (x - self.offset) * self.factor


class Spread:
    """The devices, those of other processes too, as a mesh with the one axis `data`."""

    def __init__(self, devices: Sequence[Any]):
        self.mesh = Mesh(np.array(devices), (AXIS,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())

    @property
    def count(self) -> int:
        return self.mesh.size

    def whole(self, tree: Any) -> Any:
        """`tree` with its arrays whole on every device; every process has the same values."""
        return jax.tree.map(self._whole, tree)

    def shares(self, host: dict[str, np.ndarray], order: np.ndarray, batch_size: int) -> Shares:
        """All rows for evaluation, and the batches of `order`; `host` has the fields of Batches as NumPy arrays.

        Each process takes from the host's arrays only the rows of its own devices.
        """
        places = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)
        return self._shares(host, places, self._blocks(len(host["labels"])), self.fixed(host), 0)

    def fixed(self, host: dict[str, Any]) -> dict[str, jax.Array]:
        """What every share has whole."""
        return {name: self.whole(host[name]) for name in ("offset", "factor", "key")}

    def window(
        self, host: dict[str, Any], fixed: dict[str, jax.Array], order: np.ndarray, first: int, steps: int, size: int
    ) -> Shares:
        """Batches of `size` of the rows `order`, `first` the number of the first one, filled up to so many steps."""
        whole = order[: len(order) // size * size]
        places = np.concatenate([whole, np.full(steps * size - len(whole), order[0])]).reshape(steps, size)
        return self._shares(host, places, self._blocks(1), fixed, first)

    def piece(self, host: dict[str, Any], fixed: dict[str, jax.Array], start: int, stop: int, size: int) -> Shares:
        """The rows `start` to `stop` (excluded) for evaluation, filled up to `size` rows."""
        places = np.minimum(start + self._blocks(size), stop - 1)
        return self._shares(host, np.full((1, self.count), start), places, fixed, 0)

    def _blocks(self, rows: int) -> np.ndarray:
        """The numbers of so many rows, (blocks, block), filled up with the last."""
        block = -(-min(EVALUATION_BLOCK, rows) // self.count) * self.count
        return np.minimum(np.arange(-(-rows // block) * block), rows - 1).reshape(-1, block)

    def _shares(
        self, host: dict[str, Any], places: np.ndarray, rows: np.ndarray, fixed: dict[str, jax.Array], first: int
    ) -> Shares:
        features, labels = host["features"], host["labels"]
        taken = [self._taken(table, where) for where in (places, rows) for table in (features, labels)]
        weights = None if host["weights"] is None else self._taken(host["weights"], places)
        return Shares(*taken, **fixed, first=self.whole(np.int32(first)), batch_weights=weights)

    def reordered(self, shares: Shares, host: dict[str, np.ndarray], order: np.ndarray, batch_size: int) -> Shares:
        """`shares` with the batches of another order."""
        batches, labels, weights = self._batches(host, order, batch_size)
        return replace(shares, batches=batches, batch_labels=labels, batch_weights=weights)

    def _batches(
        self, host: dict[str, np.ndarray], order: np.ndarray, batch_size: int
    ) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        places = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)
        weights = host.get("weights")
        taken = self._taken(host["features"], places), self._taken(host["labels"], places)
        return *taken, None if weights is None else self._taken(weights, places)

    def _taken(self, rows: np.ndarray, places: np.ndarray) -> jax.Array:
        """rows[places], its second axis shared out."""
        sharding = NamedSharding(self.mesh, PartitionSpec(None, AXIS))
        shape = (*places.shape, *rows.shape[1:])

        def own(index: Any) -> np.ndarray:
            return rows[places[index[:2]]]

        return jax.make_array_from_callback(shape, sharding, own)

    def _whole(self, value: Any) -> jax.Array:
        if isinstance(value, jax.Array) and value.sharding == self.replicated:
            return value
        host = np.asarray(value)
        return jax.make_array_from_callback(host.shape, self.replicated, lambda index: host[index])


def on_host(tree: Any) -> Any:
    """`tree` with its arrays as NumPy arrays of this process; each must be whole on every device."""
    return jax.tree.map(np.asarray, tree)
