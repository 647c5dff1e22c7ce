"""The learning rate range test: a short training with a rate that grows step by step, and what its losses suggest.

Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dnnrun.data.source import Places
from dnnrun.diagnose.sample import sample
from dnnrun.errors import RunFailed
from dnnrun.spec.sections import Spec

SMOOTHING = 0.95  # of the running mean of losses, corrected for its start
BLOWN_UP = 4.0  # times the lowest loss, where the test ends


@dataclass(frozen=True)
class RangeTest:
    """Rates tried in order with the smoothed loss after each; `suggested` is where the loss falls fastest.

    `lowest` is the rate at the lowest loss: a tenth of it is the most that is safe.
    """

    rates: list[float]
    losses: list[float]
    suggested: float
    lowest: float

    def as_json(self) -> dict[str, Any]:
        """What `find-lr --json` prints."""
        return {"suggested": self.suggested, "lowest_loss_at": self.lowest, "rates": self.rates, "losses": self.losses}


def find_rate(
    spec: Spec,
    places: Places,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 300,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, steps: None,
) -> RangeTest:
    """Train for `steps` with rates from `low` to `high`, evenly spaced in their logarithm, in memory alone.

    Raises what training raises, and RunFailed where the loss never falls.
    """
    import jax.numpy as jnp

    from dnnrun.assemble import assemble

    parts = assemble(sample(spec), places, cache)
    growth = math.log(high / low) / max(1, steps - 1)
    parts.objective = replace(
        parts.objective, rate=lambda step: jnp.float32(low) * jnp.exp(jnp.float32(growth) * step.astype(jnp.float32))
    )
    state, frozen = parts.enter(0, [0], parts.first_tensors())
    per_epoch, batch = parts.plan.steps_per_epoch, parts.plan.batch_size
    rates: list[float] = []
    losses: list[float] = []
    mean, best, before = 0.0, math.inf, 0.0
    for step in range(steps):
        data = parts.batches(step // per_epoch) if step % per_epoch == 0 else data  # noqa: F821  set at step 0
        before = 0.0 if step % per_epoch == 0 else before
        state = parts.program.train_chunk(state, frozen, data, step, step + 1)
        total = float(state.sums["loss_sum"])
        loss, before = (total - before) / batch, total
        if not math.isfinite(loss):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING ** (step + 1))
        rates.append(float(state.rate))
        losses.append(smooth)
        best = min(best, smooth)
        if smooth > BLOWN_UP * best and step > 10:
            break
        progress(step + 1, steps)
    return _judged(rates, losses)


def _judged(rates: list[float], losses: list[float]) -> RangeTest:
    lowest = min(range(len(losses)), key=losses.__getitem__, default=0)
    if lowest < 2 or losses[lowest] > 0.99 * losses[0]:
        raise RunFailed(
            "the loss falls at none of these rates; look at the network with dnnrun diagnose, or try other bounds "
            "(--low, --high)"
        )
    # The slope over a few steps to either side: of a single one it is noise.
    width = max(1, lowest // 20)
    slopes = {at: losses[min(at + width, lowest)] - losses[max(at - width, 0)] for at in range(lowest + 1)}
    steepest = min(slopes, key=slopes.__getitem__)
    return RangeTest(rates, losses, _round(rates[steepest]), rates[lowest])


def _round(rate: float) -> float:
    """To two digits: the test is no more exact than that."""
    return float(f"{rate:.2g}")
