"""Signals of a network at its first step, or of a checkpoint, and along a short training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dnnrun.data.source import Places
from dnnrun.diagnose.guess import loss_of_guessing
from dnnrun.diagnose.sample import sample
from dnnrun.diagnose.verdict import Finding, Growth, backward_growth, forward_growth, judge, judge_training
from dnnrun.spec.sections import Spec
from dnnrun.streams import generator

if TYPE_CHECKING:
    from dnnrun.assembly import Assembly
    from dnnrun.train.state import TrainState
    from dnnrun.train.task import Supervised

ROWS = 1000  # that the first signals are measured on
VALUES = 1e8  # fewer rows where the layers' outputs would be more numbers than this
PIECES = 10  # that a short training is watched in
DEEPEST = 200  # layers beyond which compiling the whole step takes too long to be a part of looking


@dataclass(frozen=True)
class Course:
    """A short training: steps done, the mean loss and the metric of each piece, signals after each, what is wrong.

    `metric` is accuracy, or r2 of a regression.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    signals: list[Mapping[str, Any]] = field(default_factory=list)
    guess: float = math.nan
    metric: str = "accuracy"

    @property
    def loss(self) -> float:
        """Of the last piece; infinite where there is none or it is not a number."""
        return self.losses[-1] if self.losses and math.isfinite(self.losses[-1]) else math.inf

    def findings(self) -> list[Finding]:
        if not self.losses:
            return []
        return judge_training(self.losses, self.steps[-1], self.guess, self.told)

    @property
    def told(self) -> str:
        """The metric of the last piece in words."""
        return f"{self.metric} {self.scores[-1]:.4f}"

    def as_json(self) -> dict[str, Any]:
        finite = [[x if math.isfinite(x) else None for x in values] for values in (self.losses, self.scores)]
        return {"steps": self.steps, "loss": finite[0], self.metric: finite[1], "loss_of_guessing": self.guess}


@dataclass(frozen=True)
class Look:
    """One spec looked at: signals at the start, the course of a short training (None where none was asked for)."""

    spec: Spec
    start: Mapping[str, Any]
    course: Course | None

    @property
    def forward(self) -> Growth | None:
        return forward_growth(self.start)

    @property
    def backward(self) -> Growth | None:
        return backward_growth(self.start)

    def findings(self) -> list[Finding]:
        """At the start, then of the training; each kind once for the same layer."""
        found = judge(self.start)
        if self.course:
            found += self.course.findings()
            known = {finding.kind for finding in found}
            if self.course.signals:
                late = judge(self.course.signals[-1])
                told = f", after {self.course.steps[-1]} steps"
                # Gradients of a network that has learned are small and uneven: only units tell something then.
                kinds = {"dead"} - known
                found += [Finding(f.kind, f.text + told, f.layer) for f in late if f.kind in kinds]
        return found


def look(
    spec: Spec,
    places: Places,
    *,
    steps: int,
    cache: Path | None = None,
    normal: int | None = None,
    manifest: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    progress: Callable[[int, int], None] = lambda done, steps: None,
) -> Look:
    """Measure `spec` at its first step and over `steps` of training (0 for none), in memory alone.

    `tensors` are those of a checkpoint with its `manifest`, measured as they are. `normal` replaces the inputs by
    standard normal ones of that width. `progress` hears of steps done. Raises what training raises.
    """
    from dnnrun.assemble import assemble
    from dnnrun.train.task import Regression

    parts = assemble(sample(spec), places, cache, manifest=manifest)
    if normal is not None:
        parts = _with_normal_inputs(parts, normal)
    started = dict(tensors) if tensors is not None else parts.first_tensors()
    start = _first_signals(parts, started)
    steps = min(steps, parts.plan.epochs * parts.plan.steps_per_epoch)
    if steps == 0 or len(parts.architecture.layers) > DEEPEST:
        return Look(spec, start, None)
    course = Course(guess=_guessing(parts), metric="r2" if isinstance(parts.task, Regression) else "accuracy")
    for done in _train(parts, started, steps, course):
        progress(done, steps)
    return Look(spec, start, course)


def _with_normal_inputs(parts: Assembly, width: int) -> Assembly:
    """The same network over standard normal inputs of this width; the labels stay what they are."""
    from dataclasses import replace

    from dnnrun.data.scale import Scaling
    from dnnrun.nn.architecture import lay_out
    from dnnrun.nn.network import Split
    from dnnrun.train.task import Supervised

    assert isinstance(parts.task, Supervised)
    rows = len(parts.dataset.labels)
    draws = generator(parts.spec.seed, "diagnose", "inputs").standard_normal((rows, width), dtype=np.float32)
    architecture = lay_out(parts.spec.model, width, parts.architecture.layers[-1].units)
    dataset = replace(parts.dataset, features=draws, image=None)
    task = replace(parts.task, split=Split(architecture, parts.spec.train.precision))
    return replace(parts, dataset=dataset, scaling=Scaling("none"), architecture=architecture, task=task)


def _first_signals(parts: Assembly, tensors: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
    import jax.numpy as jnp

    from dnnrun.train import signals
    from dnnrun.train.program import Program

    program = Program(parts.task, parts.objective, parts.phases[0].trainable, parts.phases[0].moving)
    state, frozen = program.begin(tensors)
    rows = generator(parts.spec.seed, "order", 0).permutation(np.arange(*parts.dataset.splits["train"]))
    width = sum(layer.units for layer in parts.architecture.layers)
    taken = parts.all_rows.take(jnp.asarray(rows)[: max(50, min(ROWS, int(VALUES / width)))])
    return signals.on_host(signals.measure(program, state, frozen, taken, signals.step_key(parts.all_rows, 0)))


def _train(parts: Assembly, tensors: Mapping[str, np.ndarray], steps: int, course: Course) -> Iterator[int]:
    from dnnrun.train import signals

    state, frozen = parts.enter(0, [0], tensors)
    watch = signals.compiled(parts.program)
    per_epoch, batch = parts.plan.steps_per_epoch, parts.plan.batch_size
    piece = max(1, steps // PIECES)
    nothing = {name: np.zeros_like(value) for name, value in _sums(state).items()}
    done, sums, seen = 0, nothing, 0
    while done < steps:
        data = parts.batches(done // per_epoch)
        stop = min(steps, (done // piece + 1) * piece, (done // per_epoch + 1) * per_epoch)
        before = nothing if done % per_epoch == 0 else _sums(state)
        state = parts.program.train_chunk(state, frozen, data, done, stop)
        after = _sums(state)
        sums = {name: sums[name] + after[name] - before[name] for name in sums}
        seen, done = seen + (stop - done) * batch, stop
        if done % piece == 0 or done == steps or not np.isfinite(sums["loss_sum"]):
            found = parts.task.metrics(sums, seen)
            course.steps.append(done)
            course.losses.append(found["loss"])
            course.scores.append(found[course.metric])
            course.signals.append(signals.on_host(watch(state, frozen, data, done - 1)))
            sums, seen = nothing, 0
            if not math.isfinite(course.losses[-1]):
                return
        yield done


def _sums(state: TrainState) -> dict[str, np.ndarray]:
    """The sums that the metrics are made of, over this epoch so far."""
    return {name: np.asarray(value, np.float64) for name, value in state.sums.items()}


def _guessing(parts: Assembly) -> float:
    raw, train = parts.raw(), slice(*parts.dataset.splits["train"])
    weights = raw["weights"]
    return loss_of_guessing(
        cast("Supervised", parts.task), raw["labels"][train], None if weights is None else weights[train]
    )
