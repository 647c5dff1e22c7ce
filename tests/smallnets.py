"""Small networks on random numbers, without spec or disk: a program, its first state, its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dnnrun.nn.architecture import Architecture, Model, is_kernel, lay_out
from dnnrun.nn.loss import Loss
from dnnrun.nn.network import Split, initial_tensors
from dnnrun.optim.clipping import Clipping
from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.schedule import Horizon
from dnnrun.streams import key_words
from dnnrun.train.program import Objective, Program
from dnnrun.train.state import Batches, TrainState
from dnnrun.train.task import Classification

FEATURES, CLASSES, BATCH, PER_EPOCH = 6, 4, 5, 8
ROWS = BATCH * PER_EPOCH


@dataclass
class Net:
    """A program with what it works on."""

    program: Program
    state: TrainState
    frozen: dict[str, Any]
    data: Batches

    def after(self, *stops: int) -> TrainState:
        """The state after steps up to each stop in turn."""
        state, at = self.state, int(self.state.step)
        for stop in stops:
            state, at = self.program.train_chunk(state, self.frozen, self.data, at, stop), stop
        return state

    def tensors(self, state: TrainState) -> dict[str, np.ndarray]:
        """Every tensor of the network, on the host."""
        return {name: np.asarray(x) for name, x in {**self.frozen, **state.params, **state.statistics}.items()}


def architecture(**model: Any) -> Architecture:
    return lay_out(Model.model_validate({"hidden": [7, 5], **model}), FEATURES, CLASSES)


def some_batches(seed: int = 0) -> Batches:
    rng = np.random.default_rng(seed)
    features = rng.normal(1.0, 2.0, (ROWS + 12, FEATURES)).astype(np.float32)
    labels = (np.abs(features).sum(1) * 2).astype(np.int32) % CLASSES
    order = rng.permutation(ROWS).astype(np.int32)
    return Batches(
        features=jnp.asarray(features),
        labels=jnp.asarray(labels),
        offset=jnp.float32(0.5),
        factor=jnp.float32(0.25),
        order=jnp.asarray(order),
        key=jnp.asarray(key_words(seed, "step")),
    )


def net(**options: Any) -> Net:
    """What `build` makes of the options, compiled once a session: tests do not change it."""
    key = json.dumps(options, sort_keys=True, default=sorted)
    if key not in _BUILT:
        _BUILT[key] = build(**options)
    return _BUILT[key]


_BUILT: dict[str, Net] = {}


def build(
    optimizer: Any = None,
    trainable: set[str] | None = None,
    moving: set[str] | None = None,
    clip: Any = None,
    loss: Any = "cross_entropy",
    l1: float = 0.0,
    l2: float = 0.0,
    max_norm: float | None = None,
    **model: Any,
) -> Net:
    """A compiled program over a network 6-7-5-4, or of what `model` says otherwise."""
    plan = architecture(**model)
    chosen, measured = Optimizer.parse(optimizer or {"type": "sgd", "learning_rate": 0.1}), Loss.parse(loss)
    task = Classification(Split(plan), measured.build(), measured.evaluation().build())
    objective = Objective(
        direction=chosen.build(is_kernel),
        rate=chosen.learning_rate.build(Horizon(PER_EPOCH, 3)),
        batch_size=BATCH,
        steps_per_epoch=PER_EPOCH,
        clip=clip and Clipping.parse(clip).build(),
        l1=l1,
        l2=l2,
        max_norm=max_norm,
    )
    names = plan.names if trainable is None else trainable
    program = Program(task, objective, frozenset(names), frozenset(moving or ()))
    state, frozen = program.begin(initial_tensors(plan, seed=1))
    data = some_batches()
    program.compile(state, frozen, data)
    return Net(program, state, frozen, data)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Equal bit for bit."""
    return a.keys() == b.keys() and all(np.asarray(a[n]).tobytes() == np.asarray(b[n]).tobytes() for n in a)
