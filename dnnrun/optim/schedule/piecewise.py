"""Steps of constant rate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from dnnrun.errors import SpecError
from dnnrun.optim.schedule import Duration, Horizon, Schedule
from dnnrun.optim.schedule._between import count

if TYPE_CHECKING:
    from jax import Array

Rate = Annotated[float, Field(gt=0)]


class Piecewise(Schedule):
    """Constant between boundaries: one value more than boundaries.

    values[k] at step, with k the number of boundaries at or before it: the step at a boundary has the new value. All
    boundaries are counted from the start.
    """

    type: Literal["piecewise"] = "piecewise"
    # A YAML list is no tuple; the elements stay strict.
    values: Annotated[tuple[Rate, ...], Field(strict=False, min_length=1, description="the rates in order")]
    boundaries: Annotated[tuple[Duration, ...], Field(strict=False, description="when the next rate begins")]

    @model_validator(mode="after")
    def _fits(self) -> Piecewise:
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"found {len(self.values)} values and {len(self.boundaries)} boundaries; "
                "wanted one value more than boundaries"
            )
        for one, two in pairwise(self.boundaries):
            # Steps and epochs only compare once the length of an epoch is known.
            steps = one.steps is not None and two.steps is not None and two.steps <= one.steps
            epochs = one.epochs is not None and two.epochs is not None and two.epochs <= one.epochs
            if steps or epochs:
                raise ValueError("wanted boundaries in increasing order, each counted from the start")
        return self

    def build(self, horizon: Horizon) -> Callable[[Array], Array]:
        """Raises SpecError when two boundaries fall on one step, or out of order, at this length of an epoch."""
        import jax.numpy as jnp
        import numpy as np

        steps = [boundary.in_steps(horizon) for boundary in self.boundaries]
        if any(two <= one for one, two in pairwise(steps)):
            found = ", ".join(map(str, steps))
            raise SpecError(
                [
                    f"boundaries: found steps {found} at {horizon.steps_per_epoch} steps an epoch; "
                    "wanted each later than the one before: move them apart or give all of them in steps"
                ]
            )
        values, ends = np.asarray(self.values, np.float32), np.asarray(steps, np.int32)

        def rate(step: Array) -> Array:
            return jnp.asarray(values)[jnp.sum(count(step) >= ends)]

        return rate
