"""From a Spec to the objects that train: its rows, its scaling, its network, its plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dnnrun.assembly import Assembly
from dnnrun.data.dataset import Dataset
from dnnrun.data.room import Room
from dnnrun.data.scale import Scaling
from dnnrun.data.scale import fit as fit_scaling
from dnnrun.data.section import Divide
from dnnrun.data.select import select
from dnnrun.data.source import Places
from dnnrun.data.table.columns import Columns
from dnnrun.data.targets import TargetScale, fit_targets
from dnnrun.data.weigh import row_weights
from dnnrun.errors import DataError, DeviceError, MemoryShort, SpecError, TransferError
from dnnrun.foreign import is_foreign, open_donor
from dnnrun.nn.architecture import OUTPUTS, Architecture, is_kernel, lay_out
from dnnrun.optim.schedule import MOST_STEPS, Horizon
from dnnrun.spec.sections import Spec, Train
from dnnrun.store.find import find_checkpoint, located
from dnnrun.supervision import check_metric, outputs_for, supervised
from dnnrun.train.device import Machine, chosen, free_memory, prepare, total_memory
from dnnrun.transfer import plan as transfers
from dnnrun.transfer.checkpoint_donor import donor_of
from dnnrun.transfer.donor import Donor
from dnnrun.transfer.fit import inputs_of
from dnnrun.transfer.options import PRETRAIN, Part
from dnnrun.transfer.phases import Phase, phases_of

if TYPE_CHECKING:
    from dnnrun.train.loop import Plan
    from dnnrun.train.program import Objective
    from dnnrun.train.spread import Spread

COPIES = 8  # of every parameter: itself, its gradient, two moments, the best, and what a save holds at once


def read_data(spec: Spec, places: Places, columns: Columns | None = None) -> Dataset:
    """The rows that the spec names; `columns` stand in for those that a table would give. Raises DataError.

    They are on disk where they are streamed, in a room of their own or that of `places`, else in memory.
    """
    room = places.room or room_for(spec, places)
    try:
        raw = spec.data.source.read(replace(places, room=room))
        dataset = select(raw, spec.data, spec.seed, columns, room, drain=True)
    except BaseException:
        if room:
            room.close()
        raise
    if raw.validation or (raw.undecoded is not None and "validation" in raw.undecoded.apart):
        start, stop = dataset.splits.get("validation", (0, 0))
        own = f"{stop - start:,} validation rows of the source's own"
        note = f"{own}; data.validation ({spec.data.validation:g}) takes none from training"
        dataset = replace(dataset, notes=(*dataset.notes, note))
    return dataset


def room_for(spec: Spec, places: Places) -> Room | None:
    """Where streamed rows are kept, None where they are not."""
    return None if spec.data.stream is None else Room.of(places.cache)


def open_donors(spec: Spec, sources: Sequence[str] | None = None) -> list[Donor]:
    """The sources of the spec's transfer in order; `sources` stand in for where it says they are."""
    if spec.transfer is None:
        return []
    parts = spec.transfer.parts
    paths = sources or [part.from_ for part in parts]
    return [_open_donor(part, path) for part, path in zip(parts, paths, strict=True)]


def _open_donor(part: Part, source: str) -> Donor:
    """The run, checkpoint or foreign file at `source`."""
    path = located(source)
    if is_foreign(path):
        return open_donor(part.from_, path, part.map)
    if part.map is not None:
        raise TransferError(f"transfer.map: {part.from_} is no file of another framework; leave the map out")
    return donor_of(part.from_, find_checkpoint(path))


def plan_transfer(spec: Spec, places: Places, dataset: Dataset | None = None) -> transfers.Plan:
    """What the spec's transfer comes to; nothing is trained, no tensor read. Raises TransferError and DataError.

    `dataset` are the spec's rows where they have been read already.
    """
    if spec.transfer is None:
        raise TransferError("transfer: the spec reuses nothing; name a source with --from or a transfer: section")
    if spec.transfer.from_ == PRETRAIN:
        raise TransferError(
            "transfer.from: pretrain: its stages must run before there is a plan; dnnrun pretrain --dry-run shows them"
        )
    donors = open_donors(spec)
    dataset = dataset or read_data(spec, places)
    _, resize, notes = _inputs_of(spec, donors, dataset)
    width = math.prod(resize["to"]) if resize else dataset.width
    architecture = lay_out(spec.model, width, outputs_for(spec, dataset))
    plan = transfers.make_plan(spec.transfer, architecture, donors, _ahead(spec, dataset))
    return replace(plan, notes=(*notes, *plan.notes))


