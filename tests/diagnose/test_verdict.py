from __future__ import annotations

import math
from typing import Any

import pytest

from dnnrun.diagnose.verdict import growth, judge, judge_training


def signals(gradients: list[float | None], stds: list[float | None] | None = None, **last: float) -> dict[str, Any]:
    """Layers from the first up, with the gradients given from the first up."""
    found: dict[str, Any] = {}
    for number, (gradient, std) in enumerate(zip(gradients, stds or [1.0] * len(gradients), strict=True), 1):
        found[f"hidden{number}"] = {
            "gradient": {"std": gradient},
            "pre_activation": {"std": std},
            "saturated": None,
            "dead": 0.0,
        }
    found[f"hidden{len(gradients)}"].update(last)
    return {**found, "outputs": {"gradient": {"std": 1.0}, "pre_activation": {"std": 1.0}}}


@pytest.mark.parametrize(
    ("values", "factor"),
    [
        ([1.0, 2.0, 4.0, 8.0], 2.0),
        ([8.0, 4.0, 2.0, 1.0], 0.5),
        ([1.0, 0.1, 0.01, 0.0, 0.0], 0.1),
        ([1.0, 3.0, 9.0, math.inf], 3.0),
        ([1.0, 3.0, None], 3.0),
    ],
)
def test_growth(values: list[float | None], factor: float) -> None:
    found = growth(values)
    assert found is not None
    assert found.factor == pytest.approx(factor)


def test_growth_wants_two_values() -> None:
    assert growth([1.0]) is None
    assert growth([0.0, 1.0]) is None
    assert growth([]) is None


FALLING: list[float | None] = [0.2**n for n in range(9, -1, -1)]


@pytest.mark.parametrize(
    ("seen", "kinds"),
    [
        (signals([1.0] * 5), []),
        (signals([0.3, 0.5, 0.8, 1.0]), []),
        (signals(FALLING), ["vanishing"]),
        (signals([0.0, 0.0, 1e-20, 1e-10, 1.0]), ["vanishing"]),
        (signals(FALLING[::-1]), ["exploding"]),
        (signals([None, None, 1e30, 1e15, 1.0]), ["exploding"]),
        (signals([1.0] * 10, FALLING[::-1]), ["vanishing"]),
        (signals([1.0] * 3, saturated=0.7), ["saturated"]),
        (signals([1.0] * 3, saturated=0.3), []),
        (signals([1.0] * 3, dead=0.95), ["dead"]),
        (signals([1.0] * 3, dead=0.5), []),
    ],
)
def test_signals_are_judged(seen: dict[str, Any], kinds: list[str]) -> None:
    assert [finding.kind for finding in judge(seen)] == kinds


def test_the_words() -> None:
    (finding,) = judge(signals(FALLING))
    assert finding.text == "gradients shrink 5x a layer, 2e+06 times less over 10 layers"
    assert finding.layer == "hidden1"


@pytest.mark.parametrize(
    ("losses", "steps", "kinds"),
    [
        ([2.3, 1.0, 0.5], 300, []),
        ([2.3, 2.3, 2.3], 300, ["stuck"]),
        ([2.3, 2.3], 50, []),
        ([2.3, 50.0], 300, ["diverging"]),
        ([2.3, math.nan], 30, ["diverging"]),
        ([40.0, 10.0, 5.0], 300, ["stuck"]),
        ([], 0, []),
    ],
)
def test_a_course_is_judged(losses: list[float], steps: int, kinds: list[str]) -> None:
    assert [finding.kind for finding in judge_training(losses, steps, math.log(10), "accuracy 0.1")] == kinds
