from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dnnrun.errors import SpecError
from dnnrun.spec.load import dump, load_mapping
from dnnrun.spec.space import Range, Sweep
from dnnrun.sweep.plan import check, confirming, planned, spec_of

BASE: dict[str, Any] = {"data": {"source": "digits"}, "model": {"hidden": [8]}, "seed": 3}


def test_grid_zip_random_and_settings_multiply() -> None:
    sweep = Sweep.model_validate(
        {
            "settings": [{}, {"transfer": None}],
            "grid": {"a": [1, 2]},
            "zip": {"b": [1, 2, 3], "c": [4, 5, 6]},
            "ranges": {"d": {"uniform": [0, 1]}},
            "trials": 2,
        }
    )
    found = sweep.every_setting(0)
    assert len(found) == 2 * 2 * 3 * 2
    assert {(setting["b"], setting["c"]) for setting in found} == {(1, 4), (2, 5), (3, 6)}
    assert found == sweep.every_setting(0)
    assert found != sweep.every_setting(1)


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [({"uniform": [2, 3]}, 2, 3), ({"log": [0.001, 0.1]}, 0.001, 0.1), ({"int": [5, 7]}, 5, 7)],
)
def test_ranges_stay_inside(given: dict[str, Any], low: float, high: float) -> None:
    rng, found = np.random.default_rng(0), Range.model_validate(given)
    drawn = [found.draw(rng) for _ in range(2000)]
    assert low <= min(drawn) < max(drawn) <= high
    if "int" in given:
        assert set(drawn) == {5, 6, 7}
    if "log" in given:
        assert np.mean(np.array(drawn) < 0.01) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"zip": {"a": [1], "b": [1, 2]}}, "zip wants lists of one length"),
        ({"trials": 3}, "trials want ranges to draw from"),
        ({"ranges": {"a": [1]}}, "ranges want trials, how many settings are drawn from them, or a time"),
        ({"search": "tpe", "trials": 3}, "a tpe search wants ranges"),
        ({"search": "asha", "ranges": {"a": [1]}, "trials": 2, "grid": {"b": [1]}}, "draws every key from ranges"),
        ({"halving": {"first": 2}}, "halving belongs to the search asha"),
        ({"storage": "sqlite:///x"}, "storage belongs to the searches tpe and asha"),
        ({"time": {"seconds": 1, "hours": 1}}, "exactly one of seconds, minutes and hours"),
        ({"folds": 1}, "sweep.folds: found 1, wanted more than 1"),
        ({"grid": {"a": [1]}, "zip": {"a": [1]}}, "a is varied in two ways"),
        ({"ranges": {"a": {"uniform": [1, 0]}}, "trials": 1}, "low below high"),
        ({"ranges": {"a": {"log": [0, 1]}}, "trials": 1}, "low above 0"),
        ({"ranges": {"a": {}}, "trials": 1}, "exactly one of uniform, log, int and choice"),
        ({"grid": {"a": []}}, "sweep.grid.a"),
    ],
)
def test_bad_spaces_are_refused(sweep: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_mapping({**BASE, "sweep": sweep})
    assert message in str(caught.value)


def test_settings_that_make_no_spec_are_refused_before_anything_runs() -> None:
    base = load_mapping({**BASE, "sweep": {"grid": {"model.activation": ["relu", "rleu"], "train.epochs": [1, 0]}}})
    assert base.sweep is not None
    with pytest.raises(SpecError) as caught:
        check(base, base.sweep, base.sweep.every_setting(0))
    text = str(caught.value)
    assert "model.activation=rleu" in text
    assert "did you mean 'relu'" in text
    assert "train.epochs=0" in text


def test_trials_have_names_of_their_own_and_seeds_go_outermost() -> None:
    base = load_mapping({**BASE, "sweep": {"grid": {"model.activation": ["relu", "elu"]}, "seeds": 3}})
    assert base.sweep is not None
    trials = planned(base, base.sweep)
    assert [trial.seed for trial in trials] == [3, 3, 4, 4, 5, 5]
    fresh = confirming(base, base.sweep, {"model.activation": "elu"})
    assert [trial.seed for trial in fresh] == [6, 7, 8]
    assert len({trial.name for trial in [*trials, *fresh]}) == 9
    spec = spec_of(base, trials[1])
    assert (spec.name, spec.seed, spec.model.activation.model_dump()["type"]) == (trials[1].name, 3, "elu")
    assert spec.sweep is None


def test_a_spec_with_a_sweep_survives_being_written() -> None:
    base = load_mapping(
        {
            **BASE,
            "sweep": {"ranges": {"train.epochs": {"int": [1, 9]}, "model.activation": ["relu", "elu"]}, "trials": 2},
        }
    )
    import yaml

    assert load_mapping(yaml.safe_load(dump(base))) == base


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (
            {"ranges": {"train.epochs": {"int": [0, 4]}}, "trials": 2},
            "train.epochs=0: override 'train.epochs=0': train.epochs: found 0, wanted more than 0",
        ),
        ({"grid": {"seed": [1, 2]}}, "sweep: seed cannot be varied; sweep.seeds says how many seeds"),
        ({"settings": [{"name": "x"}]}, "sweep: name cannot be varied; each trial has a name of its own"),
        (
            {"grid": {"model.activation": ["relu", "elu"]}, "reference": {"model.activation": "tanh"}},
            "sweep.reference: no setting has model.activation=tanh; wanted exactly one of: model.activation=relu; "
            "model.activation=elu",
        ),
        (
            {"ranges": {"train.epochs": [1, 2]}, "trials": 2, "reference": {"train.epochs": 1}},
            "sweep.reference: settings drawn from ranges are not known beforehand; leave it out",
        ),
        (
            {"grid": {"data.validation": [0.2, 0]}},
            "data.validation=0: sweep.metric: validation.accuracy wants validation rows, and data.validation leaves "
            "none; take some, sweep.folds, or sweep.metric=train.accuracy",
        ),
    ],
)
def test_what_no_trial_can_be_is_refused_before_anything_runs(sweep: dict[str, Any], message: str) -> None:
    base = load_mapping({**BASE, "sweep": sweep})
    assert base.sweep is not None
    with pytest.raises(SpecError) as caught:
        check(base, base.sweep, [] if base.sweep.ranges else base.sweep.every_setting(0))
    assert message in str(caught.value)


def test_every_seed_is_run_with_every_fold() -> None:
    base = load_mapping({**BASE, "sweep": {"grid": {"model.activation": ["relu", "elu"]}, "seeds": 2, "folds": 3}})
    assert base.sweep is not None
    trials = planned(base, base.sweep)
    assert len(trials) == len({trial.name for trial in trials}) == 12
    assert {trial.pair for trial in trials} == {(seed, fold) for seed in (3, 4) for fold in (1, 2, 3)}
    fold = spec_of(base, trials[-1]).data.fold
    assert fold is not None
    assert (fold.of, fold.number) == (3, 3)
    assert all(spec_of(base, trial).data.fold is None for trial in confirming(base, base.sweep, {}))


def test_draws_without_end_begin_as_those_that_end() -> None:
    ranges = {"ranges": {"a": {"uniform": [0, 1]}}}
    ending = Sweep.model_validate({**ranges, "trials": 3}).every_setting(5)
    endless = Sweep.model_validate({**ranges, "time": {"seconds": 1}}).endless(5)
    assert [next(endless) for _ in range(3)] == ending
