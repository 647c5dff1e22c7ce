"""The loop: decides how far each compiled chunk goes, keeps what is best, says when to stop. Writes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from dnnrun.metric import higher_is_better
from dnnrun.nn.architecture import layer_of
from dnnrun.nn.network import Tensors
from dnnrun.optim.schedule import PlateauState, Schedule
from dnnrun.train.program import Data, Program
from dnnrun.train.state import TrainState
from dnnrun.train.stream import Epoch

CHUNK_SECONDS = 0.5
Metrics = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What the loop has to do. `splits` maps train, validation, test to (first, stop) row numbers.

    It ends with `epochs`, or where the next phase begins: after epoch `until`, or when the monitored metric has not
    improved for `stalled` epochs of this phase. The signals are watched at every step number `watch_every` divides.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    splits: dict[str, tuple[int, int]]
    monitor: str
    schedule: Schedule
    patience: int | None = None
    min_delta: float = 0.0
    cut_every: int | None = None
    watch_every: int | None = None
    until: int | None = None
    stalled: int | None = None


@dataclass(frozen=True)
class Best:
    """The best epoch so far: its value of the monitored metric, its place, and the tensors that had it."""

    value: float
    step: int
    epoch: int
    tensors: Tensors


@dataclass
class Progress:
    """What the host remembers between epochs; all of it goes into a checkpoint.

    stale: epochs since the monitored metric improved by more than min_delta over `reference`. stopped: why training
    ended before its last epoch. began: for each phase entered, the epochs done before it. rates: examples/s of each
    epoch done in this process.
    """

    best: Best | None = None
    reference: float | None = None
    stale: int = 0
    plateau: PlateauState | None = None
    stopped: str | None = None
    began: list[int] = field(default_factory=lambda: [0])
    rates: list[float] = field(default_factory=list)

    def next_phase(self, epoch: int) -> None:
        """What was stale may improve now that more layers learn."""
        self.began.append(epoch)
        self.stale = 0

    @property
    def examples_per_s(self) -> float | None:
        """Median over epochs but the first, of training steps only; of the first where there is no other."""
        return median(self.rates[1:] or self.rates) if self.rates else None


@dataclass(frozen=True)
class Chunk:
    """Some steps are done."""

    state: TrainState
    step: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class EpochEnd:
    """An epoch is done. `record` is its event: epochs and steps done, rate, metrics by split."""

    state: TrainState
    record: dict[str, Any]
    improved: bool


@dataclass(frozen=True)
class NotFinite:
    """The loss at `step` was not finite; `before` is the state that the step began with.

    With `metric`, it was that one, measured after the epoch that ended before `step`.
    """

    before: TrainState
    step: int
    metric: str | None = None


@dataclass(frozen=True)
class Watched:
    """The signals of the step that follows, as the function that watches gave them. Nothing was changed."""

    state: TrainState
    step: int
    signals: Any


Event = Chunk | EpochEnd | NotFinite | Watched
Watch = Callable[[TrainState, Tensors, Data, int], Any]


def fit(
    program: Program,
    state: TrainState,
    frozen: Tensors,
    batches: Callable[[int], Data | Epoch],
    plan: Plan,
    progress: Progress,
    clock: Callable[[], float],
    agree: Callable[[int], int] = lambda stop: stop,
    watch: Watch | None = None,
) -> Iterator[Event]:
    """Train from `state` on, mid-epoch too, to the last epoch of the plan.

    `batches(epoch)` gives the data in the order of that epoch (0 is the first), whole or streamed. Nothing depends on
    how the steps are cut into chunks. Whoever iterates may stop at any event. Ends after `NotFinite`. Where several
    processes train, `agree` gives all of them the same end of a chunk: their clocks differ. `watch` is called before
    each step that the plan says, which ends a chunk.
    """
    step, end = int(state.step), min(plan.epochs, plan.until or plan.epochs) * plan.steps_per_epoch
    pace: float | None = None
    while step < end and progress.stopped is None and not (plan.stalled and progress.stale >= plan.stalled):
        epoch = step // plan.steps_per_epoch
        whole, epoch_end = batches(epoch), (epoch + 1) * plan.steps_per_epoch
        seconds, begun = 0.0, step
        while step < epoch_end:
            data, over = _part(whole, step, plan.steps_per_epoch)
            if watch and plan.watch_every and step % plan.watch_every == 0:
                yield Watched(state, step, watch(state, frozen, data, step))
            stop = min(over, step + (1 if pace is None else max(1, int(CHUNK_SECONDS / pace))))
            for every in (plan.cut_every, plan.watch_every if watch else None):
                if every:
                    stop = min(stop, (step // every + 1) * every)
            stop = agree(stop)
            before, started = state, clock()
            state = program.train_chunk(state, frozen, data, step, stop)
            bad = int(state.bad_step)
            took = clock() - started
            if bad >= 0:
                if bad > step:
                    before = program.train_chunk(before, frozen, data, step, bad)
                yield NotFinite(before, bad)
                return
            done = stop - step
            pace = took / done if pace is None or done > 1 else min(pace, took)
            seconds, step = seconds + took, stop
            yield Chunk(state, step, done, took)
        progress.rates.append((step - begun) * plan.batch_size / max(seconds, 1e-9))
        record = _measure(program, state, frozen, whole, plan, epoch + 1)
        if bad_metric := _not_finite(record):
            yield NotFinite(state, step, bad_metric)
            return
        improved = _remember(progress, program, state, frozen, record, plan)
        scale = _adapt(progress, record, plan)
        if scale is not None:
            state = replace(state, rate_scale=np.float32(scale))
        yield EpochEnd(state, record, improved)


def _part(data: Data | Epoch, step: int, per_epoch: int) -> tuple[Data, int]:
    """What step number `step` is taken from, and the first step that is not."""
    if not isinstance(data, Epoch):
        return data, (step // per_epoch + 1) * per_epoch
    window, last = data.at(step % per_epoch)
    return window, step // per_epoch * per_epoch + last


def _measure(program: Program, state: TrainState, frozen: Tensors, data: Data | Epoch, plan: Plan, epoch: int):
    examples = plan.steps_per_epoch * plan.batch_size
    record: dict[str, Any] = {
        "event": "epoch",
        "epoch": epoch,
        "step": epoch * plan.steps_per_epoch,
        "learning_rate": float(state.rate),
        "train": program.task.metrics(state.sums, examples),
    }
    if "validation" in plan.splits:
        tensors = {**frozen, **state.params, **state.statistics}
        record["validation"] = program.evaluate(tensors, data, *plan.splits["validation"])
    return record


def _not_finite(record: dict[str, Any]) -> str | None:
    """The first loss of an epoch's record that is not finite: accuracies always are, whatever the weights are."""
    splits = [split for split in ("train", "validation") if split in record]
    return next((f"{split}.loss" for split in splits if not math.isfinite(record[split]["loss"])), None)


