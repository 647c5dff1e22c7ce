"""From a Spec to the objects that train: data on the device, network, program, plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnrun.data.scale import Scaling
from dnnrun.data.scale import fit as fit_scaling
from dnnrun.data.select import Dataset, select
from dnnrun.data.source import Places
from dnnrun.errors import DataError, DeviceError, DnnrunError, RunFailed, TransferError
from dnnrun.nn.architecture import OUTPUTS, Architecture, is_kernel, lay_out, layer_of
from dnnrun.optim.schedule import Horizon
from dnnrun.spec.sections import Spec
from dnnrun.store.find import find_checkpoint
from dnnrun.streams import generator, key_words
from dnnrun.train.device import Machine, free_memory, prepare
from dnnrun.transfer import cache as kept_outputs
from dnnrun.transfer import plan as transfers
from dnnrun.transfer.donor import Donor, donor_of
from dnnrun.transfer.fit import inputs_of
from dnnrun.transfer.phases import Phase, phases_of

if TYPE_CHECKING:
    from dnnrun.nn.network import Split, Tensors
    from dnnrun.train.loop import Plan
    from dnnrun.train.program import Objective, Program
    from dnnrun.train.state import Batches, TrainState

COPIES = 8  # of every parameter: itself, its gradient, two moments, the best, and what a save holds at once
CACHE_SHARE = 0.25  # of the free memory that cached outputs may take


def read_data(spec: Spec, places: Places) -> Dataset:
    """The rows that the spec names. Raises DataError."""
    return select(spec.data.source.read(places), spec.data, spec.seed)


def open_donors(spec: Spec, sources: Sequence[str] | None = None) -> list[Donor]:
    """The sources of the spec's transfer in order; `sources` stand in for where it says they are."""
    if spec.transfer is None:
        return []
    parts = spec.transfer.parts
    paths = sources or [part.from_ for part in parts]
    return [donor_of(part.from_, find_checkpoint(path)) for part, path in zip(parts, paths, strict=True)]


def plan_transfer(spec: Spec, places: Places) -> transfers.Plan:
    """What the spec's transfer comes to; nothing is trained, no tensor read. Raises TransferError and DataError."""
    donors = open_donors(spec)
    if spec.transfer is None:
        raise TransferError("transfer: the spec reuses nothing; name a source with --from or a transfer: section")
    dataset = read_data(spec, places)
    _, resize, notes = _inputs_of(spec, donors, dataset)
    width = math.prod(resize["to"]) if resize else dataset.width
    architecture = lay_out(spec.model, width, len(dataset.classes))
    plan = transfers.make_plan(spec.transfer, architecture, donors, _ahead(spec, dataset.classes))
    return replace(plan, notes=(*notes, *plan.notes))


def _inputs_of(
    spec: Spec, donors: Sequence[Donor], dataset: Dataset
) -> tuple[Scaling | None, Mapping[str, Any] | None, list[str]]:
    first = "hidden1" if spec.model.hidden else OUTPUTS
    return inputs_of(spec.transfer, donors, dataset, spec.data.scale, first)


def _ahead(spec: Spec, classes: Sequence[str]) -> transfers.Ahead:
    return transfers.Ahead(spec.train.epochs, _patience(spec), spec.train.optimizer.model_dump(mode="json"), classes)


def _patience(spec: Spec) -> int | None:
    return spec.train.early_stopping.patience if spec.train.early_stopping else None


def check_memory(architecture: Architecture, batch_size: int) -> None:
    """Raise DeviceError where training would take more memory than is free."""
    width = sum(layer.units for layer in architecture.layers)
    wanted = 4 * (COPIES * architecture.parameters() + 3 * width * max(batch_size, 1000))
    free = free_memory()
    if wanted > free:
        raise DeviceError(
            f"model.hidden: a network of {architecture.parameters():,} parameters wants about "
            f"{wanted / 2**30:,.1f} GiB to train, and {free / 2**30:,.1f} GiB are free; "
            "use smaller layers or a larger machine"
        )


