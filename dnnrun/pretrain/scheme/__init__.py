"""Pretraining schemes: one class each, its options its fields, its stages what `stages` returns."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from dnnrun.component import Component
from dnnrun.data.section import Data
from dnnrun.errors import SpecError
from dnnrun.nn.architecture import Architecture, Model, lay_out
from dnnrun.optim.clipping import Clipping
from dnnrun.optim.optimizer import Optimizer
from dnnrun.pretrain.stage import Stage
from dnnrun.transfer.options import Pattern

if TYPE_CHECKING:
    import numpy as np

    from dnnrun.data.dataset import Dataset
    from dnnrun.data.source import Raw
    from dnnrun.nn.network import Split
    from dnnrun.train.task import Task


class Scheme(Component):
    """What is learned before the labels."""

    family: ClassVar[str] = "schemes"
    home: ClassVar[str] = "dnnrun.pretrain.scheme"
    rows: ClassVar[int] = 1  # rows of a batch that make one example

    layers: Pattern = Field(default="hidden.*", description="which hidden layers learn: the first ones, by name")
    data: Data | None = Field(default=None, description="the rows to learn from; unset: those of the spec's data")
    epochs: int = Field(default=10, gt=0, description="passes over the training rows, in each stage")
    batch_size: int | None = Field(default=None, gt=0, description="examples a step; unset: train.batch_size")
    optimizer: Optimizer | None = Field(default=None, description="unset: train.optimizer")
    clip: Clipping | None = Field(default=None, description="bounds the gradients before the optimizer")
    l2: float = Field(
        default=0.0, ge=0, description="this times half the sum of squared kernel values is minimised too"
    )
    shuffle: bool = Field(default=True, description="draw the order of the rows anew for each epoch")
    cache: Literal["auto", "off"] = Field(
        default="auto", description="compute the outputs of the layers below a stage's once"
    )

    def chosen(self, model: Model, features: int) -> Architecture:
        """The layers that learn, without outputs. Raises SpecError unless they are the first ones."""
        whole = lay_out(model, features, 1)
        hidden = whole.layers[:-1]
        names = [layer.name for layer in hidden]
        found = [name for name in names if re.fullmatch(self.layers, name)]
        if not found:
            there = f"the hidden layers are {', '.join(names)}" if names else "the model has no hidden layers"
            raise SpecError([f"pretrain.layers: {self.layers!r} matches no hidden layer; {there}"])
        if found != names[: len(found)]:
            missing = next(name for name in names if name not in found)
            raise SpecError(
                [
                    f"pretrain.layers: {self.layers!r} takes {', '.join(found)} and leaves out {missing} below; "
                    "layers are pretrained from the first one up: take it in"
                ]
            )
        return Architecture(whole.features, whole.input_dropout, hidden[: len(found)])

    def stages(self, model: Model, features: int, classes: int) -> list[Stage]:
        """The stages in order, for so many features and classes of the rows. Raises SpecError where they do not fit."""
        raise TypeError(f"{type(self).__name__} does not say what its stages are")

    def task(self, stage: Stage, split: Split, image: tuple[int, int, int] | None) -> Task:
        """What a stage minimises; `split` is the network of its encoder. JAX imported inside."""
        raise TypeError(f"{type(self).__name__} does not say what it minimises")

    def relabel(self, raw: Raw) -> Raw:
        """The rows as they were read, with the labels of this scheme."""
        return raw

    def arrange(self, dataset: Dataset, seed: int) -> Dataset:
        """The rows as the stages take them."""
        return dataset

    def check(self, stage: Stage, low: float, high: float, image: tuple[int, int, int] | None) -> None:
        """Raise SpecError where rows from `low` to `high`, images of this size or a table, are none for this scheme."""

    def order(self, dataset: Dataset, seed: int, epoch: int, batch_size: int) -> np.ndarray:
        """The row numbers, int32, that the batches of an epoch are cut from."""
        import numpy as np

        from dnnrun.streams import generator

        rows = np.arange(*dataset.splits["train"], dtype=np.int32)
        return generator(seed, "order", epoch).permutation(rows) if self.shuffle else rows

    def sized(self, stage: Stage, batch_size: int) -> Stage:
        """The stage with the tensors that depend on the size of a batch."""
        return stage

    def carried(self, tensor: str) -> bool:
        """Whether a tensor of the last stage goes into the checkpoint that pretraining alone ends with."""
        return True

    def compare(self, record: dict[str, Any], measure: Callable[[str, int], dict[str, float]], rows: int) -> None:
        """Add to an epoch's record what compares its splits; there are `rows` validation rows.

        `measure(split, n)` gives the metrics of the first n rows of a split.
        """


def without_dropout(architecture: Architecture) -> Architecture:
    """The same layers; what is to be reconstructed is not dropped."""
    from dataclasses import replace

    return Architecture(architecture.features, 0.0, tuple(replace(layer, dropout=0.0) for layer in architecture.layers))
