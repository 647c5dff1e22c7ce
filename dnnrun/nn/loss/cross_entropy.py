"""Softmax cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from dnnrun.nn.loss import Loss

if TYPE_CHECKING:
    from jax import Array


class CrossEntropy(Loss):
    """Softmax cross-entropy of integer labels, in nats.

    -sum_k q_k log softmax(logits)_k, where q gives the label 1 - s + s / classes and every other class s / classes
    for label smoothing s (Szegedy et al., "Rethinking the Inception architecture", 2015, section 7). Smoothing is for
    training: evaluation reports the loss without it, so that runs with and without can be compared. A label outside
    [0, classes) gives nan.
    """

    type: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all classes")

    def build(self) -> Callable[[Array, Array], Array]:
        import jax
        import jax.numpy as jnp

        smoothing = self.label_smoothing

        def cross_entropy(logits: Array, labels: Array) -> Array:
            # A mask, not an index: its gradient is elementwise, where that of an index is a scatter.
            hit = labels[:, None] == jnp.arange(logits.shape[-1])
            log_p = jax.nn.log_softmax(logits)
            loss = -jnp.sum(jnp.where(hit, log_p, 0), axis=-1)
            if smoothing:
                loss = (1 - smoothing) * loss - smoothing * jnp.mean(log_p, axis=-1)
            return jnp.where(hit.any(axis=-1), loss, jnp.nan)

        return cross_entropy

    def evaluation(self) -> Self:
        """The same loss without smoothing."""
        return self.model_copy(update={"label_smoothing": 0.0})
