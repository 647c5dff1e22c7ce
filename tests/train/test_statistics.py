"""Batch-norm statistics, dropout and random activations, in training and in evaluation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dnnrun.nn.network import Split, dropout, initial_tensors
from dnnrun.train.exact import exact_statistics
from tests.smallnets import PER_EPOCH, ROWS, architecture, net
from tests.train.test_step import batch

MOMENTUM = 0.8


@pytest.mark.parametrize("position", ["before", "after"])
def test_moving_statistics_equal_those_of_numpy(position: str) -> None:
    small = net(hidden=[7], activation="tanh", batch_norm={"momentum": MOMENTUM, "position": position})
    mean, var = np.zeros(7), np.ones(7)
    for step in range(6):
        tensors = small.tensors(small.after(step))
        seen = batch(small, step)[0] @ tensors["hidden1/kernel"] + tensors["hidden1/bias"]
        seen = np.tanh(seen) if position == "after" else seen
        mean = MOMENTUM * mean + (1 - MOMENTUM) * seen.mean(0)
        var = MOMENTUM * var + (1 - MOMENTUM) * seen.var(0)  # the biased variance
        found = small.after(step + 1).statistics
        np.testing.assert_allclose(np.asarray(found["hidden1/batch_norm/mean"]), mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.asarray(found["hidden1/batch_norm/var"]), var, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("position", ["before", "after"])
def test_exact_statistics_equal_those_of_numpy(position: str) -> None:
    norm = {"statistics": "exact", "position": position, "logits": True}
    small = net(hidden=[7], activation="tanh", batch_norm=norm)
    t = small.tensors(small.after(PER_EPOCH))
    found = exact_statistics(small.program, dict(t), small.data, 0, ROWS)
    x = (np.asarray(small.data.features, np.float64)[:ROWS] - 0.5) * 0.25

    def normalize(x: np.ndarray, layer: str) -> np.ndarray:
        np.testing.assert_allclose(np.asarray(found[f"{layer}/batch_norm/mean"]), x.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.asarray(found[f"{layer}/batch_norm/var"]), x.var(0), rtol=1e-4, atol=1e-5)
        hat = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
        return hat * t[f"{layer}/batch_norm/scale"] + t[f"{layer}/batch_norm/bias"]

    x = x @ t["hidden1/kernel"] + t["hidden1/bias"]
    x = np.tanh(normalize(x, "hidden1")) if position == "before" else normalize(np.tanh(x), "hidden1")
    normalize(x @ t["outputs/kernel"] + t["outputs/bias"], "outputs")
    assert len(found) == 4


def test_evaluation_uses_the_stored_statistics_and_leaves_them() -> None:
    """The mistake of old code: statistics that nothing updates, or that evaluation does not read."""
    small = net(batch_norm=True)
    tensors = small.tensors(small.after(PER_EPOCH))
    moved = [name for name in tensors if name.endswith(("/mean", "/var"))]
    assert len(moved) == 4
    assert not any(np.array_equal(tensors[name], small.tensors(small.state)[name]) for name in moved)
    copies = {name: value.copy() for name, value in tensors.items()}
    as_they_are = small.program.evaluate(tensors, small.data, 0, ROWS)
    alone = small.program.evaluate(tensors, small.data, 3, 4)  # one row: nothing depends on the others
    assert np.isfinite(alone["loss"])
    assert all(np.array_equal(copies[name], tensors[name]) for name in tensors)
    for name in moved:
        other = {**tensors, name: tensors[name] + 1}
        assert small.program.evaluate(other, small.data, 0, ROWS)["loss"] != as_they_are["loss"]


def outputs(key: int | None, **model: Any) -> np.ndarray:
    """Of the first hidden layer, 200 units, over 300 rows."""
    plan = architecture(hidden=[200, 5], **model)
    network = Split(plan).merge({n: jnp.asarray(v) for n, v in initial_tensors(plan, 0).items()})
    x = jnp.asarray(np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32))
    return np.asarray(network(x, key=None if key is None else jax.random.key(key), last=1))


def test_dropout_drops_its_share_and_scales_the_rest() -> None:
    rate = 0.3
    kept, whole = (outputs(1, activation="softplus", dropout=r) for r in (rate, 0.0))
    dropped = kept == 0
    assert dropped.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / kept.size))
    np.testing.assert_allclose(kept[~dropped], (whole / (1 - rate))[~dropped], rtol=1e-5)
    assert np.ptp(dropped.mean(0)) > 0  # not the same units in every row
    assert len({dropped[:, unit].tobytes() for unit in range(50)}) == 50


def test_evaluation_drops_nothing() -> None:
    rates = {"input": 0.5, "hidden": 0.5}
    evaluated = outputs(None, activation="softplus", dropout=rates)
    assert np.array_equal(evaluated, outputs(None, activation="softplus"))
    assert np.array_equal(evaluated, outputs(1, activation="softplus"))


def test_input_dropout_is_of_the_inputs() -> None:
    x = jnp.ones((400, 300))
    found = np.asarray(dropout(x, 0.25, jax.random.key(0)))
    assert set(np.unique(found)) == {np.float32(0), np.float32(1 / 0.75)}
    assert not np.allclose(outputs(1, dropout={"input": 0.5}), outputs(1))
    assert np.all(outputs(1, activation="softplus", dropout={"input": 0.5}) > 0)  # nothing dropped behind the layer


def test_rrelu_draws_in_training_and_is_fixed_in_evaluation() -> None:
    linear = outputs(None, activation="identity", initializer="he_normal")
    fixed, drawn, again, other = (outputs(k, activation="rrelu", initializer="he_normal") for k in (None, 1, 1, 2))
    below = linear < 0
    np.testing.assert_allclose(fixed[below], linear[below] * 11 / 48, rtol=1e-4)
    slopes = drawn[below] / linear[below]
    assert slopes.min() >= 1 / 8 - 1e-3
    assert slopes.max() <= 1 / 3 + 1e-3
    assert slopes.std() == pytest.approx((1 / 3 - 1 / 8) / np.sqrt(12), rel=0.02)
    assert np.array_equal(drawn, again)
    assert not np.array_equal(drawn, other)
    np.testing.assert_array_equal(drawn[~below], linear[~below])
