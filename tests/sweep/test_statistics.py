from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dnnrun.sweep.statistics import Estimate, difference, estimate, holm, told_apart, verdict


def test_the_interval_is_students() -> None:
    values = [0.91, 0.93, 0.92, 0.95, 0.90]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))


def test_one_run_has_no_interval() -> None:
    assert estimate([0.5]) == Estimate(0.5, None, 1)
    assert verdict(difference({1: 0.5}, {1: 0.4})) == "one seed tells nothing"


def test_no_run_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        estimate([])


def test_differences_are_paired_by_seed() -> None:
    first, second = {0: 0.90, 1: 0.50, 2: 0.70}, {1: 0.49, 2: 0.69, 3: 0.1}
    found = difference(first, second)
    assert found is not None
    assert found.count == 2
    assert found.mean == pytest.approx(0.01)
    assert difference({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize(
    ("shift", "wanted"), [(0.1, "better"), (-0.1, "worse"), (0.0, "cannot be told apart at 5 seeds")]
)
def test_the_verdict_is_as_honest_both_ways(shift: float, wanted: str) -> None:
    noise = [0.001, -0.002, 0.0015, -0.001, 0.0005]
    found = difference({s: 0.5 + shift + n for s, n in enumerate(noise)}, dict.fromkeys(range(5), 0.5))
    assert verdict(found) == wanted
    assert told_apart(found) == (shift != 0)


def test_p_is_that_of_students_test() -> None:
    values = [0.02, -0.01, 0.03, 0.015, 0.001]
    assert estimate(values).p == pytest.approx(stats.ttest_1samp(values, 0)[1])
    assert estimate([0.5, 0.5]).p == 0.0
    assert estimate([0.0, 0.0]).p == 1.0


def test_folds_widen_the_interval_as_nadeau_and_bengio_say() -> None:
    values = [0.91, 0.93, 0.92, 0.95, 0.90, 0.92, 0.94, 0.93, 0.95, 0.91]  # two times five folds
    variance = np.var(values, ddof=1) * (1 / 10 + 1 / 4)
    half = stats.t.ppf(0.975, 9) * np.sqrt(variance)
    assert estimate(values, folds=5).half == pytest.approx(half)
    assert half > 1.8 * (estimate(values).half or 0)


def test_holm_adjusts_for_how_many_are_asked_about() -> None:
    found = [Estimate(0.1, 0.1, 5, p) for p in (0.01, 0.04, 0.03)]
    adjusted = holm([found[0], None, found[1], Estimate(0.1, None, 1), found[2]])
    assert [value and round(value, 9) for value in adjusted] == [0.03, None, 0.06, None, 0.06]
    assert holm([]) == []
