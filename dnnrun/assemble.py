"""From a Spec to the objects that train: data on the device, network, program, plan."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.scale import Scaling
from dnnrun.data.scale import fit as fit_scaling
from dnnrun.data.select import Dataset, select
from dnnrun.data.source import Places
from dnnrun.errors import DataError, DeviceError, RunFailed
from dnnrun.nn.architecture import Architecture, lay_out
from dnnrun.optim.schedule import Horizon
from dnnrun.spec.sections import Spec
from dnnrun.streams import generator, key_words
from dnnrun.train.device import Machine, free_memory, prepare

COPIES = 8  # of every parameter: itself, its gradient, two moments, the best, and what a save holds at once


def read_data(spec: Spec, places: Places) -> tuple[Dataset, Scaling]:
    """The rows that the spec names, and the scaling fitted on the training rows. Raises DataError."""
    dataset = select(spec.data.source.read(places), spec.data, spec.seed)
    return dataset, fit_scaling(spec.data.scale, dataset)


def check_memory(architecture: Architecture, batch_size: int) -> None:
    """Raise DeviceError where training would take more memory than is free."""
    width = sum(layer.units for layer in architecture.layers)
    wanted = 4 * (COPIES * architecture.parameters() + 3 * width * max(batch_size, 1000))
    free = free_memory()
    if wanted > free:
        raise DeviceError(
            f"model.hidden: a network of {architecture.parameters():,} parameters wants about "
            f"{wanted / 2**30:,.1f} GiB to train, and {free / 2**30:,.1f} GiB are free; use smaller layers or a larger machine"
        )


@dataclass
class Assembly:
    """What a run computes with."""

    spec: Spec
    machine: Machine
    dataset: Dataset
    scaling: Scaling
    architecture: Architecture
    program: Any
    plan: Any
    data: Any

    def batches(self, epoch: int) -> Any:
        """The data with the order of rows of this epoch, 0 the first."""
        import jax.numpy as jnp

        start, stop = self.dataset.splits["train"]
        order = generator(self.spec.seed, "order", epoch).permutation(np.arange(start, stop, dtype=np.int32))
        return replace(self.data, order=jnp.asarray(order))

    def begin(self, tensors: Mapping[str, np.ndarray] | None = None) -> tuple[Any, Any]:
        """State and frozen tensors before the first step, from fresh tensors or from `tensors`; compiles meanwhile."""
        from dnnrun.nn.network import initial_tensors

        state, frozen = self.program.begin(tensors or initial_tensors(self.architecture, self.spec.seed))
        self.program.compile(state, frozen, self.data)
        return state, frozen

    def named(self, tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Tensors on the host, in the architecture's order."""
        return {t.name: np.asarray(tensors[t.name]) for t in self.architecture.tensors if t.name in tensors}

    def check_finite(self, tensors: Mapping[str, np.ndarray], step: int) -> None:
        """Raise RunFailed where a tensor that is to be saved has a value that is not finite."""
        for name, value in tensors.items():
            if not np.isfinite(value).all():
                raise RunFailed(f"{name} is not finite after step {step:,}; it is not saved. Lower the learning rate")

    def evaluate(self, tensors: Mapping[str, Any], split: str) -> dict[str, float]:
        return self.program.evaluate(dict(tensors), self.data, *self.dataset.splits[split])

    def exact_statistics(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """Batch-norm statistics over the training set, of the layers that ask for exact ones."""
        from dnnrun.train.exact import exact_statistics

        if not any(layer.batch_norm and layer.batch_norm.statistics == "exact" for layer in self.architecture.layers):
            return {}
        return exact_statistics(self.program, dict(tensors), self.data, *self.dataset.splits["train"])

    def count_parameters(self) -> dict[str, int]:
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
            "preprocessing": self.scaling.to_json(),
            "data_hash": data.hash,
            "seed": self.spec.seed,
        }

    def account(self) -> str:
        rows = ", ".join(f"{stop - start:,} {split}" for split, (start, stop) in self.dataset.splits.items())
        return f"{rows} rows of {self.dataset.width} features, {len(self.dataset.classes)} classes; {self.scaling.type}"

    def network_account(self) -> str:
        sizes = "-".join(str(n) for n in (self.architecture.features, *(x.units for x in self.architecture.layers)))
        return f"{sizes}, {self.architecture.parameters():,} parameters"


def assemble(
    spec: Spec, places: Places, cache: Path | None, threads: int | None = None, scaling: Scaling | None = None
) -> Assembly:
    """Read the data while JAX starts, then build everything.

    `threads` stands in for an `auto` of the spec where it still can, `scaling` for one fitted on the training rows.
    """
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_data, spec, places)
        machine = prepare(spec.train.device, spec.train.threads, cache, threads)
        from dnnrun.nn.network import Split
        from dnnrun.train.loop import Plan
        from dnnrun.train.program import Objective, Program

        dataset, fitted = reading.result()
        scaling = scaling or fitted
    options = spec.train
    architecture = lay_out(spec.model, dataset.width, len(dataset.classes))
    check_memory(architecture, options.batch_size)
    start, stop = dataset.splits["train"]
    steps = (stop - start) // options.batch_size
    if steps == 0:
        raise DataError(
            f"train.batch_size: {options.batch_size} is more than the {stop - start} training rows; use a smaller one"
        )
    from dnnrun.nn.architecture import is_kernel

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
    stopping = options.early_stopping
    plan = Plan(
        epochs=options.epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        splits=dict(dataset.splits),
        monitor=_monitor(spec, dataset),
        schedule=schedule,
        patience=stopping.patience if stopping else None,
        min_delta=stopping.min_delta if stopping else 0.0,
        cut_every=options.checkpoint_every.steps,
    )
    program = Program(Split(architecture), objective, frozenset(architecture.names))
    return Assembly(
        spec, machine, dataset, scaling, architecture, program, plan, _on_device(dataset, scaling, spec.seed)
    )


def _monitor(spec: Spec, dataset: Dataset) -> str:
    wanted = spec.train.monitor
    if wanted is None:
        return "validation.loss" if "validation" in dataset.splits else "train.loss"
    if wanted.startswith("validation") and "validation" not in dataset.splits:
        raise DataError(f"train.monitor: {wanted} wants validation rows, and data.validation leaves none")
    return wanted


def _on_device(dataset: Dataset, scaling: Scaling, seed: int) -> Any:
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