def _inputs_of(
    spec: Spec, donors: Sequence[Donor], dataset: Dataset
) -> tuple[Scaling | None, Mapping[str, Any] | None, list[str]]:
    if spec.transfer and spec.transfer.from_ == PRETRAIN and donors:
        theirs = Scaling.from_json(donors[0].preprocessing)  # the layers take their inputs as they did in pretraining
        notes = [f"scaled as in pretraining: {theirs.type}"] if spec.pretrain and spec.pretrain.data else []
        return theirs, None, notes
    first = "hidden1" if spec.model.hidden else OUTPUTS
    scale = spec.data.scale
    scale = "divide_by" if isinstance(scale, Divide) else scale
    return inputs_of(spec.transfer, donors, dataset, scale, first)


def _ahead(spec: Spec, dataset: Dataset) -> transfers.Ahead:
    optimizer, augmented = spec.train.optimizer.model_dump(mode="json"), spec.data.augment is not None
    return transfers.Ahead(spec.train.epochs, _patience(spec), optimizer, dataset.names, dataset.task, augmented)


def _patience(spec: Spec) -> int | None:
    return spec.train.early_stopping.patience if spec.train.early_stopping else None


def check_memory(architecture: Architecture, batch_size: int) -> None:
    """Raise MemoryShort where training would take more memory than is free, DeviceError for more than there is."""
    width = sum(layer.units for layer in architecture.layers)
    wanted = 4 * (COPIES * architecture.parameters() + 3 * width * max(batch_size, 1000))
    free = free_memory()
    if wanted > free:
        kind = MemoryShort if wanted <= total_memory() else DeviceError
        raise kind(
            f"model.hidden: a network of {architecture.parameters():,} parameters wants about "
            f"{wanted / 2**30:,.1f} GiB to train, and {free / 2**30:,.1f} GiB are free; "
            "use smaller layers or a larger machine"
        )


def _check_shares(batch_size: int, machine: Machine) -> None:
    """Raise DeviceError where the rows of a batch cannot be shared out evenly."""
    over = batch_size % machine.count
    if over:
        sizes = " or ".join(f"{n}" for n in (batch_size - over, batch_size - over + machine.count) if n)
        raise DeviceError(
            f"train.batch_size: {batch_size} rows cannot be shared evenly by {machine.count} devices; "
            f"use {sizes}, or another number of devices"
        )


def _check_stream(spec: Spec, architecture: Architecture) -> None:
    """Raise SpecError where what is asked for wants all rows at once."""
    exact = [layer.name for layer in architecture.layers if layer.batch_norm and layer.batch_norm.statistics == "exact"]
    if spec.data.stream and exact:
        raise SpecError(
            [
                f"data.stream: the exact batch-norm statistics of {exact[0]} want all rows on the device; "
                "use statistics: moving"
            ]
        )


def _spread(machine: Machine) -> Spread | None:
    if machine.count == 1 and machine.processes == 1:
        return None
    from dnnrun.train.spread import Spread

    return Spread(chosen(machine))


def assemble(
    spec: Spec,
    places: Places,
    cache: Path | None,
    threads: int | None = None,
    manifest: Mapping[str, Any] | None = None,
    sources: Sequence[str] | None = None,
    devices: Literal["all"] | None = None,
    read: Callable[[Spec, Places], Dataset] = read_data,
) -> Assembly:
    """Read the data while JAX starts, then build everything but the program of a phase.

    `threads` stands in for an `auto` of the spec. `manifest`, of a checkpoint to go on from or to evaluate, tells the
    scaling, the resizing and the transfer that were settled then. `sources` stand in for those of the spec's transfer,
    `devices` for what the spec says of them. `read` gives the rows.
    """
    donors = [] if manifest is not None else open_donors(spec, sources)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read, spec, places)
        machine = prepare(spec.train.device, spec.train.threads, cache, threads, devices or spec.train.devices)
        from dnnrun.nn.network import Split

        dataset = reading.result()
    if manifest is not None and (settled := Columns.from_json(manifest["preprocessing"])) not in (
        None,
        dataset.columns,
    ):
        dataset = read_data(spec, places, settled)  # other rows than in training: its columns hold all the same
    if manifest is not None:
        inputs = Scaling.from_json(manifest["preprocessing"]), manifest.get("resize"), []
    else:
        inputs = _inputs_of(spec, donors, dataset)
    scaling, resize, notes = inputs
    if resize:
        from dnnrun.train.resize import resize as resized

        dataset = replace(
            dataset, features=resized(dataset.features, resize, room_for(spec, places)), image=tuple(resize["to"])
        )
    if spec.data.augment:
        spec.data.augment.check(dataset.image)
    scaling = scaling or fit_scaling(spec.data.scale, dataset)
    architecture = lay_out(spec.model, dataset.width, outputs_for(spec, dataset))
    objective, plan = course_of(spec, dataset)  # a batch beyond the data is told as that, not as too much memory
    row_weights(dataset, spec.train.class_weights)  # raises here, before there is a run directory
    check_memory(architecture, spec.train.batch_size)
    _check_shares(spec.train.batch_size, machine)
    _check_stream(spec, architecture)
    split = Split(architecture, spec.train.precision)
    targets = TargetScale.from_json(manifest["target_scale"]) if manifest and manifest.get("target_scale") else None
    targets = targets or fit_targets(dataset)
    task = supervised(spec, dataset, split, targets)
    outputs = places.cache and places.cache / "outputs"
    parts = Assembly(
        spec, machine, dataset, scaling, architecture, objective, plan,
        task, outputs, _spread(machine), resize=resize, targets=targets,
    )  # fmt: skip
    parts.notes += notes
    _phases(parts, donors, manifest)
    return parts