def _sign(monitor: str) -> float:
    """What makes lower values better."""
    return -1.0 if higher_is_better(monitor) else 1.0


def _monitored(record: dict[str, Any], monitor: str) -> float:
    split, _, metric = monitor.partition(".")
    return record[split][metric]


def _remember(
    progress: Progress, program: Program, state: TrainState, frozen: Tensors, record: dict[str, Any], plan: Plan
) -> bool:
    """Keep the tensors of a better epoch; count the epochs without one."""
    value, sign = _monitored(record, plan.monitor), _sign(plan.monitor)
    improved = progress.best is None or sign * value < sign * progress.best.value
    if improved:
        kept = {name: value for name, value in frozen.items() if layer_of(name) in program.changing}
        tensors = {**kept, **state.params, **state.statistics}
        progress.best = Best(value, record["step"], record["epoch"], program.hold(tensors))
    if progress.reference is None or sign * value < sign * progress.reference - plan.min_delta:
        progress.reference, progress.stale = value, 0
    else:
        progress.stale += 1
    if plan.patience is not None and progress.stale >= plan.patience:
        progress.stopped = f"no better {plan.monitor} for {plan.patience} epochs"
    return improved


def _adapt(progress: Progress, record: dict[str, Any], plan: Plan) -> float | None:
    """A schedule that watches the metric (reduce on plateau) gives a new scale of the rate."""
    progress.plateau = plan.schedule.adapt(progress.plateau, _sign(plan.monitor) * _monitored(record, plan.monitor))
    return progress.plateau.scale if progress.plateau else None
