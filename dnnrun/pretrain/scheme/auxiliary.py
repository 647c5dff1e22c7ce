"""Tasks whose labels cost less: other labels of the same rows, and rows that were spoiled on purpose."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StrictInt, StrictStr, model_validator

from dnnrun.data.source import Raw, Rows
from dnnrun.errors import DataError
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import Architecture, Model, beside
from dnnrun.nn.loss import Loss
from dnnrun.pretrain.corruption import Corruption as Spoil
from dnnrun.pretrain.corruption import Image
from dnnrun.pretrain.scheme import Scheme
from dnnrun.pretrain.stage import Stage

if TYPE_CHECKING:
    from dnnrun.nn.network import Split
    from dnnrun.train.task import Task

Names = Annotated[tuple[StrictInt | StrictStr, ...], Field(strict=False, min_length=1)]


class _Headed(Scheme):
    """Schemes that train the layers at once, with a head on top that goes afterwards."""

    def _stage(self, model: Model, features: int, head: str, units: int) -> Stage:
        below = self.chosen(model, features)
        top = beside(model, head, below.layers[-1].units, units, Activation.parse("identity"))
        encoder = Architecture(below.features, below.input_dropout, (*below.layers, top))
        return Stage(self.type, encoder, encoder.names, len(below.layers))  # type: ignore[attr-defined]


class Labels(_Headed):
    """Other labels of the same rows: from a file of numbers, or classes put together in groups."""

    type: Literal["labels"] = "labels"
    file: str | None = Field(
        default=None,
        description="a .npy of whole numbers from 0, one a row of the source's training rows (then of its test rows)",
    )
    groups: dict[str, Names] | None = Field(
        default=None, description="name of a label -> the classes that it stands for"
    )
    loss: Loss = Field(default_factory=lambda: Loss.parse("cross_entropy"), description="of the auxiliary outputs")

    @model_validator(mode="after")
    def _one_source(self) -> Labels:
        if (self.file is None) == (self.groups is None):
            raise ValueError("wanted either file or groups: where the labels come from")
        return self

    def stages(self, model: Model, features: int, classes: int) -> list[Stage]:
        return [self._stage(model, features, "auxiliary", classes)]

    def task(self, stage: Stage, split: Split, image: Image | None) -> Task:
        from dnnrun.train.task import Classification

        return Classification(split, self.loss.build(), self.loss.evaluation().build())

    def relabel(self, raw: Raw) -> Raw:
        labels, names, said = self._grouped(raw) if self.groups is not None else self._read(raw)
        count = len(raw.train.labels)
        train = Rows(raw.train.features, labels[:count])
        test = Rows(raw.test.features, labels[count:]) if raw.test is not None and len(labels) > count else None
        fingerprint = hashlib.sha256(f"{raw.fingerprint} {said}".encode()).hexdigest()
        return replace(
            raw, train=train, test=test, classes=names, fingerprint=fingerprint, task="classification", targets=()
        )

    def _grouped(self, raw: Raw) -> tuple[Any, tuple[str, ...], str]:
        import numpy as np

        from dnnrun.data.select import class_numbers

        assert self.groups is not None
        if raw.task != "classification":
            raise DataError(f"pretrain.groups: the data has no classes to put together, its task is {raw.task}")
        group = np.full(len(raw.classes), -1, np.int32)
        wanted = tuple(name for names in self.groups.values() for name in names)
        numbers = iter(class_numbers(raw.classes, wanted))
        for label, names in enumerate(self.groups.values()):
            for _ in names:
                group[next(numbers)] = label
        if left := [name for name, label in zip(raw.classes, group, strict=True) if label < 0]:
            raise DataError(f"pretrain.groups: {', '.join(left)} is in no group; put every class into one")
        if len(self.groups) < 2:
            raise DataError("pretrain.groups: one group; wanted two or more")
        both = [raw.train.labels] + ([raw.test.labels] if raw.test else [])
        return group[np.concatenate(both)], tuple(self.groups), repr(group.tolist())

    def _read(self, raw: Raw) -> tuple[Any, tuple[str, ...], str]:
        import numpy as np

        from dnnrun.data.npy import read_npy

        path = Path(str(self.file))
        try:
            found = read_npy(path, wanted="a .npy file of labels")
        except DataError as error:
            raise DataError(f"pretrain.file: {error}") from None
        counts = [len(raw.train.labels)]
        if raw.test is not None:
            counts.append(counts[0] + len(raw.test.labels))
        if found.ndim != 1 or len(found) not in counts or found.dtype.kind not in "iu":
            rows = " or ".join(f"{count:,}" for count in counts)
            raise DataError(
                f"pretrain.file: {path}: {found.dtype} of shape {list(found.shape)}; wanted {rows} whole numbers: one "
                "a training row of the source, in its order, and the test rows' after them if they are to be measured"
            )
        if len(found) == 0 or found.min() < 0 or found.max() == found.min() or found.max() >= 10_000:
            low, high = (found.min(), found.max()) if len(found) else (0, 0)
            raise DataError(f"pretrain.file: {path}: labels from {low} to {high}; wanted 0, 1, ..., two or more")
        names = tuple(str(number) for number in range(int(found.max()) + 1))
        return found.astype(np.int32), names, hashlib.sha256(found.astype("<i8").tobytes()).hexdigest()


class Corruption(_Headed):
    """Real rows are good, corrupted ones bad: the layers learn to tell them apart."""

    type: Literal["corruption"] = "corruption"
    corruption: Spoil = Field(
        default_factory=lambda: Spoil.parse("permute"), description="what makes a bad row of a good one"
    )

    def stages(self, model: Model, features: int, classes: int) -> list[Stage]:
        return [self._stage(model, features, "detector", 1)]

    def check(self, stage: Stage, low: float, high: float, image: Image | None) -> None:
        self.corruption.check(stage.encoder.features, image)

    def task(self, stage: Stage, split: Split, image: Image | None) -> Task:
        from dnnrun.pretrain.task.heads import GoodOrBad

        return GoodOrBad(split, self.corruption.build(stage.encoder.features, image))


class Margin(_Headed):
    """A scorer: a good row must score at least a margin above a bad one made of it."""

    type: Literal["margin"] = "margin"
    corruption: Spoil = Field(
        default_factory=lambda: Spoil.parse("permute"), description="what makes a bad row of a good one"
    )
    margin: float = Field(default=1.0, gt=0, description="how far above")

    def stages(self, model: Model, features: int, classes: int) -> list[Stage]:
        return [self._stage(model, features, "scorer", 1)]

    def check(self, stage: Stage, low: float, high: float, image: Image | None) -> None:
        self.corruption.check(stage.encoder.features, image)

    def task(self, stage: Stage, split: Split, image: Image | None) -> Task:
        from dnnrun.pretrain.task.heads import GoodOrBad

        return GoodOrBad(split, self.corruption.build(stage.encoder.features, image), self.margin)
