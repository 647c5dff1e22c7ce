"""The compiled functions of one phase of a run: train_chunk, evaluate. What trains is fixed for a phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from dnnrun.nn.architecture import is_kernel, layer_of
from dnnrun.nn.network import Tensors
from dnnrun.optim import is_zero
from dnnrun.optim.constraint import max_norm
from dnnrun.train.augment import Augmentation
from dnnrun.train.spread import Shares, Spread
from dnnrun.train.state import Batches, Taken, TrainState, fresh_state
from dnnrun.train.stream import Epoch, Stream
from dnnrun.train.task import Batch, Task, zeros

Data = Batches | Shares


@dataclass(frozen=True)
class Objective:
    """How a step minimises.

    direction: the optimizer without its rate. rate: step -> learning rate. batch_size: rows. l1, l2: penalties on the
    trainable kernels. max_norm: bound of a unit's weights.
    """

    direction: optax.GradientTransformation
    rate: Callable[[jax.Array], jax.Array]
    batch_size: int
    steps_per_epoch: int
    clip: optax.GradientTransformation | None = None
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None


@dataclass
class Program:
    """The functions of one phase, each compiled once.

    `trainable` names the layers that learn; the tensors of the others are passed as `frozen` and never change, unless
    `moving` names such a layer: its batch-norm statistics go on moving. The inputs are those of layer number `first`.
    `joined` says after how many epochs a layer began to learn (0 unless said): layers that joined together share an
    optimizer state. `factors` multiplies the learning rate of a layer. `later` names the layers that
    later phases change. `spread` are the devices that share every batch, None where one has it all. `augmentation`
    changes the rows of every batch, None where they are taken as they are.
    """

    task: Task
    objective: Objective
    trainable: frozenset[str]
    moving: frozenset[str] = frozenset()
    first: int = 0
    joined: Mapping[str, int] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    spread: Spread | None = None
    augmentation: Augmentation | None = None
    traces: int = 0
    _train: Any = field(default=None, repr=False)
    _evaluate: Future[Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        names, tensors = self.task.names, self.task.tensors
        self.still = frozenset(names) - self.trainable - self.moving
        self.used = frozenset(names[self.first :])
        self.changing = self.trainable | self.moving | self.later
        statistics = {t.name for t in tensors if t.statistic}
        self.params = [t.name for t in tensors if layer_of(t.name) in self.trainable]
        self.params = [name for name in self.params if name not in statistics]
        self.groups: dict[str, list[str]] = {}
        for name in self.params:
            self.groups.setdefault(str(self.joined.get(layer_of(name), 0)), []).append(name)
        self.statistics = [name for name in statistics if layer_of(name) not in self.still]

    def begin(self, tensors: Mapping[str, Any]) -> tuple[TrainState, Tensors]:
        """The state before the first step and the frozen tensors, of all the network's tensors by name."""
        arrays = jax.device_put(dict(tensors))
        params = {name: arrays[name] for name in self.params}
        statistics = {name: arrays[name] for name in self.statistics}
        frozen = {name: a for name, a in arrays.items() if name not in params and name not in statistics}
        optimizer = {
            group: self.objective.direction.init({name: params[name] for name in names})
            for group, names in self.groups.items()
        }
        return self.place(fresh_state(params, statistics, optimizer, zeros(self.task.measures))), self.place(frozen)

    def place(self, tree: Any) -> Any:
        """The arrays of `tree` where the compiled functions take them."""
        return tree if self.spread is None else self.spread.whole(tree)

    def compile(self, state: TrainState, frozen: Tensors, data: Data | Stream) -> None:
        """Compile both functions for these shapes; evaluation in a thread of its own, while the first steps run."""
        data, evaluated = samples(data)
        frozen = self._needed(frozen)
        bound = jax.ShapeDtypeStruct((), jnp.int32)
        everywhere = self.spread and self.spread.replicated
        self._train = jax.jit(self._chunk, out_shardings=everywhere).lower(state, frozen, data, bound, bound).compile()
        tensors = {**frozen, **state.params, **state.statistics}
        pool = ThreadPoolExecutor(1)
        self._evaluate = pool.submit(
            lambda: jax.jit(self.score, out_shardings=everywhere).lower(tensors, evaluated, bound, bound).compile()
        )
        pool.shutdown(wait=False)

    def costs(self) -> dict[str, float]:
        """XLA's cost analysis of the compiled training: operations and bytes, with the loop's body counted once."""
        found = self._train.cost_analysis()
        return dict(found[0] if isinstance(found, list) else found or {})

    def train_chunk(self, state: TrainState, frozen: Tensors, data: Data, start: int, stop: int) -> TrainState:
        """The state after steps `start` (which is `state.step`) to `stop` (excluded), all of one epoch."""
        return self._train(state, self._needed(frozen), data, np.int32(start), np.int32(stop))

    def evaluate(self, tensors: Tensors, data: Data | Stream | Epoch, start: int, stop: int) -> dict[str, float]:
        """The task's metrics over the rows `start` to `stop` (excluded), every row once."""
        score = self._evaluate.result() if self._evaluate else jax.jit(self.score)
        tensors = self.place(self._needed(tensors))
        if not isinstance(data, Stream | Epoch):
            sums = score(tensors, data, np.int32(start), np.int32(stop))
            return self.task.metrics(sums, stop - start)
        total = zeros(self.task.measures)
        for window, rows in data.pieces(start, stop):
            found = score(tensors, window, np.int32(0), np.int32(rows))
            total = {name: total[name] + np.asarray(value) for name, value in found.items()}
        return self.task.metrics(total, stop - start)

    def hold(self, tensors: Tensors) -> Tensors:
        """The same tensors, to be kept for long."""
        return tensors

    def _needed(self, tensors: Mapping[str, Any]) -> Tensors:
        return {name: value for name, value in tensors.items() if layer_of(name) in self.used}

    def _chunk(self, state: TrainState, frozen: Tensors, data: Data, start: jax.Array, stop: jax.Array):
        self.traces += 1
        return lax.fori_loop(start, stop, lambda step, state: self.step(state, frozen, data, step), state)

    def step(self, state: TrainState, frozen: Tensors, data: Data, step: jax.Array) -> TrainState:
        """One step of gradient descent on the batch of this step."""
        goal = self.objective
        within = step % goal.steps_per_epoch
        taken = self.batch(data, step)
        key = jax.random.fold_in(jax.random.wrap_key_data(data.key, impl="threefry2x32"), step)
        batch = Batch(taken.x, taken.labels, key, step, self.first, True, self.still, taken.weights)
        found = self.task.slopes(state.params, {**frozen, **state.statistics}, batch, self.penalty)
        rate = goal.rate(step) * state.rate_scale
        params, optimizer = self.update(state, found.gradients, rate)
        first = within == 0
        bad = (state.bad_step < 0) & ~jnp.isfinite(found.total)
        return replace(
            state,
            step=step + 1,
            params=params,
            statistics={name: found.statistics[name] for name in state.statistics},
            optimizer=optimizer,
            rate=rate,
            sums={name: jnp.where(first, 0, value) + found.sums[name] for name, value in state.sums.items()},
            bad_step=jnp.where(bad, step, state.bad_step),
        )

    def batch(self, data: Data, step: jax.Array) -> Taken:
        """The rows that this step learns from."""
        number, size, augmentation = step % self.objective.steps_per_epoch, self.objective.batch_size, self.augmentation
        if augmentation is None:
            return data.batch(number, size)
        key = augmentation.key(data.key, step)
        taken = data.batch(number, size, lambda rows: augmentation.move(rows, key))
        return taken._replace(x=augmentation.disturb(taken.x, key))

    def penalty(self, params: Tensors) -> jax.Array | float:
        """l1 * sum |w| + l2 * sum w^2 / 2 over the trainable kernels."""
        kernels = [value for name, value in params.items() if is_kernel(name)]
        total = 0.0
        if not is_zero(self.objective.l1):
            total = total + self.objective.l1 * sum(jnp.sum(jnp.abs(kernel)) for kernel in kernels)
        if not is_zero(self.objective.l2):
            total = total + self.objective.l2 * sum(jnp.sum(kernel * kernel) for kernel in kernels) / 2
        return total

    def update(self, state: TrainState, gradients: Tensors, rate: jax.Array) -> tuple[Tensors, Any]:
        """Parameters and optimizer state after clipping, the optimizer, the rate and the constraint."""
        goal = self.objective
        if goal.clip is not None:
            clipped, _ = goal.clip.update(gradients, goal.clip.init(state.params), state.params)
            gradients = dict(clipped)  # type: ignore[arg-type]
        params: Tensors = {}
        optimizer: dict[str, Any] = {}
        for group, names in self.groups.items():
            old = {name: state.params[name] for name in names}
            own = {name: gradients[name] for name in names}
            directions: Any
            directions, optimizer[group] = goal.direction.update(own, state.optimizer[group], old)
            for name in names:
                params[name] = old[name] - rate * self.factors.get(layer_of(name), 1.0) * directions[name]
        if goal.max_norm is not None:
            params = {n: max_norm(v, goal.max_norm) if is_kernel(n) else v for n, v in params.items()}
        return params, optimizer

    def score(self, tensors: Tensors, data: Data, start: jax.Array, stop: jax.Array) -> Tensors:
        """The sums of the task's measures over rows `start` to `stop` (excluded)."""
        key = jax.random.wrap_key_data(data.key, impl="threefry2x32")

        def add(number: jax.Array, sums: Tensors) -> Tensors:
            taken, here = data.block(number, start, stop)
            batch = Batch(taken.x, taken.labels, jax.random.fold_in(key, number), number, self.first)
            scores = self.task.scores(tensors, batch)
            counts = here[:: self.task.rows]
            return {
                name: sums[name] + jnp.where(_along(counts, v), v, 0).sum(0, dtype=sums[name].dtype)
                for name, v in scores.items()
            }

        return lax.fori_loop(*data.blocks(start, stop), add, zeros(self.task.measures))


def _along(rows: jax.Array, values: jax.Array) -> jax.Array:
    """`rows` (n,) with axes of length 1 for the others of `values` (n, ...)."""
    return rows.reshape(-1, *[1] * (values.ndim - 1))


def samples(data: Data | Stream) -> tuple[Data, Data]:
    """What training and evaluation take at a time: all rows, or a window of them."""
    if isinstance(data, Stream):
        return data.epoch(0).at(0)[0], next(data.pieces(0, 1))[0]
    return data, data
