"""Distribution, spread and bounds of every initializer against its formula, on tall and wide kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from dnnrun.component import members
from dnnrun.nn.activation import Activation
from dnnrun.nn.initializer import Initializer

SHAPES = [(200, 1800), (1800, 200), (600, 600)]
CUT = 0.87962566103423978  # std of the standard normal given |x| <= 2


def scaling(**options):
    return {"type": "variance_scaling", **options}


def xavier(**options):
    return {"type": "xavier", **options}


# (spec, distribution, std as a function of fan_in n and fan_out m)
SPREAD = [
    ("glorot_uniform", "uniform", lambda n, m: math.sqrt(2 / (n + m))),
    ("glorot_normal", "truncated", lambda n, m: math.sqrt(2 / (n + m))),
    ("he_uniform", "uniform", lambda n, m: math.sqrt(2 / n)),
    ("he_normal", "truncated", lambda n, m: math.sqrt(2 / n)),
    ("lecun_uniform", "uniform", lambda n, m: math.sqrt(1 / n)),
    ("lecun_normal", "truncated", lambda n, m: math.sqrt(1 / n)),
    ("variance_scaling", "truncated", lambda n, m: math.sqrt(1 / n)),
    (scaling(scale=3.0, mode="fan_out"), "truncated", lambda n, m: math.sqrt(3 / m)),
    (scaling(mode="fan_avg", distribution="uniform"), "uniform", lambda n, m: math.sqrt(2 / (n + m))),
    (scaling(scale=2, distribution="untruncated_normal"), "normal", lambda n, m: math.sqrt(2 / n)),
    ("xavier", "uniform", lambda n, m: math.sqrt(2 / (n + m))),
    (xavier(distribution="normal"), "normal", lambda n, m: math.sqrt(2 / (n + m))),
    (xavier(activation="tanh"), "uniform", lambda n, m: 4 * math.sqrt(2 / (n + m))),
    (xavier(activation="tanh", distribution="normal"), "normal", lambda n, m: 4 * math.sqrt(2 / (n + m))),
    (xavier(activation="relu"), "uniform", lambda n, m: math.sqrt(2) * math.sqrt(2 / (n + m))),
    (xavier(activation="relu", distribution="normal"), "normal", lambda n, m: 2 / math.sqrt(n + m)),
    ({"type": "normal", "std": 0.05}, "normal", lambda n, m: 0.05),
    ({"type": "truncated_normal", "std": 0.05}, "truncated", lambda n, m: 0.05 * CUT),
    ({"type": "uniform", "limit": 0.3}, "uniform", lambda n, m: 0.3 / math.sqrt(3)),
]

# (spec, uniform limit as a function of fan_in n and fan_out m): the published forms, not by way of the std
LIMITS = [
    ("glorot_uniform", lambda n, m: math.sqrt(6 / (n + m))),
    ("he_uniform", lambda n, m: math.sqrt(6 / n)),
    ("lecun_uniform", lambda n, m: math.sqrt(3 / n)),
    ("xavier", lambda n, m: math.sqrt(6 / (n + m))),
    (xavier(activation="tanh"), lambda n, m: 4 * math.sqrt(6 / (n + m))),
    (xavier(activation="relu"), lambda n, m: math.sqrt(2) * math.sqrt(6 / (n + m))),
    ({"type": "uniform", "limit": 0.3}, lambda n, m: 0.3),
]

NAMES = {
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier",
    "zeros",
}

EVERY = [spec for spec, _, _ in SPREAD] + ["orthogonal", "zeros", {"type": "constant", "value": 0.1}]

DISTRIBUTIONS = {
    "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
    "normal": stats.norm(),
    "truncated": stats.truncnorm(-2, 2, scale=1 / CUT),
}


def draw(spec, shape, seed=0):
    return Initializer.parse(spec).build()(np.random.default_rng(seed), shape)


def test_members_are_the_documented_ones():
    ours = {name: kind for name, kind in members(Initializer).items() if kind.__module__.startswith("dnnrun.")}
    assert set(ours) == NAMES
    assert {spec if isinstance(spec, str) else spec["type"] for spec in EVERY} == NAMES
    assert all(10 < len(kind.summary()) < 110 for kind in ours.values())


def test_every_activation_names_an_initializer_that_needs_no_options():
    for name in members(Activation):
        Initializer.parse(Activation.parse(name).default_initializer)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda x: getattr(x, "__name__", None) or str(x))
@pytest.mark.parametrize(("spec", "distribution", "std"), SPREAD, ids=lambda x: getattr(x, "__name__", None) or str(x))
def test_distribution(spec, distribution, std, shape):
    weights = draw(spec, shape).astype(np.float64).ravel()
    std, n = std(*shape), weights.size
    shape_of = DISTRIBUTIONS[distribution]
    kurtosis = float(shape_of.stats(moments="k")) + 3
    assert weights.mean() == pytest.approx(0, abs=4 * std / math.sqrt(n))
    assert weights.std() == pytest.approx(std, rel=4 * math.sqrt((kurtosis - 1) / (4 * n)))
    # 1.95 / sqrt(n) is passed by one sample in a thousand; the seed is fixed
    assert stats.kstest(weights / std, shape_of.cdf).statistic < 1.95 / math.sqrt(n)
    if distribution == "truncated":
        assert 1.99 < np.abs(weights).max() / (std / CUT) < 2 + 1e-6
    if distribution == "normal":
        assert np.abs(weights).max() > 4 * std


@pytest.mark.parametrize("shape", SHAPES, ids=lambda x: getattr(x, "__name__", None) or str(x))
@pytest.mark.parametrize(("spec", "limit"), LIMITS, ids=lambda x: getattr(x, "__name__", None) or str(x))
def test_uniform_limit(spec, limit, shape):
    largest = np.abs(draw(spec, shape)).max()
    assert 0.9999 < largest / limit(*shape) < 1 + 1e-6


@pytest.mark.parametrize("spec", EVERY, ids=lambda x: getattr(x, "__name__", None) or str(x))
@pytest.mark.parametrize(
    "shape", [(784, 300), (3, 5), (5, 1), (1, 5), (1, 1)], ids=lambda x: getattr(x, "__name__", None) or str(x)
)
def test_shape_type_and_determinism(spec, shape):
    weights = draw(spec, shape)
    assert isinstance(weights, np.ndarray)
    assert weights.shape == shape
    assert weights.dtype == np.float32
    assert weights.flags.c_contiguous
    assert weights.flags.writeable
    assert np.isfinite(weights).all()
    np.testing.assert_array_equal(weights, draw(spec, shape))
    if spec not in ("zeros", EVERY[-1]) and shape == (784, 300):
        assert (weights != draw(spec, shape, seed=1)).mean() > 0.99


def test_a_generator_goes_on():
    rng = np.random.default_rng(0)
    initialize = Initializer.parse("he_normal").build()
    assert not np.array_equal(initialize(rng, (20, 30)), initialize(rng, (20, 30)))


@pytest.mark.parametrize(
    "spec",
    ["he_normal", "glorot_uniform", {"type": "normal", "std": 1.0}],
    ids=lambda x: getattr(x, "__name__", None) or str(x),
)
def test_weights_are_uncorrelated(spec):
    weights = draw(spec, (4000, 40))
    correlation = np.corrcoef(weights, rowvar=False) - np.eye(40)
    assert np.abs(correlation).max() < 5 / math.sqrt(4000)


@pytest.mark.parametrize("gain", [1.0, 1.5])
@pytest.mark.parametrize(
    "shape", [(300, 100), (100, 300), (64, 64), (7, 1), (1, 7)], ids=lambda x: getattr(x, "__name__", None) or str(x)
)
def test_orthogonal(shape, gain):
    q = draw({"type": "orthogonal", "gain": gain}, shape).astype(np.float64)
    gram = q.T @ q if shape[0] >= shape[1] else q @ q.T
    np.testing.assert_allclose(gram, gain**2 * np.eye(min(shape)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.svd(q, compute_uv=False), gain, rtol=1e-6)


def test_orthogonal_prefers_no_sign():
    corners = np.array([draw("orthogonal", (3, 3), seed) for seed in range(500)])
    # a uniform 3 x 3 orthogonal matrix has entries uniform on (-1, 1) and a determinant of mean 0
    for row, column in np.ndindex(3, 3):
        assert stats.kstest(corners[:, row, column], stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert abs(np.linalg.det(corners.astype(np.float64)).mean()) < 4 / math.sqrt(500)


def test_fixed_values():
    np.testing.assert_array_equal(draw("zeros", (3, 4)), np.zeros((3, 4)))
    np.testing.assert_array_equal(draw({"type": "constant", "value": -1}, (3, 4)), -np.ones((3, 4)))


@pytest.mark.parametrize("seed", range(3))
def test_selu_keeps_mean_and_variance(seed):
    units, layers = 400, 50
    rng = np.random.default_rng(seed)
    initialize, selu = Initializer.parse("lecun_normal").build(), Activation.parse("selu").build()
    x = rng.standard_normal((1000, units), dtype=np.float32)
    for _ in range(layers):
        x = np.asarray(selu(x @ initialize(rng, (units, units))))
        assert abs(x.mean()) < 0.12
        assert 0.8 < x.var() < 1.2


def test_he_keeps_the_size_of_relu_layers():
    rng = np.random.default_rng(0)
    initialize, relu = Initializer.parse("he_normal").build(), Activation.parse("relu").build()
    x = rng.standard_normal((500, 500), dtype=np.float32)
    before = np.mean(x**2)
    for _ in range(10):
        x = np.asarray(relu(x)) @ initialize(rng, (500, 500))
    assert 0.5 < np.mean(x**2) / before < 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("he", "does not match any of the expected tags"),
        ("normal", "Field required"),
        ("uniform", "Field required"),
        ("constant", "Field required"),
        ({"type": "normal", "std": 0}, "greater than 0"),
        ({"type": "normal", "std": -1.0}, "greater than 0"),
        ({"type": "normal", "std": 0.1, "mean": 0.0}, "Extra inputs are not permitted"),
        ({"type": "truncated_normal", "std": 0.0}, "greater than 0"),
        ({"type": "uniform", "limit": -0.1}, "greater than 0"),
        ({"type": "uniform", "limit": float("inf")}, "finite number"),
        ({"type": "orthogonal", "gain": 0}, "greater than 0"),
        ({"type": "constant", "value": "1"}, "valid number"),
        ({"type": "he_normal", "scale": 2.0}, "Extra inputs are not permitted"),
        (scaling(scale=0), "greater than 0"),
        (scaling(mode="fan"), "'fan_in', 'fan_out' or 'fan_avg'"),
        (scaling(distribution="normal"), "'truncated_normal', 'untruncated_normal' or 'uniform'"),
        (xavier(activation="elu"), "'logistic', 'tanh' or 'relu'"),
        (xavier(distribution="truncated_normal"), "'uniform' or 'normal'"),
    ],
    ids=str,
)
def test_bad_options_are_refused(spec, message):
    with pytest.raises(ValidationError, match=message):
        Initializer.parse(spec)
