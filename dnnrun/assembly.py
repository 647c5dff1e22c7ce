"""What a run computes with, phase by phase: data on the device, network, compiled program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from dnnrun.cached import cached_features
from dnnrun.data.dataset import Dataset
from dnnrun.data.scale import Scaling
from dnnrun.data.targets import TargetScale
from dnnrun.data.weigh import row_weights
from dnnrun.errors import RunFailed
from dnnrun.nn.architecture import OUTPUTS, Architecture
from dnnrun.spec.sections import Spec
from dnnrun.streams import generator, key_words
from dnnrun.train.device import Machine
from dnnrun.transfer import plan as transfers
from dnnrun.transfer.phases import Phase

if TYPE_CHECKING:
    from dnnrun.nn.network import Tensors
    from dnnrun.train.augment import Augmentation
    from dnnrun.train.loop import Plan
    from dnnrun.train.program import Objective, Program
    from dnnrun.train.spread import Shares, Spread
    from dnnrun.train.state import Batches, TrainState
    from dnnrun.train.stream import Epoch, Stream
    from dnnrun.train.task import Task


@dataclass
class Assembly:
    """What a run computes with. `program` and `data` are those of the phase entered last.

    `transfer` is the plan of a transfer as JSON, `resize` how images are resized, both None where nothing is. `spread`
    are the devices that share every batch, None where one has it all. `targets` is how a regression's are scaled.
    """

    spec: Spec
    machine: Machine
    dataset: Dataset
    scaling: Scaling
    architecture: Architecture
    objective: Objective
    plan: Plan
    task: Task
    outputs: Path | None
    spread: Spread | None = None
    reuse: transfers.Plan | None = None
    transfer: dict[str, Any] | None = None
    resize: Mapping[str, Any] | None = None
    targets: TargetScale | None = None
    phases: Sequence[Phase] = ()
    notes: list[str] = field(default_factory=list)
    program: Program = field(init=False)
    data: Batches | Shares | Stream = field(init=False)
    host: dict[str, Any] = field(init=False, repr=False)

    @cached_property
    def rows(self) -> Batches | Stream:
        """All rows as the first layer takes them: on one device, or streamed to it."""
        return self._stream(None) if self.spec.data.stream else self.resident()

    @property
    def all_rows(self) -> Batches:
        """`rows` where they are not streamed."""
        return cast("Batches", self.rows)

    def resident(self) -> Batches:
        """All rows on one device."""
        return _on_device({**self.raw(), "order": self._order(0)})

    def _stream(self, spread: Spread | None) -> Stream:
        from dnnrun.train.stream import Stream

        size, train = self.spec.data.stream, self.dataset.splits["train"]
        assert size is not None  # asked for only then
        return Stream(self.raw(), train, size, self.plan.batch_size, self.spec.seed, spread)

    def raw(self) -> dict[str, Any]:
        """The fields of Batches but their order, as the first layer takes them."""
        offset, factor = self.scaling.offset_factor()
        labels = self.dataset.labels if self.targets is None else self.targets.standardize(self.dataset.labels)
        return {
            "features": self.dataset.features,
            "labels": labels,
            "offset": offset,
            "factor": factor,
            "key": key_words(self.spec.seed, "step"),
            "weights": self._weights(),
        }

    def in_order(self, epoch: int) -> Batches | Shares | Epoch:
        """The data in the order of this epoch, 0 the first: all rows, or window after window."""
        from dnnrun.train.stream import Stream

        return self.data.epoch(epoch) if isinstance(self.data, Stream) else self.batches(epoch)

    def _weights(self) -> np.ndarray | None:
        """How much each row counts in what is minimised, (rows,)."""
        return row_weights(self.dataset, self.spec.train.class_weights)

    def batches(self, epoch: int) -> Batches | Shares:
        """All rows, where they are not streamed, in the order of this epoch."""
        import jax

        from dnnrun.train.spread import Shares

        order = self._order(epoch)
        if self.spread and isinstance(self.data, Shares):
            return self.spread.reordered(self.data, self.host, order, self.plan.batch_size)
        return replace(cast("Batches", self.data), order=jax.device_put(order))

    def _order(self, epoch: int) -> np.ndarray:
        start, stop = self.dataset.splits["train"]
        return generator(self.spec.seed, "order", epoch).permutation(np.arange(start, stop, dtype=np.int32))

    def _alone(self) -> Batches:
        """The data on one device, for what is computed seldom: every process does it for itself."""
        from dnnrun.train.state import Batches

        return self.data if isinstance(self.data, Batches) else _on_device({**self.host, "order": self._order(0)})

    def _own(self, tree: Any) -> Any:
        """Arrays as one device takes them."""
        import jax

        from dnnrun.train.spread import on_host

        return jax.device_put(on_host(tree)) if self.spread else tree

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
        phase = self.phases[number]
        joined = {name: after for p, after in zip(self.phases, began, strict=False) for name in p.joins}
        later = frozenset(name for p in self.phases[number:] for name in p.trainable | p.moving)
        options, names = self.spec.transfer, self.architecture.names
        factors = transfers.factors_of(options, names, self.phases) if options else {}
        tensors = self._own(tensors)
        features = cached_features(self, phase.first, tensors) if phase.first else None
        first = 0 if features is None else phase.first
        self._place(features)
        self.program = self.make(
            trainable=phase.trainable, moving=phase.moving, first=first, joined=joined, factors=factors, later=later
        )
        state, frozen = self.program.begin(tensors)
        self.program.compile(state, frozen, self.data)
        return state, frozen

    def make(self, **phase: Any) -> Program:
        """The program of a phase, not compiled yet."""
        from dnnrun.train.program import Program

        return Program(self.task, self.objective, **phase, spread=self.spread, augmentation=self.augmentation)

    @property
    def augmentation(self) -> Augmentation | None:
        """How the rows of a batch change."""
        from dnnrun.train.augment import Augmentation

        options = self.spec.data.augment
        return None if options is None else Augmentation(options, self.dataset.image)

    def _place(self, features: np.ndarray | None) -> None:
        """Let training go on from these features, or from the rows as they are where there are none."""
        import jax

        cached = {"features": features, "offset": np.float32(0), "factor": np.float32(1)}
        if self.spread and self.spec.data.stream:
            self.data = self._stream(self.spread)
        elif self.spread:
            self.host = self.raw() if features is None else {**self.raw(), **cached}
            self.data = self.spread.shares(self.host, self._order(0), self.plan.batch_size)
        elif features is None:
            self.data = self.rows
        else:  # mapped from disk, a CPU reads them where they lie
            there = jax.device_put(features, may_alias=True if isinstance(features, np.memmap) else None)
            scaled = jax.device_put({name: cached[name] for name in ("offset", "factor")})
            self.data = replace(self.all_rows, features=there, **scaled)

    def first_bad_layer(
        self, state: TrainState, frozen: Tensors, epoch: int, split: str | None = None
    ) -> tuple[str, str]:
        """The layer and what of it is not finite in the step that begins with `state`, or in evaluating it on a split.

        `epoch`, 0 the first, is the one that the step belongs to.
        """
        import jax

        from dnnrun.train.trouble import first_bad_layer

        found = partial(first_bad_layer, self.program, self._own(state), self._own(frozen))
        if self.spec.data.stream:
            alone = self._stream(None)
            if split is None:
                window = alone.epoch(epoch).at(int(state.step) % self.plan.steps_per_epoch)[0]
                return found(cast("Batches", window)) or (OUTPUTS, "the loss")
            pieces = alone.pieces(*self.dataset.splits[split])
            bad = (found(cast("Batches", window), range(count)) for window, count in pieces)
        else:
            data = replace(self._alone(), order=jax.device_put(self._order(epoch)))
            bad = iter([found(data, range(*self.dataset.splits[split]) if split else None)])
        return next(filter(None, bad), (OUTPUTS, "the loss"))

    def evaluate_whole(self, tensors: Mapping[str, Any], split: str) -> dict[str, float]:
        """The task's metrics of the whole network with these tensors on a split."""
        from dnnrun.train.program import Program

        program = Program(self.task, self.objective, frozenset(self.task.names))
        return program.evaluate(dict(tensors), self.rows, *self.dataset.splits[split])

    def outputs_whole(self, tensors: Mapping[str, Any], split: str) -> tuple[np.ndarray, np.ndarray]:
        """Of the whole network with these tensors: its outputs on a split, (rows, outputs), and each row's loss."""
        from dnnrun.train.outputs import outputs

        return outputs(self.task, dict(tensors), self.raw(), *self.dataset.splits[split])

    @property
    def starts_frozen(self) -> bool:
        """Whether some layers do not learn at first."""
        return bool(set(self.task.names) - self.phases[0].trainable)

    stage_name: ClassVar[str | None] = None  # of a stage of pretraining

    def compare(self, record: dict[str, Any], tensors: Mapping[str, Any]) -> None:
        """Add to an epoch's record what compares its splits."""

    def finish(self, folder: Path, tensors: Mapping[str, Any], metrics: dict[str, dict[str, float]]) -> None:
        """Add to the last metrics what is measured once, and draw pictures into `folder`."""

    def named(self, tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Tensors on the host, in the order of the layers."""
        return {t.name: np.asarray(tensors[t.name]) for t in self.task.tensors if t.name in tensors}

    def check_finite(self, tensors: Mapping[str, np.ndarray], step: int) -> None:
        """Raise RunFailed where a tensor that is to be saved has a value that is not finite."""
        for name, value in tensors.items():
            if not np.isfinite(value).all():
                raise RunFailed(f"{name} is not finite after step {step:,}; it is not saved. Lower the learning rate")

    def evaluate(self, tensors: Mapping[str, Any], split: str) -> dict[str, float]:
        """The task's metrics with these tensors on a split, from the cached outputs where there are some."""
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
        return exact_statistics(
            self.program, self._own(dict(tensors)), self._alone(), *self.dataset.splits["train"], kept
        )

    def count_parameters(self) -> dict[str, int]:
        """Scalars that learn in the phase entered last, and those that do not."""
        trainable = set(self.program.params)
        sizes = {t.name: t.size for t in self.task.tensors if not t.statistic}
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
            "task": data.task,
            "targets": list(data.targets),
            "outputs": self.architecture.outputs,
            "largest": data.largest,
            "preprocessing": data.columns.to_json() if data.columns else self.scaling.to_json(),
            "data_hash": data.hash,
            "seed": self.spec.seed,
            "target_scale": self.targets and self.targets.to_json(),
            "resize": self.resize,
            "transfer": self.transfer,
        }

    def account(self) -> str:
        """The data in a line."""
        rows = ", ".join(f"{stop - start:,} {split}" for split, (start, stop) in self.dataset.splits.items())
        text = f"{rows} rows of {self.dataset.width} features, {self._told()}; {self._prepared()}"
        return text + (f"; streamed, {self.spec.data.stream:,} rows at a time" if self.spec.data.stream else "")

    def _prepared(self) -> str:
        columns = self.dataset.columns
        return self.scaling.type if columns is None else f"from {len(columns.used)} columns of a table"

    def _told(self) -> str:
        """The task, and by what it is known."""
        data, stated = self.dataset, self.spec.data.task is not None
        count, kind = len(data.names), {"classification": "classes", "multilabel": "labels", "regression": "targets"}
        what = f"{count} {kind[data.task] if count != 1 else 'target'}"
        return (
            what if data.task == "classification" else f"{data.task} of {what} ({'stated' if stated else 'inferred'})"
        )

    def network_account(self) -> str:
        """The network in a line."""
        sizes = "-".join(str(n) for n in (self.architecture.features, *(x.units for x in self.architecture.layers)))
        return f"{sizes}, {self.architecture.parameters():,} parameters"


def _on_device(host: Mapping[str, Any]) -> Batches:
    import jax

    from dnnrun.train.state import Batches

    features = jax.device_put(
        host["features"], may_alias=True
    )  # nobody writes to them: a CPU reads them where they lie
    return Batches(**jax.device_put({**host, "features": features}))