def _phases(parts: Assembly, donors: list[Donor], manifest: Mapping[str, Any] | None) -> None:
    options, names = parts.spec.transfer, parts.architecture.names
    if options and donors:
        ahead = _ahead(parts.spec, parts.dataset)
        plan = transfers.make_plan(options, parts.architecture, donors, ahead)
        parts.reuse = replace(plan, notes=(*parts.notes, *plan.notes))
        parts.transfer, parts.phases = parts.reuse.as_json(), parts.reuse.phases
    elif options and manifest and manifest.get("transfer"):
        parts.transfer = manifest["transfer"]
        reused, patience = manifest["transfer"]["reused"], _patience(parts.spec)
        augmented = parts.spec.data.augment is not None
        found, _ = phases_of(options, parts.architecture, reused, parts.plan.epochs, patience, augmented)
        parts.phases = found
    else:
        parts.phases = [Phase(frozenset(names))]


def course_of(spec: Spec, dataset: Dataset) -> tuple[Objective, Plan]:
    """How training minimises, and what the loop has to do. Raises DataError for a batch larger than the rows."""
    from dnnrun.train.loop import Plan

    options, stopping = spec.train, spec.train.early_stopping
    start, stop = dataset.splits["train"]
    steps = (stop - start) // options.batch_size
    if steps == 0:
        raise DataError(
            f"train.batch_size: {options.batch_size} is more than the {stop - start} training rows; use a smaller one"
        )
    if steps * options.epochs > MOST_STEPS:
        raise SpecError(
            [
                f"train.epochs: found {options.epochs}, which are {steps * options.epochs:,} steps at {steps:,} an "
                f"epoch, wanted at most {MOST_STEPS:,} steps, the most that a run can count; take fewer epochs"
            ]
        )
    plan = Plan(
        epochs=options.epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        splits=dict(dataset.splits),
        monitor=_monitor(spec, dataset),
        schedule=options.optimizer.learning_rate,
        patience=_patience(spec),
        min_delta=stopping.min_delta if stopping else 0.0,
        cut_every=options.checkpoint_every.steps,
        watch_every=options.watch and options.watch.every(steps, steps * options.epochs),
    )
    return objective_of(options, steps), plan


def objective_of(options: Train, steps: int) -> Objective:
    """How training minimises, at so many steps an epoch."""
    from dnnrun.train.program import Objective

    return Objective(
        direction=options.optimizer.build(is_kernel),
        rate=options.optimizer.learning_rate.build(Horizon(steps, options.epochs)),
        batch_size=options.batch_size,
        steps_per_epoch=steps,
        clip=options.clip and options.clip.build(),
        l1=options.l1,
        l2=options.l2,
        max_norm=options.max_norm,
    )


def _monitor(spec: Spec, dataset: Dataset) -> str:
    wanted = spec.train.monitor
    if wanted is not None:
        check_metric(wanted, "train.monitor", dataset.task)
    else:
        return "validation.loss" if "validation" in dataset.splits else "train.loss"
    if wanted.startswith("validation") and "validation" not in dataset.splits:
        raise DataError(f"train.monitor: {wanted} wants validation rows, and data.validation leaves none")
    return wanted