@dataclass
class Assembly:
    """What a run computes with. `program` and `data` are those of the phase entered last.

    `transfer` is the plan of a transfer as JSON, `resize` how images are resized, both None where nothing is.
    """

    spec: Spec
    machine: Machine
    dataset: Dataset
    scaling: Scaling
    architecture: Architecture
    objective: Objective
    plan: Plan
    split: Split
    outputs: Path | None
    reuse: transfers.Plan | None = None
    transfer: dict[str, Any] | None = None
    resize: Mapping[str, Any] | None = None
    phases: Sequence[Phase] = ()
    notes: list[str] = field(default_factory=list)
    program: Program = field(init=False)
    data: Batches = field(init=False)

    @cached_property
    def rows(self) -> Batches:
        """All rows on the device, as the first layer takes them."""
        return _on_device(self.dataset, self.scaling, self.spec.seed)

    def batches(self, epoch: int) -> Batches:
        """The data with the order of rows of this epoch, 0 the first."""
        import jax.numpy as jnp

        start, stop = self.dataset.splits["train"]
        order = generator(self.spec.seed, "order", epoch).permutation(np.arange(start, stop, dtype=np.int32))
        return replace(self.data, order=jnp.asarray(order))

    def first_tensors(self) -> dict[str, np.ndarray]:
        """Every tensor before the first step: drawn, then restored where a layer is reused."""
        from dnnrun.nn.network import initial_tensors

        tensors = initial_tensors(self.architecture, self.spec.seed)
        return {**tensors, **transfers.restore(self.reuse)} if self.reuse else tensors

    def enter(self, number: int, began: Sequence[int], tensors: Mapping[str, Any]) -> tuple[TrainState, Tensors]:
        """Begin phase `number` with these tensors; `began` are the epochs after which it and those before it began.

        Returns the state, with a fresh optimizer, and the frozen tensors. Compiles, and runs the frozen first layers
        once over the data where they are cached.
        """
        from dnnrun.train.program import Program

        phase = self.phases[number]
        joined = {name: after for p, after in zip(self.phases, began, strict=False) for name in p.joins}
        later = frozenset(name for p in self.phases[number:] for name in p.trainable | p.moving)
        options, names = self.spec.transfer, self.architecture.names
        factors = transfers.factors_of(options, names, self.phases) if options else {}
        first, features = self._cached(phase, tensors)
        self.program = Program(
            self.split,
            self.objective,
            phase.trainable,
            phase.moving,
            first,
            joined=joined,
            factors=factors,
            later=later,
        )
        self.data = self.rows if features is None else _inputs(self.rows, features)
        state, frozen = self.program.begin(tensors)
        self.program.compile(state, frozen, self.data)
        return state, frozen

    def evaluate_whole(self, tensors: Mapping[str, Any], split: str) -> dict[str, float]:
        """Loss and accuracy of the whole network with these tensors on a split."""
        from dnnrun.train.program import Program

        program = Program(self.split, self.objective, frozenset(self.architecture.names))
        return program.evaluate(dict(tensors), self.rows, *self.dataset.splits[split])

    def _cached(self, phase: Phase, tensors: Mapping[str, Any]) -> tuple[int, np.ndarray | None]:
        """How many layers are cached, and their outputs over all rows."""
        if not phase.first:
            return 0, None
        import jax

        from dnnrun.train.prefix import outputs

        rows, width = len(self.dataset.labels), self.architecture.layers[phase.first - 1].units
        names = self.architecture.names[: phase.first]
        mapped = 4 * rows * width > CACHE_SHARE * free_memory()
        if mapped and (self.outputs is None or self.machine.platform != "cpu"):
            text = f"the outputs of {names[-1]} take {4 * rows * width / 2**30:,.1f} GiB, too much of the free memory"
            if self.spec.transfer and self.spec.transfer.cache == "on":
                raise DeviceError(f"transfer.cache: on, and {text}; use auto, or a larger machine")
            self.notes.append(f"nothing is cached: {text}")
            return 0, None
        weights = {name: value for name, value in tensors.items() if layer_of(name) in names}
        layers = [repr(layer) for layer in self.architecture.layers[: phase.first]]
        prepared = {
            "scaling": self.scaling.to_json(),
            "resize": self.resize,
            "jax": [jax.__version__, repr(self.machine)],
        }
        key = kept_outputs.key_of(weights, layers, self.dataset.hash, prepared)
        told = f"cached: the outputs of {names[-1]}, {rows:,} rows of {width}"
        told += ", mapped from disk" if mapped else ""
        if self.outputs and (found := kept_outputs.find(self.outputs, key, rows, width)) is not None:
            self.notes.append(f"{told}, kept from an earlier run")
            return phase.first, found if mapped else np.array(found)
        pieces = outputs(self.split, tensors, self.rows, phase.first)
        features = None if mapped else np.concatenate(list(pieces))
        if self.outputs:
            try:
                kept_outputs.keep(self.outputs, key, pieces if features is None else [features], rows, width)
            except DnnrunError as error:
                if features is None:
                    raise
                self.notes.append(f"the cached outputs are not kept for other runs: {error}")
        if features is None:
            features = self.outputs and kept_outputs.find(self.outputs, key, rows, width)
            if features is None:
                raise RunFailed(f"{self.outputs}: {key}.npy was damaged as it was written; check the disk")
        self.notes.append(f"{told}, computed once")
        return phase.first, features

    def named(self, tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Tensors on the host, in the architecture's order."""
        return {t.name: np.asarray(tensors[t.name]) for t in self.architecture.tensors if t.name in tensors}

    def check_finite(self, tensors: Mapping[str, np.ndarray], step: int) -> None:
        """Raise RunFailed where a tensor that is to be saved has a value that is not finite."""
        for name, value in tensors.items():
            if not np.isfinite(value).all():
                raise RunFailed(f"{name} is not finite after step {step:,}; it is not saved. Lower the learning rate")

    def evaluate(self, tensors: Mapping[str, Any], split: str) -> dict[str, float]:
        """Loss and accuracy with these tensors on a split, from the cached outputs where there are some."""
        return self.program.evaluate(dict(tensors), self.data, *self.dataset.splits[split])

    def exact_statistics(self, tensors: Mapping[str, Any], epoch: int | None = None) -> Mapping[str, Any]:
        """Batch-norm statistics over the training set, of the layers that ask for exact ones.

        `tensors` are those after `epoch`, unset for the newest: a layer that was frozen then keeps its own.
        """
        from dnnrun.train.exact import exact_statistics

        if not any(layer.batch_norm and layer.batch_norm.statistics == "exact" for layer in self.architecture.layers):
            return {}
        joined = self.program.joined.items() if epoch is not None else ()
        kept = {name for name, after in joined if after >= (epoch or 0) and name not in self.phases[0].moving}
        return exact_statistics(self.program, dict(tensors), self.data, *self.dataset.splits["train"], kept)

    def count_parameters(self) -> dict[str, int]:
        """Scalars that learn in the phase entered last, and those that do not."""
        trainable = set(self.program.params)
        sizes = {t.name: t.size for t in self.architecture.tensors if not t.statistic}
        done = sum(size for name, size in sizes.items() if name in trainable)
        return {"trainable": done, "frozen": sum(sizes.values()) - done}

    def manifest(self) -> dict[str, Any]:
        """What every checkpoint says of the run."""
        data = self.dataset
        return {
            "spec": self.spec.model_dump(mode="json"),
            "layers": list(self.architecture.names),
            "features": data.width,
            "image": data.image and list(data.image),
            "classes": list(data.classes),
            "largest": data.largest,
            "preprocessing": self.scaling.to_json(),
            "data_hash": data.hash,
            "seed": self.spec.seed,
            "resize": self.resize,
            "transfer": self.transfer,
        }

    def account(self) -> str:
        """The data in a line."""
        rows = ", ".join(f"{stop - start:,} {split}" for split, (start, stop) in self.dataset.splits.items())
        return f"{rows} rows of {self.dataset.width} features, {len(self.dataset.classes)} classes; {self.scaling.type}"

    def network_account(self) -> str:
        """The network in a line."""
        sizes = "-".join(str(n) for n in (self.architecture.features, *(x.units for x in self.architecture.layers)))
        return f"{sizes}, {self.architecture.parameters():,} parameters"


def assemble(
    spec: Spec,
    places: Places,
    cache: Path | None,
    threads: int | None = None,
    manifest: Mapping[str, Any] | None = None,
    sources: Sequence[str] | None = None,
) -> Assembly:
    """Read the data while JAX starts, then build everything but the program of a phase.

    `threads` stands in for an `auto` of the spec. `manifest`, of a checkpoint to go on from or to evaluate, tells the
    scaling, the resizing and the transfer that were settled then. `sources` stand in for those of the spec's transfer.
    """
    donors = [] if manifest is not None else open_donors(spec, sources)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_data, spec, places)
        machine = prepare(spec.train.device, spec.train.threads, cache, threads)
        from dnnrun.nn.network import Split

        dataset = reading.result()
    if manifest is not None:
        inputs = Scaling.from_json(manifest["preprocessing"]), manifest.get("resize"), []
    else:
        inputs = _inputs_of(spec, donors, dataset)
    scaling, resize, notes = inputs
    if resize:
        from dnnrun.train.resize import resize as resized

        dataset = replace(dataset, features=resized(dataset.features, resize), image=tuple(resize["to"]))
    scaling = scaling or fit_scaling(spec.data.scale, dataset)
    architecture = lay_out(spec.model, dataset.width, len(dataset.classes))
    check_memory(architecture, spec.train.batch_size)
    objective, plan = _objective(spec, dataset)
    outputs = places.cache and places.cache / "outputs"
    parts = Assembly(
        spec, machine, dataset, scaling, architecture, objective, plan, Split(architecture), outputs, resize=resize
    )
    parts.notes += notes
    _phases(parts, donors, manifest)
    return parts


