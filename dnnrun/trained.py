"""A trained network read back from a checkpoint: its layers, its predictions, its metrics on a split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnrun.data.scale import Scaling
from dnnrun.data.source import Places
from dnnrun.data.table.columns import Columns
from dnnrun.data.table.frames import as_frame, encode, fitting, is_frame
from dnnrun.errors import CheckpointError, DataError
from dnnrun.nn.architecture import Architecture, lay_out, layer_of
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store.checkpoint import Checkpoint, outputs_of
from dnnrun.store.find import find_checkpoint
from dnnrun.watch import Watcher

if TYPE_CHECKING:
    import polars

    from dnnrun.data.select import Dataset

SPLITS = ("test", "validation", "train")  # in the order that eval prefers them


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a checkpoint on one split."""

    checkpoint: Path
    split: str
    examples: int
    metrics: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """What `eval --json` prints."""
        return {
            "checkpoint": str(self.checkpoint),
            "split": self.split,
            "examples": self.examples,
            "metrics": dict(self.metrics),
        }


@dataclass(frozen=True)
class Trained:
    """A network with its weights. Inputs are raw: its own scaling is applied to them."""

    checkpoint: Checkpoint

    @cached_property
    def spec(self) -> Spec:
        return load_mapping(dict(self.checkpoint.manifest["spec"]), where=str(self.checkpoint.folder))

    @cached_property
    def architecture(self) -> Architecture:
        return lay_out(self.spec.model, self.checkpoint.manifest["features"], outputs_of(self.checkpoint.manifest))

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the outputs."""
        return tuple(self.checkpoint.manifest["classes"])

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """Every tensor by name, as `hidden1/kernel`; verified against the manifest and the network."""
        if pretrained := self.checkpoint.manifest.get("pretrained"):
            raise CheckpointError(
                f"{self.checkpoint.folder}: pretrained layers ({pretrained['stage']}), no outputs yet; train on them "
                "with dnnrun transfer SPEC --from this run"
            )
        found = self.checkpoint.model()
        if misfit := self.architecture.misfit({name: value.shape for name, value in found.items()}):
            raise CheckpointError(f"{self.checkpoint.folder}: {misfit}")
        return found

    @cached_property
    def layers(self) -> dict[str, dict[str, np.ndarray]]:
        """The tensors of each layer, as `layers["hidden1"]["kernel"]`, from the first layer to `outputs`."""
        found: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.architecture.names}
        for name, value in self.tensors.items():
            found[layer_of(name)][name.partition("/")[2]] = value
        return found

    @cached_property
    def columns(self) -> Columns | None:
        """How the columns of a table become inputs, None for a network of other data."""
        return Columns.from_json(self.checkpoint.manifest["preprocessing"])

    def inputs(self, x: Any) -> np.ndarray:
        """Raw inputs as `outputs` takes them: of a table (rows, width) float32, else as they are.

        Raises DataError for columns that are missing and values that do not fit.
        """
        if self.columns is None:
            if is_frame(x):
                raise DataError("inputs with names of columns; this network was trained on rows of numbers without")
            return x
        return encode(as_frame(x, self.columns), self.columns, "the inputs").matrix

    def read(self, path: str, places: Places) -> Dataset:
        """The rows of a table in another file, with their target. Raises CheckpointError for a network of no table."""
        from dnnrun.data.settle import whole
        from dnnrun.data.table.files import find, open_table
        from dnnrun.data.target import Target

        source: Any = self.spec.data.source
        if self.columns is None:
            raise CheckpointError(
                f"{self.checkpoint.folder}: trained on {source.type}, which is no table of columns; --data takes a run "
                "of data.source.type csv, parquet or arrow"
            )
        (found, *_) = find([path], places.folders)
        self.columns.check_names(open_table(found, source.form()).names, str(found))
        target = Target(self.checkpoint.manifest.get("task", "classification"), self.classes, source.target, None)
        raw = source.of_file(path, self.columns.names).read(places)
        raw = replace(raw, train=replace(raw.train, features=fitting(raw.train.features, self.columns, path)))
        return whole(raw, target, self.columns)

    def told(self, x: np.ndarray, proba: bool) -> polars.DataFrame:
        """What is predicted for `inputs`: a column `prediction`, and with `proba` a `probability_<class>` for each."""
        import polars as pl

        logits = self.outputs(x)
        found = {"prediction": pl.Series(self._class_names()[logits.argmax(1)])}
        if proba:
            probabilities = softmax(logits)
            found |= {f"probability_{name}": probabilities[:, at] for at, name in enumerate(self.classes)}
        return pl.DataFrame(found)

    def logits(self, x: Any) -> np.ndarray:
        """The outputs before the softmax, (rows, classes) float32, for raw inputs.

        These are rows (rows, features), or for a network of a table a data frame of polars or pandas, or a mapping of
        columns by name.
        """
        return self.outputs(self.inputs(x))

    def outputs(self, x: Any) -> np.ndarray:
        """The outputs before the softmax, (rows, classes) float32, for what `inputs` gives."""
        from dnnrun.train.resize import resize
        from dnnrun.train.state import EVALUATION_BLOCK as block

        try:
            x = np.asarray(x)
        except ValueError:
            raise DataError(
                "inputs of rows that differ in length; wanted [rows, features], one row an example"
            ) from None
        resized = self.checkpoint.manifest.get("resize")
        wanted = math.prod(resized["from"]) if resized else self.architecture.features
        if x.ndim != 2 or x.shape[1] != wanted:
            raise DataError(f"inputs of shape {list(x.shape)}; wanted [rows, {wanted}], one row an example")
        if x.dtype.kind not in "biuf":
            raise DataError(f"inputs of type {x.dtype}; wanted numbers")
        scaling = Scaling.from_json(self.checkpoint.manifest["preprocessing"])
        pieces: list[tuple[Any, int]] = []  # as the device has them, so that it computes while the next one is made
        for at in range(0, len(x), block):
            piece = x[at : at + block]
            if resized:
                piece = resize(piece, resized)
            padded = piece
            if self.columns is None or len(piece) < block:
                padded = np.zeros((block, piece.shape[1]), np.float32)
                with np.errstate(over="ignore"):
                    padded[: len(piece)] = scaling.apply(piece)
            if not np.isfinite(padded.sum()) and len(bad := np.flatnonzero(~np.isfinite(padded).all(1))):
                raise DataError(f"inputs with nan or infinity, first in row {at + bad[0]}; wanted finite numbers")
            pieces.append((self._forward(padded), len(piece)))
        empty = np.zeros((0, self.architecture.outputs), np.float32)
        return np.concatenate([empty, *(np.asarray(made)[:count] for made, count in pieces)])

    def predict_proba(self, x: Any) -> np.ndarray:
        """The probability of each class, (rows, classes) float32."""
        return softmax(self.logits(x))

    def predict(self, x: Any) -> np.ndarray:
        """The most probable class of each row, (rows,): numbers where every class name is one, else names."""
        return self._class_names()[self.logits(x).argmax(1)]

    def _class_names(self) -> np.ndarray:
        numeric = all(name.isdecimal() and str(int(name)) == name for name in self.classes)
        return np.array([int(name) for name in self.classes] if numeric else self.classes)

    @cached_property
    def _forward(self) -> Any:
        import jax
        import jax.numpy as jnp

        from dnnrun.nn.network import Split

        network = Split(self.architecture).merge({name: jnp.asarray(value) for name, value in self.tensors.items()})
        return jax.jit(lambda x: network(x))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (rows, classes) of logits."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def load(checkpoint: str | Path) -> Trained:
    """The network of a run (`runs/NAME`), a run directory, or a checkpoint folder. Raises CheckpointError."""
    return Trained(find_checkpoint(checkpoint))


def evaluate(
    checkpoint: str | Path,
    *,
    split: str | None = None,
    data: str | Path | None = None,
    places: Places | None = None,
    watcher: Watcher | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> Evaluation:
    """Loss and accuracy of a checkpoint on a split of its own data: test, else validation, else train.

    `data` is a file of a table to evaluate on instead, all its rows, with the columns of the training table, the target
    among them. Raises CheckpointError for a damaged or missing checkpoint, DataError for a split that the data has not.
    """
    from dnnrun.assemble import assemble

    trained = load(checkpoint)
    tensors = trained.tensors
    spec, threads = trained.spec, trained.spec.train.threads
    here = spec.train.model_copy(update={"device": device, "devices": 1, "threads": "auto"})  # not where it was trained
    spec = spec.model_copy(update={"train": here})
    manifest = trained.checkpoint.manifest
    reading: dict[str, Any] = {}
    if data is not None:
        if split is not None:
            raise DataError("--split: --data has no splits; leave one of them out")
        reading["read"] = lambda spec, places: trained.read(str(data), places)
        spec = spec.model_copy(update={"train": here.model_copy(update={"batch_size": 1})})  # however few rows
    parts = assemble(spec, places or Places(), cache, None if threads == "auto" else threads, manifest, **reading)
    if misfit := parts.architecture.misfit({name: value.shape for name, value in tensors.items()}):
        raise DataError(f"{trained.checkpoint.folder}: {misfit}: the data is not of the kind that it was trained on")
    if data is None and manifest["data_hash"] not in (None, parts.dataset.hash) and watcher:
        watcher.warn("the data is not what this network was trained with; the numbers are of the data as it is now")
    chosen = split or next(name for name in SPLITS if name in parts.dataset.splits)
    start, stop = parts.dataset.splits.get(chosen, (0, 0))
    if start == stop:
        raise DataError(f"--split {chosen}: there are none of these rows; there are {', '.join(parts.dataset.splits)}")
    metrics = parts.evaluate_whole(tensors, chosen)
    return Evaluation(trained.checkpoint.folder, chosen if data is None else str(data), stop - start, metrics)
