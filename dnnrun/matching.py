"""What a run trained on pairs says: which reference a row is most likely of one class with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.npy import read_npy
from dnnrun.data.scale import Scaling
from dnnrun.errors import CheckpointError, DataError
from dnnrun.nn.architecture import misfit
from dnnrun.pretrain.scheme.pairs import Pairs
from dnnrun.pretrain.stage import Stage
from dnnrun.spec.load import load_mapping
from dnnrun.store.checkpoint import Checkpoint, outputs_of
from dnnrun.store.find import find_checkpoint

BLOCK = 1000


@dataclass(frozen=True)
class Matches:
    """`probabilities` (rows, references): that a row and a reference are of one class."""

    checkpoint: Path
    probabilities: np.ndarray

    @property
    def matches(self) -> np.ndarray:
        """The number of the reference that each row most likely goes with, (rows,)."""
        return self.probabilities.argmax(1)

    @property
    def best(self) -> np.ndarray:
        """The probability of that, (rows,)."""
        return self.probabilities.max(1)

    def as_json(self) -> dict[str, Any]:
        """What `predict --json` prints."""
        return {
            "checkpoint": str(self.checkpoint),
            "references": self.probabilities.shape[1],
            "matches": [
                {"row": row, "reference": int(reference), "probability": float(probability)}
                for row, (reference, probability) in enumerate(zip(self.matches, self.best, strict=True))
            ],
        }


@dataclass(frozen=True)
class Matcher:
    """A network trained on pairs. Rows are raw: its own scaling is applied to them."""

    checkpoint: Checkpoint

    @cached_property
    def scheme(self) -> Pairs:
        spec = load_mapping(dict(self.checkpoint.manifest["spec"]), where=str(self.checkpoint.folder))
        stage = self.checkpoint.manifest.get("pretrained", {}).get("stage")
        if stage != "pairs" or not isinstance(spec.pretrain, Pairs):
            what = f"pretrained by {stage}" if stage else "a classifier"
            raise CheckpointError(
                f"{self.checkpoint.folder}: {what}; --against wants a run of `dnnrun pretrain` with pretrain: pairs"
            )
        return spec.pretrain

    @cached_property
    def stage(self) -> Stage:
        scheme, manifest = self.scheme, self.checkpoint.manifest
        model = load_mapping(dict(manifest["spec"]), where=str(self.checkpoint.folder)).model
        (stage,) = scheme.stages(model, manifest["features"], outputs_of(manifest))
        return stage

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """Every tensor by name, verified."""
        found = self.checkpoint.model()
        if what := misfit(self.stage.tensors, {name: value.shape for name, value in found.items()}):
            raise CheckpointError(f"{self.checkpoint.folder}: {what}")
        return found

    def probabilities(self, rows: np.ndarray, references: np.ndarray) -> np.ndarray:
        """That a row (n, features) and a reference (m, features) are of one class, (n, m) float32."""
        import jax
        import jax.numpy as jnp

        from dnnrun.nn.network import Split
        from dnnrun.train.task import Batch

        task = self.scheme.task(self.stage, Split(self.stage.encoder), None)
        tensors = {name: jnp.asarray(value) for name, value in self.tensors.items()}
        key = jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32), impl="threefry2x32")

        def tower(x: jax.Array, which: int) -> jax.Array:
            doubled = jnp.repeat(x, 2, axis=0)  # a batch of pairs, of which each tower takes its half
            return task.tower(tensors, Batch(doubled, jnp.zeros(len(doubled), jnp.int32), key, jnp.int32(0)), which)[0]

        first = jax.jit(lambda x: tower(x, 0))
        theirs = jax.jit(lambda x: tower(x, 1))(self._scaled(references))
        match = jax.jit(
            lambda x: jax.nn.sigmoid(
                jax.vmap(lambda r: task.match(tensors, x, jnp.broadcast_to(r, x.shape)), out_axes=1)(theirs)
            )
        )
        scaled = self._scaled(rows)
        pieces = [np.asarray(match(first(scaled[at : at + BLOCK]))) for at in range(0, len(scaled), BLOCK)]
        return np.concatenate(pieces) if pieces else np.zeros((0, len(references)), np.float32)

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        return Scaling.from_json(self.checkpoint.manifest["preprocessing"]).apply(rows)


def answer(checkpoint: str | Path, rows: Path, references: Path) -> Matches:
    """Which of the references in a .npy file the rows in another one match. Raises CheckpointError and DataError."""
    matcher = Matcher(find_checkpoint(checkpoint))
    width = matcher.stage.encoder.features
    inputs, against = (read_rows(path, width) for path in (rows, references))
    if not len(against):
        raise DataError(f"{references}: no rows; wanted one reference or more")
    return Matches(matcher.checkpoint.folder, matcher.probabilities(inputs, against))


def read_rows(path: Path, width: int) -> np.ndarray:
    """Rows (n, width) of finite numbers from a .npy file; images (n, height, width) too. Raises DataError."""
    found = read_npy(path, wanted="a .npy file of rows")
    if found.ndim > 2:
        found = found.reshape(len(found), -1)
    if found.ndim != 2 or found.shape[1] != width:
        raise DataError(f"{path}: of shape {list(found.shape)}; wanted [rows, {width}], one row an example")
    found = found.astype(np.float32)
    if len(bad := np.flatnonzero(~np.isfinite(found).all(1))):
        raise DataError(f"{path}: nan or infinity, first in row {bad[0]}; wanted finite numbers")
    return found