def _phases(parts: Assembly, donors: list[Donor], manifest: Mapping[str, Any] | None) -> None:
    options, names = parts.spec.transfer, parts.architecture.names
    if options and donors:
        ahead = _ahead(parts.spec, parts.dataset.classes)
        plan = transfers.make_plan(options, parts.architecture, donors, ahead)
        parts.reuse = replace(plan, notes=(*parts.notes, *plan.notes))
        parts.transfer, parts.phases = parts.reuse.as_json(), parts.reuse.phases
    elif options and manifest and manifest.get("transfer"):
        parts.transfer = manifest["transfer"]
        reused, patience = manifest["transfer"]["reused"], _patience(parts.spec)
        found, _ = phases_of(options, parts.architecture, reused, parts.plan.epochs, patience)
        parts.phases = found
    else:
        parts.phases = [Phase(frozenset(names))]


def _objective(spec: Spec, dataset: Dataset) -> tuple[Objective, Plan]:
    from dnnrun.train.loop import Plan
    from dnnrun.train.program import Objective

    options, stopping = spec.train, spec.train.early_stopping
    start, stop = dataset.splits["train"]
    steps = (stop - start) // options.batch_size
    if steps == 0:
        raise DataError(
            f"train.batch_size: {options.batch_size} is more than the {stop - start} training rows; use a smaller one"
        )
    schedule = options.optimizer.learning_rate
    objective = Objective(
        loss=options.loss.build(),
        evaluation_loss=options.loss.evaluation().build(),
        direction=options.optimizer.build(is_kernel),
        rate=schedule.build(Horizon(steps, options.epochs)),
        batch_size=options.batch_size,
        steps_per_epoch=steps,
        clip=options.clip and options.clip.build(),
        l1=options.l1,
        l2=options.l2,
        max_norm=options.max_norm,
    )
    plan = Plan(
        epochs=options.epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        splits=dict(dataset.splits),
        monitor=_monitor(spec, dataset),
        schedule=schedule,
        patience=_patience(spec),
        min_delta=stopping.min_delta if stopping else 0.0,
        cut_every=options.checkpoint_every.steps,
    )
    return objective, plan


