"""Every schedule at its start, its boundaries and its end, eager and jitted; the plateau's memory; bad options."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest

from dnnrun.component import members
from dnnrun.errors import SpecError
from dnnrun.optim.schedule import Constant, Duration, Horizon, PlateauState, Schedule

HORIZON = Horizon(steps_per_epoch=10, epochs=20)
NAMES = ["constant", "cosine", "exponential", "one_cycle", "piecewise", "plateau", "power", "warm_up"]
S49 = {"steps": 49}


def half_cosine(high, low, x):
    return low + (high - low) * (1 + math.cos(math.pi * x)) / 2


# Spec, {step: rate}. Rates must agree to 1e-6, relative.
VALUES = [
    (0.25, {0: 0.25, 1: 0.25, 10**9: 0.25}),
    ({"type": "constant", "value": 3}, {0: 3.0}),
    (
        {"type": "exponential", "initial": 2.0, "every": {"steps": 7}},
        {0: 2.0, 7: 0.2, 14: 0.02, 10: 2 * 10 ** (-10 / 7), 21: 0.002},
    ),
    (
        {"type": "exponential", "initial": 2.0, "factor": 0.5, "every": {"epochs": 1.5}, "staircase": True},
        {0: 2.0, 14: 2.0, 15: 1.0, 29: 1.0, 30: 0.5, 45: 0.25},
    ),
    # A step that float32 cannot hold.
    (
        {"type": "exponential", "initial": 1.0, "factor": 0.5, "every": {"steps": 2**24 + 1}, "staircase": True},
        {2**24: 1.0, 2**24 + 1: 0.5, 2**25 + 1: 0.5, 2**25 + 2: 0.25},
    ),
    ({"type": "exponential", "initial": 1e-6, "factor": 10, "every": {"epochs": 1}}, {0: 1e-6, 10: 1e-5, 60: 1.0}),
    ({"type": "power", "initial": 0.6, "every": {"epochs": 2}}, {0: 0.6, 20: 0.3, 40: 0.2, 30: 0.24, 2000: 0.6 / 101}),
    ({"type": "power", "initial": 0.6, "exponent": 0.5, "every": {"steps": 3}}, {0: 0.6, 9: 0.3, 24: 0.2}),
    (
        {"type": "piecewise", "values": [1, 0.5, 0.1], "boundaries": [{"steps": 15}, {"epochs": 3}]},
        {0: 1.0, 14: 1.0, 15: 0.5, 29: 0.5, 30: 0.1, 10**9: 0.1},
    ),
    ({"type": "piecewise", "values": [0.5], "boundaries": []}, {0: 0.5, 7: 0.5}),
    (
        {"type": "cosine", "initial": 0.5, "over": S49},
        {0: 0.5, **{k: half_cosine(0.5, 0, k / 49) for k in (1, 12, 47, 48)}, 49: 0.0, 10**9: 0.0},
    ),
    (
        {"type": "cosine", "initial": 0.5, "final": 0.1},
        {0: 0.5, 100: 0.3, 199: half_cosine(0.5, 0.1, 199 / 200), 200: 0.1, 201: 0.1},
    ),
    ({"type": "cosine", "initial": 0.5, "final": 0.1, "over": {"epochs": 0.2}}, {0: 0.5, 1: 0.3, 2: 0.1, 3: 0.1}),
    (
        {"type": "warm_up", "over": S49, "then": 0.7},
        {0: 0.0, 1: 0.7 / 49, 48: 0.7 * 48 / 49, 49: 0.7, 50: 0.7},
    ),
    (
        {"type": "warm_up", "over": {"epochs": 1}, "start": 0.1, "then": {"type": "cosine", "initial": 0.5}},
        {0: 0.1, 5: 0.3, 10: 0.5, 105: 0.25, 199: half_cosine(0.5, 0, 189 / 190), 200: 0.0},
    ),
    (
        {
            "type": "warm_up",
            "over": {"steps": 5},
            "then": {"type": "piecewise", "values": [0.2, 0.1], "boundaries": [{"epochs": 1}]},
        },
        {0: 0.0, 4: 0.16, 5: 0.2, 14: 0.2, 15: 0.1},
    ),
    (
        {"type": "one_cycle", "peak": 1.0},
        {
            0: 0.04,
            30: half_cosine(1, 0.04, 0.5),
            60: 1.0,
            130: half_cosine(1, 4e-6, 0.5),
            199: half_cosine(1, 4e-6, 139 / 140),
            200: 4e-6,
            201: 4e-6,
        },
    ),
    (
        {
            "type": "one_cycle",
            "peak": 1.0,
            "start_divisor": 10,
            "final_divisor": 10,
            "warm_fraction": 0.5,
            "anneal": "linear",
            "over": {"steps": 98},
        },
        {0: 0.1, 7: 0.1 + 0.9 / 7, 49: 1.0, 56: 1 - 0.99 / 7, 97: 0.01 + 0.99 / 49, 98: 0.01, 99: 0.01},
    ),
    ({"type": "one_cycle", "peak": 1.0, "over": {"steps": 1}}, {0: 0.04, 1: 1.0, 2: 4e-6}),
    ({"type": "plateau", "initial": 0.3}, {0: 0.3, 10**6: 0.3}),
]


@pytest.mark.parametrize(("spec", "rates"), VALUES, ids=str)
def test_rates(spec, rates):
    schedule = Schedule.parse(spec)
    rate = schedule.build(HORIZON)
    jitted = jax.jit(rate)
    for step, want in rates.items():
        for got in (rate(jnp.int32(step)), jitted(jnp.int32(step))):
            assert got.dtype == jnp.float32
            assert got.shape == ()
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=0, err_msg=f"step {step}")


@pytest.mark.parametrize("spec", [spec for spec, _ in VALUES], ids=str)
def test_jitted_and_looped_equal_eager(spec):
    rate = Schedule.parse(spec).build(HORIZON)
    steps = np.arange(205, dtype=np.int32)
    eager = np.array([rate(jnp.int32(step)) for step in steps[::5]])
    looped = jax.jit(lambda: jax.lax.fori_loop(0, 205, lambda k, all: all.at[k].set(rate(k)), jnp.zeros(205)))()
    mapped = jax.jit(jax.vmap(rate))(steps)
    np.testing.assert_allclose(looped[::5], eager, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(mapped[::5], eager, rtol=1e-6, atol=1e-12)
    assert (np.asarray(looped) >= 0).all()


EXACT = [
    ({"type": "cosine", "initial": 0.3, "final": 0.1, "over": S49}, 0, 0.3),
    ({"type": "cosine", "initial": 0.3, "final": 0.1, "over": S49}, 49, 0.1),
    ({"type": "one_cycle", "peak": 0.3, "over": {"steps": 163}}, 49, 0.3),
    ({"type": "one_cycle", "peak": 0.3, "over": {"steps": 163}}, 0, 0.3 / 25),
    ({"type": "one_cycle", "peak": 0.3, "over": {"steps": 163}}, 163, 0.3 / 25 / 1e4),
    ({"type": "warm_up", "over": S49, "start": 0.01, "then": 0.3}, 0, 0.01),
    ({"type": "warm_up", "over": S49, "then": {"type": "cosine", "initial": 0.3}}, 49, 0.3),
    ({"type": "exponential", "initial": 0.3, "every": S49}, 0, 0.3),
    ({"type": "power", "initial": 0.3, "every": S49}, 0, 0.3),
]


@pytest.mark.parametrize(("spec", "step", "want"), EXACT, ids=str)
def test_boundaries_are_exact(spec, step, want):
    rate = Schedule.parse(spec).build(HORIZON)
    assert rate(jnp.int32(step)) == jnp.float32(want)
    assert jax.jit(rate)(jnp.int32(step)) == jnp.float32(want)


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_one_cycle_rises_then_falls(shape):
    rate = Schedule.parse({"type": "one_cycle", "peak": 0.1, "anneal": shape}).build(HORIZON)
    rates = np.asarray(jax.vmap(rate)(jnp.arange(201)))
    assert (np.diff(rates[:61]) > 0).all()
    assert (np.diff(rates[60:]) < 0).all()


DEPENDS = [
    (0.1, False),
    ({"type": "exponential", "initial": 1.0, "every": {"epochs": 1}}, False),
    ({"type": "power", "initial": 1.0, "every": {"steps": 1}}, False),
    ({"type": "piecewise", "values": [1.0, 0.1], "boundaries": [{"epochs": 2}]}, False),
    ({"type": "cosine", "initial": 1.0}, True),
    ({"type": "cosine", "initial": 1.0, "over": {"epochs": 3}}, False),
    ({"type": "one_cycle", "peak": 1.0}, True),
    ({"type": "one_cycle", "peak": 1.0, "over": {"steps": 3}}, False),
    ({"type": "plateau", "initial": 1.0}, False),
    ({"type": "warm_up", "over": {"epochs": 1}, "then": 0.1}, False),
    ({"type": "warm_up", "over": {"steps": 1}, "then": {"type": "cosine", "initial": 1.0}}, True),
]


@pytest.mark.parametrize(("spec", "want"), DEPENDS, ids=str)
def test_depends_on_epochs(spec, want):
    schedule = Schedule.parse(spec)
    assert schedule.depends_on_epochs() is want
    short, long = schedule.build(Horizon(10, 5)), schedule.build(Horizon(10, 50))
    assert all(short(step) == long(step) for step in jnp.arange(0, 50, 7)) is not want


def run(schedule, metrics):
    state, states = None, []
    for metric in metrics:
        state = schedule.adapt(state, metric)
        # As it comes back from a checkpoint.
        state = PlateauState(*json.loads(json.dumps(state, allow_nan=False)))
        states.append(state)
    return states


NAN, INF = float("nan"), float("inf")
# Options, metrics, scales after each.
PLATEAUS = [
    ({"patience": 2}, [5, 4, 3, 2, 1], [1, 1, 1, 1, 1]),
    ({"patience": 2}, [5, 5, 5, 5, 5, 5], [1, 1, 0.5, 0.5, 0.25, 0.25]),
    ({"patience": 2}, [5, 6, 4, 6, 3, 6], [1, 1, 1, 1, 1, 1]),
    ({"patience": 1, "factor": 0.1}, [5, 5, 4], [1, 0.1, 0.1]),
    ({"patience": 1, "cooldown": 2}, [5, 5, 5, 5, 5, 5, 5], [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]),
    ({"patience": 2, "cooldown": 1}, [5, 5, 5, 4, 5, 5], [1, 1, 0.5, 0.5, 0.5, 0.25]),
    ({"patience": 1, "minimum": 0.6, "initial": 2.0}, [5, 5, 5, 5], [1, 0.5, 0.3, 0.3]),
    ({"patience": 1, "min_delta": 0.5}, [5, 4.5, 4.4], [1, 0.5, 0.5]),
    ({"patience": 1, "min_delta": 0.0}, [5, 5, 4.99999], [1, 0.5, 0.5]),
    ({"patience": 2}, [NAN, NAN, NAN], [1, 0.5, 0.5]),
    ({"patience": 2}, [3, NAN, 2, NAN, NAN, -INF], [1, 1, 1, 1, 0.5, 0.5]),
    ({"patience": 2}, [INF, 3, 2], [1, 1, 1]),
    ({"patience": 3}, [-1.0, -2.0, -2.0, -2.0, -2.0], [1, 1, 1, 1, 0.5]),
]


@pytest.mark.parametrize(("options", "metrics", "scales"), PLATEAUS, ids=str)
@pytest.mark.parametrize("warm", [False, True])
def test_plateau(options, metrics, scales, warm):
    spec = {"type": "plateau", "initial": 0.1} | options
    schedule = Schedule.parse({"type": "warm_up", "over": {"steps": 3}, "then": spec} if warm else spec)
    states = run(schedule, metrics)
    np.testing.assert_allclose([state.scale for state in states], scales, rtol=1e-12)
    finite = [metric for metric in metrics if math.isfinite(metric)]
    assert states[-1].best is None or states[-1].best in finite


def test_plateau_keeps_the_best_and_leaves_its_argument_alone():
    schedule = Schedule.parse({"type": "plateau", "initial": 1, "patience": 2, "cooldown": 3})
    state = PlateauState(best=1.0, stale=1)
    assert schedule.adapt(state, 2.0) == PlateauState(best=1.0, stale=0, cooling=3, scale=0.5)
    assert state == PlateauState(1.0, 1, 0, 1.0)
    assert schedule.adapt(PlateauState(1.0, 0, 3, 0.5), 0.5) == PlateauState(0.5, 0, 2, 0.5)
    first = schedule.adapt(None, float(np.float32(2.0)))
    assert first == PlateauState(2.0)


@pytest.mark.parametrize("spec", [0.1, {"type": "cosine", "initial": 1.0}, {"type": "one_cycle", "peak": 1.0}], ids=str)
def test_other_schedules_watch_nothing(spec):
    assert Schedule.parse(spec).adapt(None, 1.0) is None


DURATIONS = [({"steps": 7}, 7), ({"epochs": 2}, 20), ({"epochs": 0.5}, 5), ({"epochs": 0.001}, 1)]


@pytest.mark.parametrize(("spec", "want"), DURATIONS, ids=str)
def test_durations(spec, want):
    assert Duration.model_validate(spec).in_steps(HORIZON) == want


BAD_DURATIONS = [{}, {"steps": 1, "epochs": 1}, {"steps": 0}, {"epochs": 0}, {"steps": 1.0}, {"steps": True}, 5, "5"]


@pytest.mark.parametrize("spec", BAD_DURATIONS, ids=str)
def test_a_duration_is_exactly_one(spec):
    with pytest.raises(pydantic.ValidationError):
        Duration.model_validate(spec)
    with pytest.raises(pydantic.ValidationError):
        Schedule.parse({"type": "exponential", "initial": 1.0, "every": spec})


def test_horizon():
    assert Horizon(10, 20) == Horizon(steps_per_epoch=10, epochs=20, started=0)
    assert Horizon(10, 20).steps_left() == 200
    assert Horizon(10, 20, 150).steps_left() == 50
    assert Horizon(10, 20, 500).steps_left() == 1


MIXED = [[{"steps": 30}, {"epochs": 3}], [{"epochs": 4}, {"steps": 30}], [{"epochs": 0.01}, {"epochs": 0.02}]]


@pytest.mark.parametrize("boundaries", MIXED, ids=str)
def test_boundaries_that_meet_at_this_length_of_an_epoch(boundaries):
    schedule = Schedule.parse({"type": "piecewise", "values": [1, 2, 3], "boundaries": boundaries})
    with pytest.raises(SpecError, match="at 10 steps an epoch; wanted each later than the one before"):
        schedule.build(HORIZON)


LONG = [
    ({"type": "cosine", "initial": 1.0, "over": {"steps": 2**31}}, "steps: 2147483648"),
    ({"type": "exponential", "initial": 1.0, "every": {"steps": 10**15}}, "steps: 1000000000000000"),
    ({"type": "power", "initial": 1.0, "every": {"epochs": 1e300}}, r"epochs: 1e\+300"),
    ({"type": "one_cycle", "peak": 1.0, "over": {"epochs": 3e8}}, r"epochs: 3e\+08"),
    ({"type": "warm_up", "over": {"steps": 2**40}, "then": 0.1}, "steps: 1099511627776"),
    ({"type": "piecewise", "values": [1, 2], "boundaries": [{"steps": 2**31}]}, "steps: 2147483648"),
]


@pytest.mark.parametrize(("spec", "found"), LONG, ids=str)
def test_a_duration_beyond_what_a_run_can_count(spec, found):
    with pytest.raises(SpecError, match=f"found {{{found}}}, wanted a duration of at most 2,147,483,647 steps"):
        Schedule.parse(spec).build(HORIZON)


def test_the_longest_duration():
    rate = Schedule.parse({"type": "cosine", "initial": 1.0, "over": {"steps": 2**31 - 1}}).build(HORIZON)
    assert [float(rate(jnp.int32(step))) for step in (0, 1, 2**31 - 1)] == [1.0, 1.0, 0.0]


def test_members():
    assert list(members(Schedule)) == NAMES
    for member in members(Schedule).values():
        assert 10 < len(member.summary()) < 80
        assert member.summary().endswith(".")


@pytest.mark.parametrize("spec", [spec for spec, _ in VALUES], ids=str)
def test_round_trip(spec):
    schedule = Schedule.parse(spec)
    assert Schedule.parse(schedule.model_dump()) == schedule
    assert Schedule.parse(json.loads(schedule.model_dump_json())) == schedule
    assert pydantic.TypeAdapter(Schedule).json_schema()
    assert Schedule.parse(0.1) == Constant(value=0.1)


EVERY = {"steps": 5}
ONE = {"steps": 1}
BAD = [
    *(0, -0.1, True, "0.1", "cosine", "exponential", None, {"type": "constant"}, {"value": 1}, NAN, INF),
    *({"type": "exponential", "every": EVERY, "initial": 1.0, **bad} for bad in ({"initial": 0}, {"factor": 0})),
    *({"type": "exponential", "every": EVERY, "initial": 1.0, **bad} for bad in ({"staircase": 1}, {"every": 5})),
    {"type": "exponential", "initial": 1.0},
    *({"type": "power", "every": EVERY, "initial": 1.0, **bad} for bad in ({"initial": -1.0}, {"exponent": 0})),
    *({"type": "piecewise", "values": v, "boundaries": [ONE]} for v in ([], [1], [1, 2, 3], [1, 0], [1, -1])),
    *({"type": "piecewise", "values": v, "boundaries": [ONE]} for v in ([1, True], [1, "2"], [1, NAN], "12", 1, None)),
    *({"type": "piecewise", "values": [1, 2], "boundaries": b} for b in ([], [1], ONE, [{}], [ONE, ONE], None)),
    *({"type": "piecewise", "values": [1, 2, 3], "boundaries": b} for b in ([ONE, ONE], [EVERY, ONE])),
    {"type": "piecewise", "values": [1, 2, 3], "boundaries": [{"epochs": 2}, {"epochs": 1.5}]},
    *({"type": "cosine", "initial": 1.0, **bad} for bad in ({"initial": 0}, {"final": -1}, {"over": 5})),
    *({"type": "warm_up", "over": EVERY, "then": 0.1, **bad} for bad in ({"over": 1}, {"start": -1}, {"then": 0})),
    {"type": "warm_up", "over": EVERY},
    {"type": "warm_up", "then": 0.1},
    *({"type": "one_cycle", "peak": 1.0, **bad} for bad in ({"peak": 0}, {"start_divisor": 0.5}, {"anneal": "step"})),
    *({"type": "one_cycle", "peak": 1.0, **bad} for bad in ({"final_divisor": 0}, {"warm_fraction": 1})),
    {"type": "one_cycle", "peak": 1.0, "warm_fraction": 0},
    *({"type": "plateau", "initial": 1.0, **bad} for bad in ({"initial": 0}, {"factor": 1}, {"factor": 0})),
    *({"type": "plateau", "initial": 1.0, **bad} for bad in ({"patience": 0}, {"patience": 1.5}, {"cooldown": -1})),
    *({"type": "plateau", "initial": 1.0, **bad} for bad in ({"min_delta": -1}, {"minimum": -1}, {"minimum": 1.5})),
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_options_are_refused(bad):
    with pytest.raises(pydantic.ValidationError):
        Schedule.parse(bad)
