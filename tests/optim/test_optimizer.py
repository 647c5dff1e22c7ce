"""Each optimizer against the update rule of its paper in float64, on problems it must solve, and on bad options."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pydantic
import pytest

from dnnrun.component import members
from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.schedule import Constant, Horizon

NAMES = ["adagrad", "adam", "adamax", "adamw", "lion", "momentum", "nadam", "nesterov", "rmsprop", "sgd"]
RATES = dict.fromkeys(NAMES, 0.001) | dict.fromkeys(["sgd", "momentum", "nesterov", "adagrad"], 0.01) | {"lion": 1e-4}


def direction_of(spec, decays) -> Any:
    return Optimizer.parse(spec).build(decays)


def decays(name):
    return name.endswith("kernel")


def never(name):
    return False


# The rules, one tensor, float64: a generator that is sent gradients and yields directions.


def sgd():
    g = yield
    while True:
        g = yield g


def momentum(momentum=0.9):
    v, g = 0, (yield)
    while True:
        v = momentum * v + g
        g = yield v


def nesterov(momentum=0.9):
    v, g = 0, (yield)
    while True:
        v = momentum * v + g
        g = yield g + momentum * v


def adagrad(initial_accumulator=0.1, epsilon=1e-7):
    s, g = initial_accumulator, (yield)
    while True:
        s = s + g**2
        g = yield g / np.sqrt(s + epsilon)


def rmsprop(decay=0.9, epsilon=1e-7, momentum=0.0, centered=False, initial_accumulator=0.0):
    s, m, v, g = initial_accumulator, 0, 0, (yield)
    while True:
        s = decay * s + (1 - decay) * g**2
        m = decay * m + (1 - decay) * g
        v = momentum * v + g / np.sqrt(s - m**2 * centered + epsilon)
        g = yield v


def adam(beta1=0.9, beta2=0.999, epsilon=1e-8, amsgrad=False, ahead=False):
    m, s, top, t, g = 0, 0, 0, 0, (yield)
    while True:
        t += 1
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        size = s / (1 - beta2**t)
        top = np.maximum(top, size)
        mean = m / (1 - beta1**t)
        if ahead:
            mean = beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)
        g = yield mean / (np.sqrt(top if amsgrad else size) + epsilon)


def nadam(**options):
    return adam(ahead=True, **options)


def adamax(beta1=0.9, beta2=0.999, epsilon=1e-8):
    m, u, t, g = 0, 0, 0, (yield)
    while True:
        t += 1
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + epsilon)
        g = yield m / (1 - beta1**t) / u


def lion(beta1=0.9, beta2=0.99):
    m, g = 0, (yield)
    while True:
        direction = np.sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * g
        g = yield direction


RULES = [
    (sgd, {}),
    (momentum, {}),
    (momentum, {"momentum": 0.5}),
    (nesterov, {}),
    (nesterov, {"momentum": 0.99}),
    (adagrad, {}),
    (adagrad, {"initial_accumulator": 0.0, "epsilon": 1e-3}),
    (rmsprop, {}),
    (rmsprop, {"decay": 0.99, "epsilon": 1e-4, "momentum": 0.8}),
    (rmsprop, {"centered": True}),
    (rmsprop, {"centered": True, "momentum": 0.9, "initial_accumulator": 1.0, "epsilon": 1e-10}),
    (adam, {}),
    (adam, {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-2}),
    (adam, {"amsgrad": True}),
    (adam, {"amsgrad": True, "beta2": 0.5}),
    (adamax, {}),
    (adamax, {"beta1": 0.0, "beta2": 0.5, "epsilon": 0.1}),
    (nadam, {}),
    (nadam, {"beta1": 0.5, "beta2": 0.99, "epsilon": 1e-3}),
    (lion, {}),
    (lion, {"beta1": 0.5, "beta2": 0.6}),
]


@pytest.mark.parametrize(("rule", "options"), RULES, ids=lambda x: getattr(x, "__name__", None) or str(x))
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_twelve_steps_follow_the_rule(rule, options, weight_decay):
    rng = np.random.default_rng(0)
    params = {"hidden1/kernel": rng.normal(size=(3, 2)), "hidden1/bias": rng.normal(size=2)}
    mine = {name: jnp.float32(value) for name, value in params.items()}
    rules = {name: rule(**options) for name in params}
    for generator in rules.values():
        next(generator)
    transform = direction_of({"type": rule.__name__, "weight_decay": weight_decay, **options}, decays)
    state = transform.init(mine)
    for _ in range(12):
        gradients = {name: rng.normal(size=value.shape) for name, value in params.items()}
        direction, state = transform.update({n: jnp.float32(g) for n, g in gradients.items()}, state, mine)
        for name, generator in rules.items():
            want = generator.send(gradients[name]) + weight_decay * params[name] * decays(name)
            np.testing.assert_allclose(direction[name], want, rtol=2e-4, atol=2e-6, err_msg=name)
            assert direction[name].dtype == jnp.float32
            params[name] = params[name] - 0.1 * want
            mine[name] = mine[name] - 0.1 * direction[name]


def test_adamw_is_adam_with_a_decay():
    kernel = {"hidden1/kernel": jnp.array([[1.0, -2.0]])}
    gradient = {"hidden1/kernel": jnp.array([[0.5, 0.1]])}
    directions = []
    for spec in ("adamw", {"type": "adam", "weight_decay": 0.01}):
        transform = direction_of(spec, decays)
        directions.append(transform.update(gradient, transform.init(kernel), kernel)[0]["hidden1/kernel"])
    np.testing.assert_array_equal(*directions)
    # The first direction of adam is the sign of the gradient.
    np.testing.assert_allclose(directions[0], [[1 + 0.01, 1 - 0.02]], rtol=1e-5)


def parabola(params):
    return sum(jnp.sum((x - 1) ** 2) for x in params.values())


def valley(params):
    x = params["hidden1/kernel"]
    return jnp.sum(jnp.array([[1.0], [30.0]]) * x**2) / 2


def rosenbrock(params):
    x, y = params["hidden1/kernel"][0, 0], params["hidden1/kernel"][1, 0]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


# Name, rate, decades of the loss to lose on (parabola, valley, rosenbrock) in 3000 steps.
SOLVES = [
    ("sgd", 1e-3, (4, 2, 1)),
    ("momentum", 1e-3, (10, 10, 1)),
    ("nesterov", 1e-3, (10, 10, 1)),
    ("adagrad", 1.0, (10, 10, 1)),
    ({"type": "rmsprop", "momentum": 0.9}, 1e-3, (4, 3, 3)),
    ({"type": "rmsprop", "centered": True}, 1e-3, (3, 3, 1)),
    ("rmsprop", 1e-2, (3, 3, 1)),
    ("adam", 1e-2, (10, 10, 3)),
    ({"type": "adam", "amsgrad": True}, 1e-1, (10, 10, 2)),
    ("adamax", 2e-2, (10, 10, 2)),
    ("nadam", 1e-2, (10, 10, 3)),
    ({"type": "adamw", "weight_decay": 0.0}, 1e-2, (10, 10, 3)),
    ("lion", 1e-3, (4, 3, 1)),
]


@pytest.mark.parametrize(("spec", "rate", "decades"), SOLVES, ids=str)
@pytest.mark.parametrize(("index", "problem"), list(enumerate([parabola, valley, rosenbrock])))
def test_it_converges(spec, rate, decades, index, problem):
    transform = direction_of(spec, never)
    params = {"hidden1/kernel": jnp.array([[-1.0], [1.5]])}

    @jax.jit
    def solve(params):
        def step(_, carry):
            params, state = carry
            direction, state = transform.update(jax.grad(problem)(params), state, params)
            return optax.apply_updates(params, {n: -rate * d for n, d in direction.items()}), state

        return jax.lax.fori_loop(0, 3000, step, (params, transform.init(params)))[0]

    start, end = problem(params), problem(solve(params))
    assert end <= start * 10.0 ** -decades[index], (start, end)


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_touches_only_what_decays(name):
    shapes = {"hidden1/kernel": (3, 2), "hidden1/bias": (2,), "hidden1/batch_norm/scale": (2,)}
    shapes["hidden1/activation/slope"] = (1,)
    params = {n: jnp.full(shape, 2.0) for n, shape in shapes.items()}
    gradients = {n: jnp.full(shape, 0.5) for n, shape in shapes.items()}
    directions = []
    for weight_decay in (0.0, 0.25):
        transform = direction_of({"type": name, "weight_decay": weight_decay}, decays)
        directions.append(transform.update(gradients, transform.init(params), params)[0])
    for tensor in shapes:
        np.testing.assert_allclose(directions[1][tensor] - directions[0][tensor], 0.5 * decays(tensor), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_no_weight_decay_keeps_no_state_and_needs_no_params(name):
    params = {"outputs/kernel": jnp.ones((2, 2))}
    plain = direction_of({"type": name, "weight_decay": 0}, decays)
    state = plain.init(params)
    plain.update(params, state)
    decayed = direction_of({"type": name, "weight_decay": 0.1}, decays)
    assert isinstance(decayed.init(params), tuple)
    assert jax.tree.structure(decayed.init(params)) != jax.tree.structure(state)
    assert len(jax.tree.leaves(decayed.init(params))) == len(jax.tree.leaves(state))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("freeze", [dict, pytest.param("flax", id="frozen_dict")])
def test_jitted_equals_eager_and_zero_gradients_stay_finite(name, freeze):
    if freeze == "flax":
        freeze = pytest.importorskip("flax.core").freeze
    transform = direction_of({"type": name, "weight_decay": 0.1}, decays)
    params = freeze({"hidden1/kernel": jnp.ones((2, 2)), "hidden1/bias": jnp.zeros(2)})
    gradients = freeze({"hidden1/kernel": jnp.array([[0.0, 1.0], [-2.0, 1e-6]]), "hidden1/bias": jnp.zeros(2)})
    state = transform.init(params)
    eager, _ = transform.update(gradients, state, params)
    jitted, _ = jax.jit(transform.update)(gradients, state, params)
    assert jax.tree.structure(jitted) == jax.tree.structure(params)
    for tensor in params:
        np.testing.assert_allclose(jitted[tensor], eager[tensor], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(jitted["hidden1/bias"], 0)


def test_centred_rmsprop_survives_a_large_and_steady_gradient():
    transform = direction_of({"type": "rmsprop", "centered": True}, never)
    params = {"hidden1/kernel": jnp.ones((4, 4))}
    state = transform.init(params)
    update = jax.jit(transform.update)
    for step in range(500):
        gradient = {"hidden1/kernel": jnp.full((4, 4), 1234.567) * (1 + 1e-6 * step)}
        direction, state = update(gradient, state)
        assert jnp.isfinite(direction["hidden1/kernel"]).all(), step


def test_members():
    assert list(members(Optimizer)) == NAMES
    for member in members(Optimizer).values():
        assert 10 < len(member.summary()) < 80
        assert member.summary().endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_round_trip(name):
    optimizer = Optimizer.parse(name)
    assert optimizer.learning_rate == Constant(value=RATES[name])
    assert optimizer.weight_decay == (0.01 if name == "adamw" else 0.0)
    assert Optimizer.parse(optimizer.model_dump()) == optimizer
    assert Optimizer.parse({"type": name, "learning_rate": 0.5}).learning_rate.build(Horizon(1, 1))(jnp.int32(0)) == 0.5


BAD = [
    *({"type": name, **bad} for name in NAMES for bad in ({"weight_decay": -1.0}, {"learning_rate": 0}, {"nope": 1})),
    *({"type": name, "momentum": value} for name in ("momentum", "nesterov", "rmsprop") for value in (-0.1, 1.0, True)),
    *(
        {"type": name, key: value}
        for name in ("adam", "adamw", "adamax", "nadam", "lion")
        for key in ("beta1", "beta2")
        for value in (-0.1, 1.0, "0.9", float("nan"))
    ),
    *(
        {"type": name, "epsilon": value}
        for name in ("adagrad", "rmsprop", "adam", "adamw", "adamax", "nadam")
        for value in (0.0, -1e-8, float("inf"))
    ),
    {"type": "adagrad", "initial_accumulator": -0.1},
    {"type": "rmsprop", "initial_accumulator": -0.1},
    {"type": "rmsprop", "decay": 1},
    {"type": "rmsprop", "centered": 1},
    {"type": "adam", "amsgrad": "yes"},
    {"type": "lion", "epsilon": 1e-8},
    {"type": "sgd", "momentum": 0.9},
    {"type": "nothing"},
    "SGD",
    None,
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_options_are_refused(bad):
    with pytest.raises(pydantic.ValidationError):
        Optimizer.parse(bad)
