"""Values against float64 formulas, gradients against finite differences of those, and no nan however large x is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import erf, expit

from dnnrun.component import members
from dnnrun.nn.activation import Activation, Learned

SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def leaky(slope):
    return lambda x: np.maximum(slope * x, x)


def exponential(alpha, scale=1.0):
    return lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


# (spec, keywords of the call, the formula in float64)
FORMULAS = [
    ("identity", {}, lambda x: x),
    ("logistic", {}, expit),
    ("tanh", {}, np.tanh),
    ("softsign", {}, lambda x: x / (1 + np.abs(x))),
    ("relu", {}, lambda x: np.maximum(x, 0)),
    ("leaky_relu", {}, leaky(0.01)),
    ({"type": "leaky_relu", "slope": 0.2}, {}, leaky(0.2)),
    ({"type": "leaky_relu", "slope": 0}, {}, leaky(0.0)),
    ("rrelu", {"key": None}, leaky(11 / 48)),
    ({"type": "rrelu", "lower": 0.1, "upper": 0.5}, {"key": None}, leaky(0.3)),
    ("prelu", {"slope": 0.4}, leaky(0.4)),
    ("elu", {}, exponential(1.0)),
    ({"type": "elu", "alpha": 0.5}, {}, exponential(0.5)),
    ("selu", {}, exponential(ALPHA, SCALE)),
    ("gelu", {}, lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2)))),
    (
        {"type": "gelu", "approximate": True},
        {},
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    ("silu", {}, lambda x: x * expit(x)),
    ("mish", {}, lambda x: x * np.tanh(np.logaddexp(x, 0))),
    ("softplus", {}, lambda x: np.logaddexp(x, 0)),
]
IDS = [str(spec) for spec, _, _ in FORMULAS]

DEFAULT_INITIALIZERS = {
    "elu": "he_normal",
    "gelu": "glorot_uniform",
    "identity": "glorot_uniform",
    "leaky_relu": "he_normal",
    "logistic": "glorot_uniform",
    "mish": "glorot_uniform",
    "prelu": "he_normal",
    "relu": "he_normal",
    "rrelu": "he_normal",
    "selu": "lecun_normal",
    "silu": "glorot_uniform",
    "softplus": "glorot_uniform",
    "softsign": "glorot_uniform",
    "tanh": "glorot_uniform",
}

# Values to ten digits that hold whatever our formulas say.
KNOWN = [
    ("logistic", {}, 2.0, 0.8807970780),
    ("tanh", {}, 1.0, 0.7615941560),
    ("relu", {}, -3.0, 0.0),
    ("leaky_relu", {}, -3.0, -0.03),
    ("elu", {}, -1.0, -0.6321205588),
    ("selu", {}, -1.0, -1.1113307378),
    ("selu", {}, 1.0, 1.0507009874),
    ("gelu", {}, 1.0, 0.8413447461),
    ({"type": "gelu", "approximate": True}, {}, 1.0, 0.8411919906),
    ("silu", {}, 1.0, 0.7310585786),
    ("mish", {}, 1.0, 0.8650983883),
    ("softplus", {}, 0.0, 0.6931471806),
    ("softsign", {}, -3.0, -0.75),
]


def function(spec, keywords):
    built = Activation.parse(spec).build()
    return lambda x: built(x, **keywords)


def gradient(f):
    return jax.vmap(jax.grad(f))


def test_members_are_the_documented_ones():
    ours = {name: kind for name, kind in members(Activation).items() if kind.__module__.startswith("dnnrun.")}
    assert {name: Activation.parse(name).default_initializer for name in ours} == DEFAULT_INITIALIZERS
    assert {spec if isinstance(spec, str) else spec["type"] for spec, _, _ in FORMULAS} == set(ours)


@pytest.mark.parametrize("name", DEFAULT_INITIALIZERS)
def test_the_bare_name_and_the_mapping_are_the_same(name):
    assert Activation.parse(name) == Activation.parse({"type": name})
    assert 10 < len(Activation.parse(name).summary()) < 110


@pytest.mark.parametrize(("spec", "keywords", "formula"), FORMULAS, ids=IDS)
def test_value(spec, keywords, formula):
    x = np.concatenate([np.linspace(-30, 30, 2401), [-0.0, 1e-6, -1e-6, 1e-20, -1e-20]]).astype(np.float32)
    found = jax.jit(function(spec, keywords))(x)
    assert found.dtype == jnp.float32
    assert found.shape == x.shape
    np.testing.assert_allclose(found, formula(x.astype(np.float64)), rtol=2e-6, atol=5e-7)


@pytest.mark.parametrize(("spec", "keywords", "x", "value"), KNOWN, ids=str)
def test_known_value(spec, keywords, x, value):
    assert float(function(spec, keywords)(jnp.float32(x))) == pytest.approx(value, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("spec", "keywords", "formula"), FORMULAS, ids=IDS)
def test_gradient(spec, keywords, formula):
    x = np.linspace(-12, 12, 802).astype(np.float32)  # an even number of points: none at the kink
    wide, h = x.astype(np.float64), 1e-5
    expected = (formula(wide + h) - formula(wide - h)) / (2 * h)
    np.testing.assert_allclose(gradient(function(spec, keywords))(x), expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize(("spec", "keywords", "formula"), FORMULAS, ids=IDS)
def test_large_inputs(spec, keywords, formula):
    x = np.array([-1e30, -1e15, -1e4, -200, -100, 0, 100, 200, 1e4, 1e15, 1e30], np.float32)
    f = function(spec, keywords)
    with np.errstate(over="ignore"):
        expected = formula(x.astype(np.float64))
    np.testing.assert_allclose(jax.jit(f)(x), expected, rtol=2e-6, atol=1e-6)
    slopes = jax.jit(gradient(f))(x)
    assert np.isfinite(slopes).all()
    assert (np.abs(slopes) <= 2).all()


@pytest.mark.parametrize("spec", ["relu", "leaky_relu", "prelu", "rrelu"])
def test_gradient_at_the_kink_is_that_of_the_left_side(spec):
    keywords = {"prelu": {"slope": 0.25}, "rrelu": {"key": None}}.get(spec, {})
    left = {"relu": 0.0, "leaky_relu": 0.01, "prelu": 0.25, "rrelu": 11 / 48}[spec]
    assert float(jax.grad(function(spec, keywords))(0.0)) == pytest.approx(left)


@pytest.mark.parametrize(("spec", "keywords", "formula"), FORMULAS, ids=IDS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_precision_is_kept(spec, keywords, formula, dtype):
    x = jnp.linspace(-3, 3, 13, dtype=dtype)
    found = function(spec, keywords)(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(np.asarray(found, np.float64), formula(np.asarray(x, np.float64)), rtol=0.03, atol=0.03)


def test_gelu_approximation_is_close():
    x = jnp.linspace(-8, 8, 3001)
    exact, close = (function({"type": "gelu", "approximate": flag}, {})(x) for flag in (False, True))
    assert 1e-4 < float(jnp.max(jnp.abs(exact - close))) < 5e-4


def test_rrelu_draws_a_slope_an_element():
    activation = Activation.parse("rrelu")
    assert activation.random
    rrelu = jax.jit(activation.build())
    x = jnp.full((500, 400), -1.0)
    slopes = -np.asarray(rrelu(x, key=jax.random.key(1)), np.float64)
    assert slopes.min() >= 1 / 8
    assert slopes.max() <= 1 / 3
    assert len(np.unique(slopes)) > 0.95 * slopes.size
    width, n = 1 / 3 - 1 / 8, slopes.size
    assert slopes.mean() == pytest.approx(11 / 48, abs=5 * width / np.sqrt(12 * n))
    assert slopes.std() == pytest.approx(width / np.sqrt(12), rel=0.01)
    np.testing.assert_array_equal(rrelu(x, key=jax.random.key(1)), rrelu(x, key=jax.random.key(1)))
    assert (rrelu(x, key=jax.random.key(1)) != rrelu(x, key=jax.random.key(2))).mean() > 0.95


def test_rrelu_gradient_is_the_slope_drawn():
    rrelu = Activation.parse("rrelu").build()
    x = jnp.linspace(-4, 4, 64)
    key = jax.random.key(3)
    slopes = jax.grad(lambda x: rrelu(x, key=key).sum())(x)
    np.testing.assert_allclose(slopes * x, rrelu(x, key=key), rtol=1e-6)
    np.testing.assert_array_equal(slopes[32:], 1)


def test_rrelu_of_equal_bounds_is_a_leaky_relu():
    rrelu = Activation.parse({"type": "rrelu", "lower": 0.2, "upper": 0.2}).build()
    x = jnp.linspace(-4, 4, 64)
    np.testing.assert_array_equal(rrelu(x, key=jax.random.key(0)), rrelu(x, key=None))


def test_rrelu_asks_for_its_key():
    with pytest.raises(TypeError, match="key"):
        Activation.parse("rrelu").build()(jnp.ones((1, 1)))


@pytest.mark.parametrize(
    ("spec", "learned"),
    [
        ("prelu", {"slope": Learned((300,), 0.25)}),
        ({"type": "prelu", "shared": True}, {"slope": Learned((1,), 0.25)}),
        ({"type": "prelu", "start": 0.0}, {"slope": Learned((300,), 0.0)}),
        ("relu", {}),
        ("rrelu", {}),
    ],
    ids=str,
)
def test_learned_tensors(spec, learned):
    assert Activation.parse(spec).learned(300) == learned


@pytest.mark.parametrize("shared", [False, True])
def test_prelu_slope_gradient(shared):
    activation = Activation.parse({"type": "prelu", "shared": shared})
    prelu = activation.build()
    x = np.random.default_rng(0).normal(size=(50, 7))
    tensor = activation.learned(7)["slope"]
    slope = jnp.full(tensor.shape, tensor.start)
    np.testing.assert_allclose(prelu(x, slope=slope), np.where(x > 0, x, 0.25 * x), rtol=1e-6)
    expected = np.minimum(x, 0).sum(axis=None if shared else 0)
    found = jax.grad(lambda slope: prelu(x, slope=slope).sum())(slope)
    np.testing.assert_allclose(found, np.broadcast_to(expected, tensor.shape), rtol=1e-5)


def test_prelu_slopes_belong_to_units():
    x = jnp.full((2, 3), -1.0)
    slope = jnp.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(Activation.parse("prelu").build()(x, slope=slope), -np.tile(slope, (2, 1)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("reul", "does not match any of the expected tags"),
        ({"type": "relu", "slope": 0.1}, "Extra inputs are not permitted"),
        ({"type": "leaky_relu", "slope": -0.1}, "greater than or equal to 0"),
        ({"type": "leaky_relu", "slope": 1.1}, "less than or equal to 1"),
        ({"type": "leaky_relu", "slope": "0.1"}, "valid number"),
        ({"type": "leaky_relu", "slope": True}, "valid number"),
        ({"type": "leaky_relu", "slope": float("nan")}, "finite number"),
        ({"type": "rrelu", "lower": 0.5}, r"lower \(0.5\) is above upper \(0.333333\); give lower <= upper"),
        ({"type": "rrelu", "lower": -0.5}, "greater than or equal to 0"),
        ({"type": "rrelu", "upper": 3.0}, "less than or equal to 1"),
        ({"type": "prelu", "shared": 1}, "valid boolean"),
        ({"type": "prelu", "start": -0.25}, "greater than or equal to 0"),
        ({"type": "elu", "alpha": 0}, "greater than 0"),
        ({"type": "elu", "alpha": float("inf")}, "finite number"),
        ({"type": "gelu", "approximate": "tanh"}, "valid boolean"),
    ],
    ids=str,
)
def test_bad_options_are_refused(spec, message):
    with pytest.raises(ValidationError, match=message):
        Activation.parse(spec)
