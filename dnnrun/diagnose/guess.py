"""What guessing costs: the loss of predicting the same for every row, as well as that can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dnnrun.train.task import Supervised

ROWS = 50_000  # that labels and targets are told by; of more, the first ones


def loss_of_guessing(task: Supervised, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The mean training loss of the best constant outputs.

    labels: of the training rows as the task learns them, (n,) classes or (n, targets). weights: (n,), how much each row
    counts. Of classes and labels the constant is their frequencies, of numbers the mean or the median, whichever costs
    less: the best under mse and mae, and close to it under huber.
    """
    import jax.numpy as jnp

    from dnnrun.train.task import Classification, Regression

    labels = labels[:ROWS]
    mass = np.ones(len(labels)) if weights is None else weights[: len(labels)].astype(np.float64)
    mass = mass / mass.sum()
    if isinstance(task, Classification):
        outputs = task.split.architecture.layers[-1].units
        mass = np.bincount(labels, mass, minlength=max(outputs, 2))
        labels = np.arange(len(mass), dtype=np.int32)
        share = np.maximum(mass, 1e-9)
        guesses = [np.log(share) if outputs > 1 else np.log(share[1:] / share[:1])]
    elif isinstance(task, Regression):
        guesses = [mass @ labels, np.median(labels, axis=0)]
    else:
        share = np.clip(mass @ labels, 1e-9, 1 - 1e-9)
        guesses = [np.log(share / (1 - share))]

    def cost(guess: np.ndarray) -> float:
        same = np.broadcast_to(guess.astype(np.float32), (len(labels), len(guess)))
        return float(mass @ np.asarray(task.loss(jnp.asarray(same), jnp.asarray(labels)), np.float64))

    return min(cost(guess) for guess in guesses)
