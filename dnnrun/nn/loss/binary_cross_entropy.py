"""Cross-entropy of yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from dnnrun.nn.loss import Loss

if TYPE_CHECKING:
    from jax import Array


class BinaryCrossEntropy(Loss):
    """Cross-entropy of labels that are each yes or no, in nats, by the logistic function of their logits.

    -y log p - (1 - y) log(1 - p), p = 1 / (1 + exp(-logit)); the mean over the labels of a row. Of two classes, the
    network has one output: the logit of the second. Label smoothing s puts 1 - s / 2 for a yes and s / 2 for a no, in
    training alone.
    """

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over yes and no")
    fits: ClassVar[tuple[str, ...]] = ("multilabel", "classification")

    def outputs(self, task: str, names: int) -> int:
        """One for two classes, else one a label. Raises ValueError for more than two classes."""
        if task == "classification" and names != 2:
            raise ValueError(f"tells two classes apart, and there are {names}; use cross_entropy")
        return 1 if task == "classification" else names

    def build(self) -> Callable[[Array, Array], Array]:
        import jax.numpy as jnp

        smoothing = self.label_smoothing

        def binary_cross_entropy(logits: Array, labels: Array) -> Array:
            yes = labels[:, None].astype(jnp.float32) if labels.ndim == 1 else labels
            if smoothing:
                yes = (1 - smoothing) * yes + smoothing / 2
            return jnp.mean(jnp.logaddexp(0, logits) - yes * logits, axis=-1)

        return binary_cross_entropy

    def evaluation(self) -> Self:
        """The same loss without smoothing."""
        return self.model_copy(update={"label_smoothing": 0.0})
