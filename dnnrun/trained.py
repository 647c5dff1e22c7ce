"""A trained network read back from a checkpoint: its layers and its predictions."""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dnnrun.data.scale import Scaling
from dnnrun.data.source import Places, TaskName
from dnnrun.data.table.columns import Columns
from dnnrun.data.table.frames import as_frame, encode, is_frame
from dnnrun.data.targets import TargetScale
from dnnrun.errors import CheckpointError, DataError, UnseenCategory
from dnnrun.nn.architecture import Architecture, lay_out, layer_of
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store.checkpoint import Checkpoint, outputs_of
from dnnrun.store.find import find_checkpoint

if TYPE_CHECKING:
    import polars

    from dnnrun.data.dataset import Dataset
    from dnnrun.data.inputs import Expected


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
        """The class names, in the order of the outputs; () where the task is no classification."""
        return tuple(self.checkpoint.manifest["classes"])

    @property
    def task(self) -> str:
        """classification, multilabel or regression."""
        return self.checkpoint.manifest.get("task", "classification")

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the labels or targets, in the order of the outputs; () of a classification."""
        return tuple(self.checkpoint.manifest.get("targets", ()))

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

        Raises DataError for columns that are missing and values that do not fit. Warns with UnseenCategory of
        categories that training has not seen, a warning a column.
        """
        if self.columns is None:
            if is_frame(x):
                raise DataError(
                    "inputs with names of columns; this network was trained on rows of numbers without: hand over the "
                    "numbers alone, as x.to_numpy()"
                )
            return x
        encoded = encode(as_frame(x, self.columns), self.columns, "the inputs")
        for line in encoded.unseen.lines():
            warnings.warn(line, UnseenCategory, stacklevel=_caller())
        return encoded.matrix

    @property
    def expected(self) -> Expected:
        """What arrays and images must be like to be its raw inputs."""
        from dnnrun.data.inputs import Expected

        manifest = self.checkpoint.manifest
        resized, width = manifest.get("resize"), self.architecture.features
        image = resized["from"] if resized else manifest.get("image")
        if self.columns is not None:
            width = len(self.columns.used)
        elif image:
            width = math.prod(image)
        return Expected(width, image and tuple(image), manifest.get("largest") or 1.0, self.spec.data.source)

    def read(self, path: str, places: Places, labels: str | None = None) -> Dataset:
        """The rows of another file, array or folder of images, with their labels. Raises CheckpointError, DataError.

        `labels` is the file of an array's, where it has none of its own.
        """
        from dnnrun.data import inputs
        from dnnrun.data.finding import find, find_all
        from dnnrun.data.settle import whole
        from dnnrun.data.table.files import open_table
        from dnnrun.data.target import Target

        source: Any = self.spec.data.source
        if self.columns is None:
            expected, task = self.expected, cast(TaskName, self.task)
            apart = None if labels is None else find(labels, places)
            found = inputs.open_inputs(inputs.located(path, places), expected, apart)
            return inputs.whole(found, expected, self.classes or self.targets, task)
        if labels is not None:
            raise DataError("--labels: the labels of a table are its target column; leave it out")
        (found, *_) = find_all(path, places)
        if inputs.takes(found):
            raise DataError(
                f"{path}: arrays and images have no columns; wanted a table with those of the training file, the "
                "target among them"
            )
        self.columns.check_names(open_table(found, source.form()).names, str(found))
        target = Target(self.checkpoint.manifest.get("task", "classification"), self.classes, source.target, None)
        raw = source.read_like(path, self.columns, places)
        return whole(raw, target, self.columns)

    def told(self, x: np.ndarray, proba: bool) -> polars.DataFrame:
        """What is predicted for `inputs`: a column `prediction`, and with `proba` a `probability_<class>` for each.

        Of several labels or targets a column `prediction_<name>` for each. Raises DataError for probabilities of a
        regression.
        """
        import polars as pl

        if proba and self.task == "regression":
            raise DataError(f"--proba: {self.checkpoint.folder}: a regression has no probabilities; leave it out")
        outputs = self.outputs(x)
        said = self._said(outputs)
        found = list(said[:, None].T if said.ndim == 1 else said.T)
        if proba:
            found += list(probabilities(outputs, self.task).T)
        names = self.told_names(proba)
        return pl.DataFrame([pl.Series(name, values) for name, values in zip(names, found, strict=True)])

    def told_names(self, proba: bool) -> list[str]:
        """The columns that `told` gives."""
        several = self.task == "multilabel" or len(self.targets) > 1
        found = [f"prediction_{name}" for name in self.targets] if several else ["prediction"]
        return found + [f"probability_{name}" for name in self.classes or self.targets] * proba

    def logits(self, x: Any) -> np.ndarray:
        """What the network puts out, (rows, outputs) float32, for raw inputs.

        Of classes and labels before the softmax or logistic function, of a regression the standardized targets.

        These are rows (rows, features), or for a network of a table a data frame of polars or pandas, or a mapping of
        columns by name.
        """
        return self.outputs(self.inputs(x))

    def outputs(self, x: Any) -> np.ndarray:
        """What `logits` gives, (rows, outputs) float32, for what `inputs` gives."""
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
            with np.errstate(over="ignore", invalid="ignore"):
                total = padded.sum()
            if not np.isfinite(total) and len(bad := np.flatnonzero(~np.isfinite(padded).all(1))):
                what = "nan, or numbers too large for float32"
                raise DataError(f"inputs with {what}, first in row {at + bad[0]}; wanted finite numbers")
            pieces.append((self._forward(padded), len(piece)))
        empty = np.zeros((0, self.architecture.outputs), np.float32)
        return np.concatenate([empty, *(np.asarray(made)[:count] for made, count in pieces)])

    def predict_proba(self, x: Any) -> np.ndarray:
        """The probability of each class, (rows, classes) float32; of several labels that of each, (rows, labels).

        Raises DataError for a regression, which has none.
        """
        if self.task == "regression":
            raise DataError(f"{self.checkpoint.folder}: a regression has no probabilities; use predict")
        return probabilities(self.logits(x), self.task)

    def predict(self, x: Any) -> np.ndarray:
        """The most probable class of each row, (rows,): numbers where every class name is one, else names.

        Of several labels 0 or 1 each, (rows, labels) int32; of a regression the target in its units, (rows,) float32,
        or (rows, targets) where there are several.
        """
        return self._said(self.logits(x))

    def _said(self, outputs: np.ndarray) -> np.ndarray:
        if self.task == "regression":
            found = self.in_units(outputs)
            return found[:, 0] if found.shape[1] == 1 else found
        if self.task == "multilabel":
            return (outputs > 0).astype(np.int32)
        return self._class_names()[chosen(outputs)]

    def _class_names(self) -> np.ndarray:
        whole = all(name.removeprefix("-").isdecimal() and str(int(name)) == name for name in self.classes)
        numbers = np.array([int(name) for name in self.classes] if whole else self.classes)
        return numbers if numbers.dtype.kind in "iu" else np.array(self.classes)  # too large ones stay names

    def in_units(self, outputs: np.ndarray) -> np.ndarray:
        """A regression's outputs (rows, targets) in the units of the targets, float32."""
        scale = self.checkpoint.manifest.get("target_scale")
        return TargetScale.from_json(scale).restore(outputs) if scale else outputs

    @cached_property
    def _forward(self) -> Any:
        import jax
        import jax.numpy as jnp

        from dnnrun.nn.network import Split

        network = Split(self.architecture).merge({name: jnp.asarray(value) for name, value in self.tensors.items()})
        return jax.jit(lambda x: network(x))


def _caller() -> int:
    """The stacklevel of the line outside this file that asked, for a warning of the function that calls this one."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    return level


def probabilities(outputs: np.ndarray, task: str) -> np.ndarray:
    """The probability of each class or label, (rows, names), of outputs (rows, outputs), in their type."""
    if task == "multilabel" or outputs.shape[1] == 1:
        small = np.exp(-np.abs(outputs))  # never more than 1
        yes = np.where(outputs >= 0, 1, small) / (1 + small)
        return yes if task == "multilabel" else np.concatenate([1 - yes, yes], axis=1)
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def chosen(outputs: np.ndarray) -> np.ndarray:
    """The number of the most probable class, (rows,), of outputs (rows, outputs)."""
    return (outputs[:, 0] > 0).astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(1)


def load(checkpoint: str | Path) -> Trained:
    """The network of a run (`runs/NAME`), a run directory, or a checkpoint folder. Raises CheckpointError."""
    return Trained(find_checkpoint(checkpoint))
