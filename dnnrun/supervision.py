"""What a spec's loss and its data come to: the loss that fits the task, and the task that training minimises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnnrun.component import members
from dnnrun.data.dataset import Dataset
from dnnrun.data.source import TaskName
from dnnrun.data.targets import TargetScale
from dnnrun.errors import SpecError
from dnnrun.metric import MEASURED
from dnnrun.nn.loss import Loss
from dnnrun.spec.sections import Spec

if TYPE_CHECKING:
    from dnnrun.nn.network import Split
    from dnnrun.train.task import Supervised

DEFAULTS = {"classification": "cross_entropy", "multilabel": "binary_cross_entropy", "regression": "mse"}


def loss_for(loss: Loss | None, task: TaskName) -> Loss:
    """The loss of a spec for a task, unset: its default. Raises SpecError where it does not fit."""
    if loss is None:
        return Loss.parse(DEFAULTS[task])
    if task not in loss.fits:
        names = [name for name, kind in members(Loss).items() if issubclass(kind, Loss) and task in kind.fits]
        raise SpecError([f"train.loss: {loss.type} does not fit the task {task}; wanted {' or '.join(names)}"])  # type: ignore[attr-defined]
    return loss


def outputs_for(spec: Spec, dataset: Dataset) -> int:
    """How many outputs the network of `spec` has over these rows. Raises SpecError where the loss does not fit."""
    loss = loss_for(spec.train.loss, dataset.task)
    try:
        return loss.outputs(dataset.task, len(dataset.names))
    except ValueError as error:
        raise SpecError([f"train.loss: {loss.type} {error}"]) from None  # type: ignore[attr-defined]


def supervised(spec: Spec, dataset: Dataset, split: Split, scale: TargetScale | None) -> Supervised:
    """What training minimises. JAX is imported here."""
    from dnnrun.train.task import Classification, Multilabel, Regression

    loss = loss_for(spec.train.loss, dataset.task)
    functions = split, loss.build(), loss.evaluation().build()
    if dataset.task == "regression":
        assert scale is not None
        return Regression(*functions, std=scale.std)
    return (Classification if dataset.task == "classification" else Multilabel)(*functions)


def check_metric(metric: str, where: str, task: TaskName) -> None:
    """Raise SpecError where a `split.metric` is none of the task's."""
    split, _, name = metric.partition(".")
    if name not in MEASURED[task]:
        wanted = ", ".join(f"{split}.{known}" for known in MEASURED[task])
        raise SpecError([f"{where}: {metric} is not measured, the task is {task}; wanted {wanted}"])