def _monitor(spec: Spec, dataset: Dataset) -> str:
    wanted = spec.train.monitor
    if wanted is None:
        return "validation.loss" if "validation" in dataset.splits else "train.loss"
    if wanted.startswith("validation") and "validation" not in dataset.splits:
        raise DataError(f"train.monitor: {wanted} wants validation rows, and data.validation leaves none")
    return wanted


def _on_device(dataset: Dataset, scaling: Scaling, seed: int) -> Batches:
    import jax.numpy as jnp

    from dnnrun.train.state import Batches

    offset, factor = scaling.offset_factor()
    start, stop = dataset.splits["train"]
    return Batches(
        features=jnp.asarray(dataset.features),
        labels=jnp.asarray(dataset.labels),
        offset=jnp.asarray(offset),
        factor=jnp.asarray(factor),
        order=jnp.arange(start, stop, dtype=jnp.int32),
        key=jnp.asarray(key_words(seed, "step")),
    )


def _inputs(rows: Batches, features: np.ndarray) -> Batches:
    """The same rows with these features, taken as they are; mapped from disk, a CPU reads them where they lie."""
    import jax
    import jax.numpy as jnp

    mapped = isinstance(features, np.memmap)
    there = jax.device_put(features, may_alias=True) if mapped else jnp.asarray(features)
    return replace(rows, features=there, offset=jnp.float32(0), factor=jnp.float32(1))
