"""Pairs of rows: of the same class or not."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from dnnrun.data.dataset import Dataset
from dnnrun.data.source import Raw
from dnnrun.errors import SpecError
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import Model, beside
from dnnrun.pretrain.corruption import Image
from dnnrun.pretrain.scheme import Scheme
from dnnrun.pretrain.stage import Stage

if TYPE_CHECKING:
    import numpy as np

    from dnnrun.nn.network import Split
    from dnnrun.pretrain.task.heads import Pairs as Task


class Pairs(Scheme):
    """Two rows, of the same class or not: two towers of the layers, joined, then a logit. One tower is carried over.

    Half of the pairs are of one class, drawn anew for each epoch, as many as there are training rows.
    """

    type: Literal["pairs"] = "pairs"
    shared: bool = Field(default=False, description="both towers have the same weights")
    joint: int = Field(default=10, gt=0, description="units of the layer that joins the towers")

    rows: ClassVar[int] = 2

    def stages(self, model: Model, features: int, classes: int) -> list[Stage]:
        encoder = self.chosen(model, features)
        if self._activation(model).learned(self.joint) or self._activation(model).random:
            raise SpecError(["pretrain: pairs joins its towers by model.activation, which must not learn or draw"])
        towers = [] if self.shared else [replace(layer, name=f"twin_{layer.name}") for layer in encoder.layers]
        top = 2 * encoder.layers[-1].units
        joint = beside(model, "joint", top, self.joint, self._activation(model))
        match = beside(model, "match", self.joint, 1, Activation.parse("identity"))
        return [Stage("pairs", encoder, encoder.names, len(encoder.layers), own=(*towers, joint, match))]

    @staticmethod
    def _activation(model: Model) -> Activation:
        return model.activation

    def task(self, stage: Stage, split: Split, image: Image | None) -> Task:
        from dnnrun.pretrain.task.heads import Pairs

        joint = next(layer for layer in stage.own if layer.name == "joint")
        return Pairs(split, stage, self.shared, joint.activation)

    def relabel(self, raw: Raw) -> Raw:
        if raw.task != "classification":
            raise SpecError([f"pretrain: pairs are of one class or of two, and the task of the data is {raw.task}"])
        return raw

    def arrange(self, dataset: Dataset, seed: int) -> Dataset:
        """Training rows as they are; of every other split as many pairs as it has rows, one row after the other."""
        import numpy as np

        from dnnrun.streams import generator

        start, stop = dataset.splits["train"]
        places = [np.arange(start, stop)] + [np.array([stop - 1])] * ((stop - start) % 2)  # pairs begin at even rows
        splits, at = {"train": (start, stop)}, stop + (stop - start) % 2
        for split, (first, last) in dataset.splits.items():
            if split != "train":
                drawn = drawn_pairs(dataset.labels[first:last], last - first, generator(seed, "pairs", split), split)
                places.append(first + drawn)
                splits[split], at = (at, at + len(drawn)), at + len(drawn)
        rows = np.concatenate(places)
        digest = hashlib.sha256(dataset.hash.encode() + rows.astype("<i8").tobytes()).hexdigest()
        features, labels, origin = (array[rows] for array in (dataset.features, dataset.labels, dataset.origin))
        return replace(
            dataset, features=features, labels=labels, origin=origin, splits=splits, hash=digest, weights=None
        )

    def order(self, dataset: Dataset, seed: int, epoch: int, batch_size: int) -> np.ndarray:
        import numpy as np

        from dnnrun.streams import generator

        start, stop = dataset.splits["train"]
        count = (stop - start) // (batch_size // 2) * (batch_size // 2)
        rng = generator(seed, "pairs", epoch if self.shuffle else 0)
        return (start + drawn_pairs(dataset.labels[start:stop], count, rng, "training")).astype(np.int32)


def drawn_pairs(labels: np.ndarray, count: int, rng: np.random.Generator, split: str) -> np.ndarray:
    """`count` pairs of row numbers, (2 * count,), one after the other: half of one class, half of two, shuffled.

    Each pair of two different rows of one class is as likely as any other, and so is each of two classes. Raises
    SpecError where there are no such pairs.
    """
    import numpy as np

    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    alike, unlike = (sizes * (sizes - 1)).astype(np.float64), (sizes * (len(labels) - sizes)).astype(np.float64)
    if not alike.sum() or not unlike.sum():
        raise SpecError([f"pretrain: pairs wants two classes and two rows of one among the {split} rows"])
    same = count // 2 + (count % 2 and int(rng.integers(2)))
    kind = np.concatenate(
        [
            rng.choice(len(sizes), same, p=alike / alike.sum()),
            rng.choice(len(sizes), count - same, p=unlike / unlike.sum()),
        ]
    )
    size, begin = sizes[kind], starts[kind]
    first = (rng.random(count) * size).astype(np.int64)
    other = np.arange(count) >= same
    left = np.where(other, len(labels) - size, size - 1)
    second = (rng.random(count) * left).astype(np.int64)
    within = begin + second + (second >= first)  # not the row itself
    across = np.where(second < begin, second, second + size)  # not its class
    pairs = np.stack([order[begin + first], order[np.where(other, across, within)]], axis=1)
    return rng.permutation(pairs).reshape(-1)
