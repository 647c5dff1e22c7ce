"""TrainState and Progress as named NumPy arrays and JSON, and back: what a checkpoint keeps of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.errors import CheckpointError
from dnnrun.nn.network import Tensors
from dnnrun.optim.schedule import PlateauState
from dnnrun.train.loop import Best, Progress
from dnnrun.train.state import TrainState

SCALARS = ("step", "rate_scale", "rate", "bad_step")


def arrays_of(state: TrainState, progress: Progress) -> dict[str, np.ndarray]:
    """Everything but the network's own tensors: `state/...`, `optimizer/...`, `best/...`."""
    found = {f"state/{name}": np.asarray(getattr(state, name)) for name in SCALARS}
    found |= {f"state/{name}": np.asarray(value) for name, value in state.sums.items()}
    leaves, _ = jax.tree_util.tree_flatten_with_path(state.optimizer)
    found |= {_name(path): np.asarray(leaf) for path, leaf in leaves}
    if progress.best:
        found |= {f"best/{name}": np.asarray(value) for name, value in progress.best.tensors.items()}
    return found


def json_of(progress: Progress) -> dict[str, Any]:
    """The numbers of `progress`, for the manifest."""
    best = progress.best
    return {
        "best": best and {"value": best.value, "step": best.step, "epoch": best.epoch},
        "reference": progress.reference,
        "stale": progress.stale,
        "plateau": progress.plateau and list(progress.plateau),
        "stopped": progress.stopped,
        "began": progress.began,
    }


def state_from(fresh: TrainState, model: Mapping[str, np.ndarray], train: Mapping[str, np.ndarray]) -> TrainState:
    """`fresh` with every value taken from a checkpoint. Raises CheckpointError for one that is absent or misshapen."""
    return replace(
        with_optimizer(fresh, train),
        params={name: _like(model, name, value) for name, value in fresh.params.items()},
        statistics={name: _like(model, name, value) for name, value in fresh.statistics.items()},
        sums={name: _like(train, f"state/{name}", value) for name, value in fresh.sums.items()},
        **{name: _like(train, f"state/{name}", getattr(fresh, name)) for name in SCALARS},
    )


def with_optimizer(state: TrainState, train: Mapping[str, np.ndarray]) -> TrainState:
    """`state` with the optimizer's state of another run's checkpoint. Raises CheckpointError where it does not fit."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(state.optimizer)
    optimizer = [_like(train, _name(path), leaf) for path, leaf in leaves]
    return replace(state, optimizer=jax.tree_util.tree_unflatten(structure, optimizer))


def progress_from(record: Mapping[str, Any], train: Mapping[str, np.ndarray]) -> Progress:
    """The progress that a manifest and its arrays hold."""
    best = None
    if record["best"]:
        tensors: Tensors = {n.removeprefix("best/"): jnp.asarray(v) for n, v in train.items() if n.startswith("best/")}
        best = Best(record["best"]["value"], record["best"]["step"], record["best"]["epoch"], tensors)
    plateau = PlateauState(*record["plateau"]) if record["plateau"] else None
    return Progress(best, record["reference"], record["stale"], plateau, record["stopped"], list(record["began"]))


def carry_on(fresh: TrainState, old: TrainState, tensors: Tensors) -> TrainState:
    """`fresh`, the state of a new phase, where the old one left off: layers that learned already keep their optimizer
    state, those that join begin with a new one. `tensors` are the network's as they stand."""
    return replace(
        fresh,
        params={name: tensors[name] for name in fresh.params},
        statistics={name: tensors[name] for name in fresh.statistics},
        optimizer={group: old.optimizer.get(group, own) for group, own in fresh.optimizer.items()},
        sums=old.sums,
        **{name: getattr(old, name) for name in SCALARS},
    )


def _name(path: Any) -> str:
    parts = (getattr(key, "key", getattr(key, "name", getattr(key, "idx", None))) for key in path)
    return "/".join(("optimizer", *(str(part) for part in parts)))


def _like(found: Mapping[str, np.ndarray], name: str, wanted: Any) -> jax.Array:
    if name not in found:
        raise CheckpointError(f"the checkpoint has no {name}; it was written for another optimizer or network")
    value = found[name]
    if value.shape != wanted.shape or value.dtype != wanted.dtype:
        raise CheckpointError(
            f"the checkpoint's {name} is {value.dtype}{list(value.shape)}, wanted {wanted.dtype}{list(wanted.shape)}"
        )
    return jnp.asarray(value)
