"""From the `pretrain` section of a spec to its stages, and each to what a session trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun import files
from dnnrun.assemble import check_memory, course_of
from dnnrun.assembly import Assembly
from dnnrun.data.dataset import Dataset
from dnnrun.data.picture import png
from dnnrun.data.scale import Scaling
from dnnrun.data.scale import fit as fit_scaling
from dnnrun.data.select import select
from dnnrun.data.settle import settle
from dnnrun.data.source import Places
from dnnrun.data.task import as_task
from dnnrun.errors import DataError, DeviceError, SpecError
from dnnrun.nn.architecture import lay_out
from dnnrun.pretrain.pictures import tiles
from dnnrun.pretrain.scheme import Scheme
from dnnrun.pretrain.stage import Stage
from dnnrun.spec.sections import Spec
from dnnrun.supervision import outputs_for
from dnnrun.transfer.options import PRETRAIN, Transfer
from dnnrun.transfer.phases import Phase, phases_of

PICTURES = 100  # tiles of a picture
ACROSS = 10


@dataclass(frozen=True)
class Pretraining:
    """The stages of a spec, their rows, and how these are scaled."""

    spec: Spec
    scheme: Scheme
    dataset: Dataset
    scaling: Scaling
    stages: tuple[Stage, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The hidden layers that are pretrained."""
        return tuple(dict.fromkeys(name for stage in self.stages for name in stage.hidden))

    def spec_of(self, stage: Stage) -> Spec:
        """The spec that a stage alone would have: the model up to its highest layer, the options of its training."""
        own, scheme = self.spec.train, self.scheme
        train = own.model_copy(
            update={
                "optimizer": scheme.optimizer or own.optimizer,
                "clip": scheme.clip,
                "batch_size": scheme.batch_size or own.batch_size,
                "epochs": scheme.epochs,
                "l1": 0.0,
                "l2": scheme.l2,
                "max_norm": None,
                "early_stopping": None,
                "monitor": None,
                "devices": 1,
            }
        )
        model = self.spec.model.model_copy(update={"hidden": self.spec.model.hidden[: stage.depth]})
        data = scheme.data or self.spec.data
        return self.spec.model_copy(update={"data": data, "model": model, "train": train, "transfer": None})

    def rows(self) -> list[list[str]]:
        """A table with a line a stage."""
        found = [["stage", "learns", "on", "frozen below", "epochs", "batch"]]
        start, stop = self.dataset.splits["train"]
        for stage in self.stages:
            sizes = "-".join(str(n) for n in (stage.encoder.features, *(x.units for x in stage.encoder.layers)))
            learns = ", ".join(name for name in stage.names if name in stage.trainable)
            cached = " (cached)" if stage.first and self.scheme.cache == "auto" else ""
            below = f"{', '.join(stage.encoder.names[: stage.first])}{cached}" if stage.first else "-"
            batch = str(self.scheme.batch_size or self.spec.train.batch_size)
            found.append(
                [stage.name, f"{learns} of {sizes}", f"{stop - start:,} rows", below, str(self.scheme.epochs), batch]
            )
        return found


def plan_pretraining(spec: Spec, places: Places) -> Pretraining:
    """The stages of the spec's `pretrain` section; nothing is trained, JAX is not imported.

    Raises SpecError where the scheme does not fit the model or the data, DataError where the data is unusable.
    """
    scheme = spec.pretrain
    if scheme is None:
        raise SpecError(["pretrain: missing; wanted a pretrain: section, as {type: autoencoder}"])
    if scheme.data and scheme.data.augment:
        raise SpecError(["pretrain.data.augment: stages take rows as they are; augment data, or leave it out"])
    data = scheme.data or spec.data
    raw = scheme.relabel(as_task(settle(data.source.read(places), data.task, data.groups), data.task))
    dataset = select(raw, data.model_copy(update={"task": None}), spec.seed)
    scaling = fit_scaling(data.scale, dataset)
    stages = tuple(scheme.stages(spec.model, dataset.width, len(dataset.names)))
    batch = scheme.batch_size or spec.train.batch_size
    start, stop = dataset.splits["train"]
    if batch > stop - start:
        raise DataError(
            f"pretrain.batch_size: {batch} is more than the {stop - start} training rows; use a smaller one"
        )
    rows = dataset.features[start:stop]
    ends = [scaling.apply(end) for end in (rows.min(0), rows.max(0))]
    for stage in stages:
        check_memory(stage.encoder, batch)
        scheme.check(stage, float(ends[0].min()), float(ends[1].max()), dataset.image)
    return Pretraining(spec, scheme, scheme.arrange(dataset, spec.seed), scaling, stages)


def fine_tuning(spec: Spec) -> Spec:
    """The spec of the supervised part: every pretrained layer is reused, unless `transfer` says otherwise."""
    if spec.transfer is not None or spec.pretrain is None:
        return spec
    return spec.model_copy(
        update={"transfer": Transfer.model_validate({"from": PRETRAIN, "reuse": spec.pretrain.layers})}
    )


