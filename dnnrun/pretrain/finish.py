"""What is measured and drawn once, when a stage has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dnnrun.pretrain.scheme import Scheme
from dnnrun.pretrain.stage import Stage
from dnnrun.pretrain.task.autoencoder import Autoencoder
from dnnrun.pretrain.task.rbm import Rbm
from dnnrun.streams import key_words
from dnnrun.train.task import Batch, Task

SHOWN, EXACT_ROWS, BLOCK = 50, 500, 1000
Rows = Callable[..., np.ndarray]


def finish(
    scheme: Scheme,
    stage: Stage,
    task: Task,
    tensors: Mapping[str, Any],
    metrics: dict[str, dict[str, float]],
    rows: Mapping[str, Rows],
    image: tuple[int, int, int] | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """Add to the metrics, by split, what takes a while, and give what is to be drawn: rows of images, by name.

    `rows[split](limit)` are the scaled rows of a split. For an autoencoder, the reconstruction through all of its
    layers; for an RBM, the pseudo-likelihood over every bit and, where its states can be gone through, the likelihood.
    """
    tensors = {name: jnp.asarray(value) for name, value in tensors.items()}
    pictures: dict[str, np.ndarray] = {}
    if image is not None and stage.first == 0:
        pictures["filters"] = np.asarray(tensors[f"{stage.encoder.names[0]}/kernel"]).T
    shown = next(split for split in ("test", "validation", "train") if split in rows)
    if isinstance(task, Autoencoder):
        whole = _through_all(scheme, stage, task)
        if stage.first:
            for split in metrics:
                metrics[split]["input_mse"] = _mse(whole, tensors, rows[split]())
        if image is not None:
            some = rows[shown](SHOWN)
            pictures["reconstructions"] = _beside(some, np.asarray(whole.reconstructions(tensors, _batch(some))))
    if isinstance(task, Rbm):
        for split in metrics if stage.first == 0 else ():
            _likelihoods(task, tensors, rows[split](EXACT_ROWS), metrics[split])
        if image is not None and stage.first == 0:
            key = jax.random.wrap_key_data(jnp.asarray(key_words(seed, "samples")), impl="threefry2x32")
            start = jnp.asarray(rows[shown](getattr(scheme, "chains", SHOWN)))
            pictures["samples"] = np.asarray(task.samples(tensors, start, key, getattr(scheme, "picture_steps", 1000)))
    return pictures


def _through_all(scheme: Any, stage: Stage, task: Autoencoder) -> Autoencoder:
    """The autoencoder of the rows through every layer of the stage, without noise."""
    return scheme.model_copy(update={"noise": None}).task(replace(stage, first=0), task.split, None)


def _likelihoods(task: Rbm, tensors: Mapping[str, Any], rows: np.ndarray, metrics: dict[str, float]) -> None:
    v = jnp.asarray(rows)
    if not task.gaussian:
        metrics["exact_pseudo_likelihood"] = float(task.exact_pseudo_likelihood(tensors, v).mean())
    if (log_z := task.log_partition(tensors)) is not None:
        metrics["log_likelihood"] = float(-metrics["free_energy"] - log_z)


def _mse(task: Autoencoder, tensors: Any, rows: np.ndarray) -> float:
    run = jax.jit(lambda x: jnp.square(task.reconstructions(tensors, _batch(x)) - x).mean(-1))
    return float(np.mean(np.concatenate([np.asarray(run(rows[at : at + BLOCK])) for at in range(0, len(rows), BLOCK)])))


def _batch(x: Any) -> Batch:
    x = jnp.asarray(x)
    key = jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32), impl="threefry2x32")
    return Batch(x, jnp.zeros(len(x), jnp.int32), key, jnp.int32(0))


def _beside(rows: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Each line of ten rows, and below it what became of them."""
    lines = [part[at : at + 10] for at in range(0, len(rows) // 10 * 10, 10) for part in (rows, reconstructions)]
    return np.concatenate(lines) if lines else np.concatenate([rows, reconstructions])
