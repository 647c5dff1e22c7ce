"""The sections of a spec and what they mean; their defaults are the ones of docs/spec.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from dnnrun.component import Options, Shorthand, one_of
from dnnrun.data.section import Data
from dnnrun.metric import Watched
from dnnrun.nn.architecture import Model
from dnnrun.nn.loss import Loss
from dnnrun.optim.clipping import Clipping
from dnnrun.optim.optimizer import Optimizer
from dnnrun.pretrain.scheme import Scheme
from dnnrun.spec.space import Sweep
from dnnrun.track import Tracker
from dnnrun.transfer.options import PRETRAIN, Transfer

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
TIMES, FEWEST_BETWEEN = 50, 200  # how often a run is watched, unless that were more than every so many steps


class Every(Options):
    """How often: exactly one of `{seconds: N}`, `{steps: N}`, `{epochs: N}`."""

    model_config = ConfigDict(json_schema_extra=one_of("seconds", "steps", "epochs"))

    seconds: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    epochs: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Every:
        if sum(value is not None for value in (self.seconds, self.steps, self.epochs)) != 1:
            raise ValueError("wanted exactly one of seconds, steps and epochs, as {seconds: 30}")
        return self


class EarlyStopping(Options):
    """Stop when `train.monitor` has not improved for `patience` epochs."""

    patience: int = Field(gt=0, description="epochs without a better value before the run stops")
    min_delta: float = Field(default=0.0, ge=0, description="an improvement smaller than this does not count")
    restore_best: bool = Field(default=True, description="end with the best epoch's weights instead of the last one's")


class Watch(Options):
    """How often the signals of every layer are measured: `{steps: N}`, `{epochs: N}`, or `{}` for about 50 times."""

    steps: int | None = Field(default=None, gt=0)
    epochs: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_at_most(self) -> Watch:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs exclude each other; leave one of them out")
        return self

    def every(self, steps_per_epoch: int, steps: int) -> int:
        """The number of steps from one time to the next, in a run of so many."""
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return self.steps or max(FEWEST_BETWEEN, -(-steps // TIMES))


def _watched(value: Any) -> Any:
    """`true` is the default interval; `false` is not at all."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class Train(Options):
    """How the network is trained."""

    optimizer: Optimizer = Field(default_factory=lambda: Optimizer.parse("adam"))
    loss: Loss | None = Field(
        default=None,
        description="unset: cross_entropy for classes, binary_cross_entropy for several labels, mse for numbers",
    )
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        default=None, description="class -> how much its rows count in training, others 1; balanced: the rarer the more"
    )
    clip: Clipping | None = Field(default=None, description="bounds the gradients before the optimizer")
    batch_size: int = Field(default=100, gt=0)
    epochs: int = Field(default=20, gt=0)
    l1: float = Field(
        default=0.0, ge=0, description="this times the sum of absolute kernel values is added to the loss"
    )
    l2: float = Field(
        default=0.0, ge=0, description="this times half the sum of squared kernel values is added to the loss"
    )
    max_norm: float | None = Field(default=None, gt=0, description="largest L2 norm of a unit's incoming weights")
    early_stopping: EarlyStopping | None = None
    monitor: Watched | None = Field(
        default=None, description="what best means; unset: validation.loss, or train.loss without validation rows"
    )
    checkpoint_every: Every = Field(default_factory=lambda: Every(seconds=30.0))
    watch: Annotated[Watch | None, Shorthand(_watched, {"type": "boolean"})] = Field(
        default=None, description="measure the signals of every layer while training; true: about 50 times in the run"
    )
    trackers: Annotated[tuple[Tracker, ...], Field(strict=False)] = Field(
        default=(), description="where the numbers go besides metrics.jsonl: tensorboard, mlflow, csv"
    )
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    devices: Annotated[int, Field(gt=0)] | Literal["all"] = Field(
        default=1, description="how many share every batch; all: those that are there"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="what layers compute in; weights, statistics and sums are float32 in both"
    )
    threads: Annotated[int, Field(gt=0)] | Literal["auto"] = "auto"


class Eval(Options):
    """What a result is shown beside."""

    baseline: bool = Field(
        default=False,
        description="show the most frequent class or the mean, and a logistic or linear regression, beside the result",
    )


class Spec(Options):
    """A dnnrun spec: the data, the network, and how it is trained."""

    name: str = Field(pattern=NAME, description="of the run's folder; unset: the spec file's name")
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the weights, the order of rows and every random draw")
    data: Data
    model: Model
    train: Train = Field(default_factory=lambda: Train())
    transfer: Transfer | None = None
    pretrain: Scheme | None = Field(default=None, description="what is learned before the labels")
    sweep: Sweep | None = None
    eval: Eval = Field(default_factory=lambda: Eval(), description="what a result is shown beside")

    @model_validator(mode="after")
    def _one_origin(self) -> Spec:
        own = self.transfer is not None and self.transfer.from_ == PRETRAIN
        if self.transfer is not None and self.pretrain is not None and not own:
            raise ValueError(
                "pretrain and transfer both give the layers their first weights; with a pretrain section, "
                "transfer.from is pretrain, or the section is left out"
            )
        if own and self.pretrain is None:
            raise ValueError(
                "transfer.from is pretrain, and there is no pretrain section; add one, or name a run "
                "(./pretrain for a folder of that name)"
            )
        if self.data.stream is not None and self.pretrain is not None:
            raise ValueError("data.stream and pretrain: the stages of pretraining keep all rows; leave one of them out")
        return self