def check_fine_tuning(spec: Spec, pretraining: Pretraining, dataset: Dataset) -> None:
    """Raise what would keep the supervised part from taking over the layers, before any stage has begun."""
    import re

    if pretraining.dataset.width != dataset.width:
        raise DataError(
            f"pretrain.data: rows of {pretraining.dataset.width} features, and data has {dataset.width}; "
            "pretrain on rows of the same columns"
        )
    tuned = fine_tuning(spec)
    assert tuned.transfer is not None
    architecture = lay_out(spec.model, dataset.width, outputs_for(spec, dataset))
    reused = [name for name in architecture.names if re.fullmatch(tuned.transfer.reuse, name)]
    if absent := [name for name in reused if name not in pretraining.layers]:
        raise SpecError(
            [
                f"transfer.reuse: {tuned.transfer.reuse!r} takes {', '.join(absent)}, which is not pretrained; "
                f"pretrained are {', '.join(pretraining.layers)}: narrow the pattern"
            ]
        )
    stopping = spec.train.early_stopping
    augmented = spec.data.augment is not None
    phases_of(tuned.transfer, architecture, reused, spec.train.epochs, stopping and stopping.patience, augmented)


@dataclass
class StageAssembly(Assembly):
    """What a stage computes with. `before` are the tensors that the stages before it ended with."""

    scheme: Scheme = field(kw_only=True)
    stage: Stage = field(kw_only=True)
    before: Mapping[str, np.ndarray] = field(kw_only=True)

    augmentation = None  # type: ignore[assignment]  # stages take rows as they are

    @property
    def stage_name(self) -> str:  # type: ignore[override]
        return self.stage.name

    def _order(self, epoch: int) -> np.ndarray:
        return self.scheme.order(self.dataset, self.spec.seed, epoch, self.objective.batch_size)

    def first_tensors(self) -> dict[str, np.ndarray]:
        """Every tensor before the first step: drawn, or as a stage before left it."""
        from dnnrun.nn.network import initial_tensors

        layers = (*self.stage.encoder.layers, *self.stage.own)
        found = initial_tensors(replace(self.stage.encoder, layers=layers), self.spec.seed)
        found |= {t.name: np.full(t.shape, t.start, np.float32) for t in self.stage.extra}
        return {name: self.before.get(name, value) for name, value in found.items()}

    def _weights(self) -> None:
        """What is learned before the labels counts every row the same."""
        return None

    def compare(self, record: dict[str, Any], tensors: Mapping[str, Any]) -> None:
        rows = np.diff(self.dataset.splits.get("validation", (0, 0))).item()
        self.scheme.compare(record, partial(self._measure, tensors), rows)

    def _measure(self, tensors: Mapping[str, Any], split: str, rows: int) -> dict[str, float]:
        start, stop = self.dataset.splits[split]
        return self.program.evaluate(dict(tensors), self.data, start, min(stop, start + rows))

    def finish(self, folder: Path, tensors: Mapping[str, Any], metrics: dict[str, dict[str, float]]) -> None:
        from dnnrun.pretrain.finish import finish

        whole = {split: partial(self._blocks, split) for split in self.dataset.splits}
        pictures = finish(self.scheme, self.stage, self.task, tensors, metrics, whole, self.image, self.spec.seed)
        for name, rows in pictures.items():
            assert self.image is not None
            sheet = tiles(rows[:PICTURES], self.image, ACROSS, stretch=name == "filters")
            files.write_atomic(folder / f"{name}.png", png(sheet))

    @property
    def image(self) -> tuple[int, int, int] | None:
        """Height, width and channels of the rows, None where they are no images."""
        return self.dataset.image

    def _blocks(self, split: str, limit: int | None = None) -> Any:
        """The scaled rows of a split, (rows, width) float32."""
        start, stop = self.dataset.splits[split]
        return self.scaling.apply(self.dataset.features[start : stop if limit is None else min(stop, start + limit)])

    def manifest(self) -> dict[str, Any]:
        layers = lay_out(self.spec.model, self.dataset.width, len(self.dataset.names)).names
        pretrained = {"stage": self.stage.name, "layers": list(self.stage.encoder.names[: self.stage.depth])}
        told = {"layers": list(layers), "outputs": len(self.dataset.names), "pretrained": pretrained}
        return {**super().manifest(), **told}

    def network_account(self) -> str:
        parameters = sum(tensor.size for tensor in self.task.tensors if not tensor.statistic)
        sizes = "-".join(str(n) for n in (self.architecture.features, *(x.units for x in self.architecture.layers)))
        beside = [name for name in self.stage.names if name not in self.architecture.names]
        return f"{sizes}{' and ' * bool(beside)}{', '.join(beside)}, {parameters:,} parameters"


def assemble_stage(
    pretraining: Pretraining,
    number: int,
    before: Mapping[str, np.ndarray],
    places: Places,
    cache: Path | None,
    threads: int | None,
) -> StageAssembly:
    """A stage's objects; `before` are the tensors of the stages before it."""
    from dnnrun.nn.network import Split
    from dnnrun.train.device import prepare

    scheme, dataset = pretraining.scheme, pretraining.dataset
    spec = pretraining.spec_of(pretraining.stages[number])
    stage = scheme.sized(pretraining.stages[number], spec.train.batch_size)
    machine = prepare(spec.train.device, spec.train.threads, cache, threads)
    if machine.processes > 1:
        raise DeviceError("pretrain: its stages run in one process; leave --distributed out, and transfer from the run")
    objective, plan = course_of(spec, dataset)
    rows = spec.train.batch_size * scheme.rows
    split = Split(stage.encoder, spec.train.precision)
    cached = stage.first if scheme.cache == "auto" else 0
    parts = StageAssembly(
        spec, machine, dataset, pretraining.scaling, stage.encoder, replace(objective, batch_size=rows),
        replace(plan, batch_size=rows), scheme.task(stage, split, dataset.image),
        places.cache and places.cache / "outputs", scheme=scheme, stage=stage, before=before,
    )  # fmt: skip
    parts.phases = [Phase(stage.trainable, first=cached)]
    return parts
