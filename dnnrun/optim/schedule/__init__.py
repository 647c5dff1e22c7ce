"""Learning-rate schedules: the rate as a function of the step alone, so that a resume needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict, Field, model_validator

from dnnrun.component import Component, Options, one_of
from dnnrun.errors import SpecError

if TYPE_CHECKING:
    from jax import Array


MOST_STEPS = 2**31 - 1  # a step's number is an int32


class Horizon(NamedTuple):
    """What turns durations into steps: the steps of an epoch, the epochs of the run.

    `started` is the step of the run that the schedule counts as its 0; not 0 only behind a warm-up.
    """

    steps_per_epoch: int
    epochs: int
    started: int = 0

    def steps_left(self) -> int:
        """The steps from `started` to the end of the run, at least 1."""
        return max(1, self.steps_per_epoch * self.epochs - self.started)


class Duration(Options):
    """A length of training: exactly one of `{steps: N}` and `{epochs: N}`."""

    model_config = ConfigDict(json_schema_extra=one_of("steps", "epochs"))

    steps: int | None = Field(None, gt=0)
    epochs: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Duration:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("wanted exactly one of steps and epochs, as {steps: 500} or {epochs: 2}")
        return self

    def in_steps(self, horizon: Horizon) -> int:
        """The length in steps, at least 1. Raises SpecError for more than a run can count."""
        epochs = self.epochs or 0.0
        steps = self.steps or min(max(1, round(min(epochs, MOST_STEPS) * horizon.steps_per_epoch)), MOST_STEPS + 1)
        if steps > MOST_STEPS:
            found = f"steps: {self.steps}" if self.steps else f"epochs: {epochs:g}"
            raise SpecError(
                [
                    f"train.optimizer.learning_rate: found {{{found}}}, wanted a duration of at most {MOST_STEPS:,} "
                    "steps, the most that a run can count; make it shorter"
                ]
            )
        return steps


class PlateauState(NamedTuple):
    """What a schedule that watches the run remembers: JSON-able as a list, rebuilt by `PlateauState(*values)`.

    `scale` is what the loop multiplies the built rate by (its `rate_scale`).
    """

    best: float | None = None
    stale: int = 0
    cooling: int = 0
    scale: float = 1.0


class Schedule(Component):
    """The learning rate over the steps of a run. A bare number is short for a constant one."""

    family: ClassVar[str] = "schedules"
    home: ClassVar[str] = "dnnrun.optim.schedule"

    @classmethod
    def shorthand(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"type": "constant", "value": value}
        return super().shorthand(value)

    @classmethod
    def shorthand_schemas(cls) -> list[dict[str, Any]]:
        return [{"type": "number", "exclusiveMinimum": 0}, *super().shorthand_schemas()]

    def depends_on_epochs(self) -> bool:
        """Whether another `train.epochs` gives other rates at the steps already done."""
        return False

    def adapt(self, state: PlateauState | None, metric: float) -> PlateauState | None:
        """The hook for schedules that watch the run: what to remember after another epoch that measured `metric`.

        `state` is what the last call gave, None at first; lower metrics are better. A pure function that the host calls
        once an epoch: it checkpoints the result and multiplies the rate by its `scale` from the next step on. None
        means that nothing is watched and the scale is 1, as for every schedule but `plateau`, alone or in a warm-up.
        """
        return None

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        """A function from the step (int32 scalar, 0 at the first) to the rate (float32 scalar), JAX imported inside."""
        raise TypeError(f"{type(self).__name__} does not say what rate it gives")


class Constant(Schedule):
    """The same rate at every step."""

    type: Literal["constant"] = "constant"
    value: float = Field(gt=0)

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        import jax.numpy as jnp

        return lambda step: jnp.float32(self.value)
