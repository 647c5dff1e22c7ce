"""From measured signals to findings: how fast signals grow from layer to layer, and what is wrong with that.

The thresholds and where they come from are in docs/diagnose.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("vanishing", "exploding", "saturated", "dead", "stuck", "diverging")

TOTAL = 1e3  # times that a signal may grow or shrink from the first hidden layer to the last
SATURATED_SHARE = 0.4  # of a layer's values
DEAD_SHARE = 0.9  # of a layer's units
STUCK_SHARE = 0.98  # of the loss of always guessing the same
FEWEST_STEPS = 100  # that a judgment of what training came to wants
SMALLEST = 1e-30  # below this float32 soon loses a value altogether


@dataclass(frozen=True)
class Growth:
    """The factor by which a quantity grows a layer, fitted over `layers` hidden layers in the order of its flow.

    A least-squares line through the logarithms. `total` is the factor over all of them.
    """

    factor: float
    layers: int

    @property
    def total(self) -> float:
        return math.exp(min(max(math.log(self.factor) * (self.layers - 1), -700), 700))

    def __str__(self) -> str:
        if abs(self.factor - 1) < 0.005:
            return "keep their size"
        if self.factor >= 1:
            return f"grow {self.factor:.3g}x a layer"
        return f"shrink {1 / self.factor:.3g}x a layer"

    def as_json(self) -> dict[str, float]:
        return {"factor": self.factor, "total": self.total}


@dataclass(frozen=True)
class Finding:
    """Something wrong: its kind (one of KINDS), in words, and the layer it is worst in where there is one."""

    kind: str
    text: str
    layer: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text, "layer": self.layer}


def growth(values: Sequence[float | None]) -> Growth | None:
    """The factor a layer of values in the order of their flow; None where fewer than two are to be had.

    The values up to the first that is 0, too small or not finite are taken: behind it float32 holds nothing more.
    """
    taken: list[float] = []
    for value in values:
        if value is None or not math.isfinite(value) or value < SMALLEST:
            break
        taken.append(math.log(value))
    if len(taken) < 2:
        return None
    count = len(taken)
    middle, mean = (count - 1) / 2, math.fsum(taken) / count
    slope = math.fsum((at - middle) * (value - mean) for at, value in enumerate(taken))
    slope /= math.fsum((at - middle) ** 2 for at in range(count))
    return Growth(math.exp(slope), len(values))


def forward_growth(signals: Mapping[str, Any]) -> Growth | None:
    """Of the pre-activations' standard deviation, from the first hidden layer up."""
    return growth([signals[name]["pre_activation"]["std"] for name in hidden(signals)])


def backward_growth(signals: Mapping[str, Any]) -> Growth | None:
    """Of the back-propagated gradients' standard deviation, from the last hidden layer down."""
    return growth([signals[name]["gradient"]["std"] for name in reversed(hidden(signals))])


def hidden(signals: Mapping[str, Any]) -> list[str]:
    return [name for name in signals if name != "outputs"]


def judge(signals: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with the signals of one moment."""
    found: list[Finding] = []
    names = hidden(signals)
    for what, flow, order in (
        ("gradients", backward_growth(signals), names[::-1]),
        ("activations", forward_growth(signals), names),
    ):
        part = "gradient" if what == "gradients" else "pre_activation"
        values = [signals[name][part]["std"] for name in order]
        lost = next((name for name, v in zip(order, values, strict=True) if v is None or not math.isfinite(v)), None)
        zero = next((name for name, v in zip(order, values, strict=True) if v is not None and v < SMALLEST), None)
        end = order[-1] if order else None
        if lost is not None or (flow and flow.total > TOTAL):
            rate = f"{what} {flow}" if flow else f"{what} explode"
            tail = f", past what float32 holds at {lost}" if lost else f", {_times(flow)} over {len(names)} layers"
            found.append(Finding("exploding", rate + tail, lost or end))
        elif zero is not None or (flow and flow.total < 1 / TOTAL):
            rate = f"{what} {flow}" if flow else f"{what} vanish"
            tail = f", to nothing at {zero}" if zero else f", {_times(flow)} over {len(names)} layers"
            found.append(Finding("vanishing", rate + tail, zero or end))
    for kind, key, most, words in (
        ("saturated", "saturated", SATURATED_SHARE, "of the values are where the activation is flat"),
        ("dead", "dead", DEAD_SHARE, "of the units answer to no example"),
    ):
        shares = {name: signals[name][key] for name in names if signals[name][key] is not None}
        ill = [name for name, share in shares.items() if share > most]
        if ill:
            worst = max(ill, key=lambda name: shares[name])
            more = f", and above {most:.0%} in {len(ill) - 1} more" if len(ill) > 1 else ""
            found.append(Finding(kind, f"{shares[worst]:.0%} {words} in {worst}{more}", worst))
    return found


def judge_training(losses: Sequence[float], steps: int, guess: float, told: str) -> list[Finding]:
    """What is wrong with the course of a short training.

    losses: the mean training loss of its pieces, in order. guess: the loss of always predicting the same. told: what
    else the last piece came to, in words.
    """
    if not losses:
        return []
    last = losses[-1]
    if not math.isfinite(last) or (last > 2 * guess and last > losses[0]):
        return [Finding("diverging", f"after {steps} steps the loss is {last:.3g}; guessing alone has {guess:.3g}")]
    if steps >= FEWEST_STEPS and last > STUCK_SHARE * guess:
        return [Finding("stuck", f"after {steps} steps the loss is {last:.3f}, that of guessing {guess:.3f} ({told})")]
    return []


def _times(flow: Growth | None) -> str:
    if flow is None:
        return ""
    return f"{flow.total:.2g} times" if flow.total >= 1 else f"{1 / flow.total:.2g} times less"
