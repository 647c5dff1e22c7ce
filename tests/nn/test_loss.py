"""Cross-entropy against its formula in float64, and against optax and scikit-learn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import ValidationError
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from dnnrun.component import members
from dnnrun.nn.loss import Loss

SMOOTHINGS = [0.0, 0.1, 0.5, 0.99]
SHAPES = [(1, 2), (7, 10), (64, 1000), (5, 1)]


def spec(smoothing):
    return {"type": "cross_entropy", "label_smoothing": smoothing}


def example(shape, scale=3.0):
    rng = np.random.default_rng(0)
    logits = (scale * rng.normal(size=shape)).astype(np.float32)
    return logits, rng.integers(shape[1], size=shape[0]).astype(np.int32)


def targets(labels, classes, smoothing):
    return (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes


def expected(logits, labels, smoothing):
    q = targets(labels, logits.shape[1], smoothing)
    return -(q * log_softmax(logits.astype(np.float64), axis=1)).sum(axis=1)


def test_members_are_the_documented_ones():
    ours = [name for name, kind in members(Loss).items() if kind.__module__.startswith("dnnrun.")]
    assert ours == ["binary_cross_entropy", "cross_entropy", "huber", "mae", "mse"]
    assert Loss.parse("cross_entropy") == Loss.parse(spec(0.0))
    assert 10 < len(Loss.parse("cross_entropy").summary()) < 110


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value(shape, smoothing):
    logits, labels = example(shape)
    found = jax.jit(Loss.parse(spec(smoothing)).build())(logits, labels)
    assert found.shape == shape[:1]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected(logits, labels, smoothing), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient_is_softmax_minus_target(shape, smoothing):
    logits, labels = example(shape)
    loss = Loss.parse(spec(smoothing)).build()
    found = jax.grad(lambda logits: loss(logits, labels).sum())(jnp.asarray(logits))
    softmax = np.exp(log_softmax(logits.astype(np.float64), axis=1))
    np.testing.assert_allclose(found, softmax - targets(labels, shape[1], smoothing), atol=2e-6)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_gradient_by_finite_differences(smoothing):
    logits, labels = example((6, 5))
    loss = Loss.parse(spec(smoothing)).build()
    found = jax.grad(lambda logits: loss(logits, labels).sum())(jnp.asarray(logits))
    h, wide = 1e-6, logits.astype(np.float64)
    for row, column in np.ndindex(6, 5):
        step = np.zeros_like(wide)
        step[row, column] = h
        up, down = (float(expected(wide + side * step, labels, smoothing).sum()) for side in (1, -1))
        assert float(found[row, column]) == pytest.approx((up - down) / (2 * h), abs=2e-6)


def test_against_other_libraries():
    logits, labels = example((200, 10))
    found = Loss.parse("cross_entropy").build()(logits, labels)
    np.testing.assert_allclose(found, optax.softmax_cross_entropy_with_integer_labels(logits, labels), rtol=1e-5)
    probabilities = np.exp(log_softmax(logits.astype(np.float64), axis=1))
    assert float(found.mean()) == pytest.approx(log_loss(labels, probabilities, labels=range(10)), rel=1e-6)
    smooth = Loss.parse(spec(0.2)).build()(logits, labels)
    reference = optax.softmax_cross_entropy(logits, optax.smooth_labels(jax.nn.one_hot(labels, 10), 0.2))
    np.testing.assert_allclose(smooth, reference, rtol=1e-5)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("classes", [2, 10])
def test_equal_logits_give_the_log_of_the_classes(classes, smoothing):
    found = Loss.parse(spec(smoothing)).build()(jnp.zeros((1, classes)), jnp.zeros(1, jnp.int32))
    assert float(found[0]) == pytest.approx(np.log(classes), rel=1e-6)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_large_logits(smoothing, scale):
    logits = jnp.array([[scale, -scale, 0.0], [scale, -scale, 0.0]])
    labels = jnp.array([0, 1], jnp.int32)
    loss = Loss.parse(spec(smoothing)).build()
    np.testing.assert_allclose(loss(logits, labels), expected(np.asarray(logits), labels, smoothing), rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda logits: loss(logits, labels).sum())(logits)).all()


def test_a_common_offset_changes_nothing():
    logits, labels = example((7, 10))
    logits = np.round(logits * 64) / 64  # so that adding the offset is exact
    loss = Loss.parse("cross_entropy").build()
    np.testing.assert_array_equal(loss(logits, labels), loss(logits + np.float32(4096), labels))


def test_confident_and_right_is_small_but_not_rounded_to_zero():
    found = Loss.parse("cross_entropy").build()(jnp.array([[10.0, 0.0]]), jnp.array([0], jnp.int32))
    assert float(found[0]) == pytest.approx(np.log1p(np.exp(-10)), rel=2e-2)


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_a_label_outside_the_classes_gives_nan(label, smoothing):
    found = Loss.parse(spec(smoothing)).build()(jnp.zeros((2, 3)), jnp.array([label, 0], jnp.int32))
    assert np.isnan(found).tolist() == [True, False]


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_evaluation_does_not_smooth(smoothing):
    loss = Loss.parse(spec(smoothing))
    assert loss.evaluation() == Loss.parse("cross_entropy")
    assert loss == Loss.parse(spec(smoothing))
    logits, labels = example((7, 10))
    np.testing.assert_allclose(loss.evaluation().build()(logits, labels), expected(logits, labels, 0), rtol=2e-6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("crossentropy", "does not match any of the expected tags"),
        (spec(1.0), "less than 1"),
        (spec(-0.1), "greater than or equal to 0"),
        (spec(float("nan")), "finite number"),
        (spec(False), "valid number"),
        ({"type": "cross_entropy", "smoothing": 0.1}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_bad_options_are_refused(value, message):
    with pytest.raises(ValidationError, match=message):
        Loss.parse(value)


OUTPUTS = np.array([[0.5, -2.0], [3.0, 0.25], [-1.5, 0.0]], np.float32)
TARGETS = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], np.float32)
AWAY = np.abs(OUTPUTS - TARGETS).astype(np.float64)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("mse", (AWAY**2).mean(1)),
        ("mae", AWAY.mean(1)),
        ({"type": "huber", "delta": 0.6}, np.where(AWAY <= 0.6, AWAY**2 / 2, 0.6 * (AWAY - 0.3)).mean(1)),
        ("binary_cross_entropy", (np.log1p(np.exp(OUTPUTS)) - TARGETS * OUTPUTS).mean(1)),
        (
            {"type": "binary_cross_entropy", "label_smoothing": 0.2},
            (np.log1p(np.exp(OUTPUTS)) - (0.8 * TARGETS + 0.1) * OUTPUTS).mean(1),
        ),
    ],
)
def test_losses_of_targets(loss, wanted):
    built = Loss.parse(loss).build()
    np.testing.assert_allclose(np.asarray(built(jnp.asarray(OUTPUTS), jnp.asarray(TARGETS))), wanted, rtol=1e-6)


def test_one_logit_tells_two_classes_apart_as_two_do():
    logit, labels = jnp.asarray(OUTPUTS[:, :1]), jnp.array([1, 0, 1], jnp.int32)
    two = jnp.concatenate([jnp.zeros_like(logit), logit], axis=1)
    one = Loss.parse("binary_cross_entropy").build()(logit, labels)
    np.testing.assert_allclose(np.asarray(one), np.asarray(Loss.parse("cross_entropy").build()(two, labels)), rtol=1e-6)


def test_smoothing_of_yes_and_no_is_left_out_in_evaluation():
    smooth = Loss.parse({"type": "binary_cross_entropy", "label_smoothing": 0.2})
    assert smooth.evaluation() == Loss.parse("binary_cross_entropy")
