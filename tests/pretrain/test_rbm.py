"""RBMs small enough to go through every state: gradient, partition function, pseudo-likelihood, free energy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dnnrun.nn.architecture import Model
from dnnrun.nn.network import Split
from dnnrun.pretrain.scheme.rbm import Rbm as Scheme
from dnnrun.pretrain.task.rbm import Rbm
from dnnrun.train.task import Batch

VISIBLE, HIDDEN, ROWS = 6, 4, 20_000


def rbm(**options: object) -> Rbm:
    scheme = Scheme.model_validate({"type": "rbm", **options})
    model = Model.model_validate({"hidden": [HIDDEN], "activation": "logistic"})
    (stage,) = scheme.stages(model, VISIBLE, 10)
    stage = scheme.sized(stage, ROWS)
    return scheme.task(stage, Split(stage.encoder), None)


def some_tensors(seed: int = 0) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    shapes = {"hidden1/kernel": (VISIBLE, HIDDEN), "hidden1/bias": (HIDDEN,), "visible1/bias": (VISIBLE,)}
    return {name: jnp.asarray(rng.normal(0, 0.7, shape), jnp.float32) for name, shape in shapes.items()}


def batch(x: np.ndarray, number: int = 0, training: bool = True) -> Batch:
    key = jax.random.fold_in(jax.random.wrap_key_data(jnp.array([1, 2], jnp.uint32), impl="threefry2x32"), number)
    return Batch(jnp.asarray(x), jnp.zeros(len(x), jnp.int32), key, jnp.int32(number), training=training)


def log_z(task: Rbm, tensors: dict[str, jax.Array]) -> float:
    found = task.log_partition(tensors)
    assert found is not None
    return float(found)


def rows(count: int, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, VISIBLE)) < np.linspace(0.2, 0.8, VISIBLE)).astype(np.float32)


def all_states(units: int) -> np.ndarray:
    return np.array(list(itertools.product((0, 1), repeat=units)), np.float64)


def energies(t: dict[str, jax.Array], v: np.ndarray, gaussian: bool = False) -> np.ndarray:
    """E(v, h) in NumPy, (rows, states of h)."""
    w, b, c = (np.asarray(t[n], np.float64) for n in ("hidden1/kernel", "visible1/bias", "hidden1/bias"))
    h = all_states(HIDDEN)
    own = ((v - b) ** 2).sum(1) / 2 if gaussian else -(v @ b)
    return own[:, None] - h @ c - v @ w @ h.T


def test_the_gradient_is_that_of_the_likelihood_for_long_chains() -> None:
    """CD-k for large k against the gradient of -log p by enumeration; the tolerance is four standard errors."""
    task, tensors, x = rbm(k=200), some_tensors(), rows(ROWS)

    def minus_log_likelihood(t: dict[str, jax.Array]) -> jax.Array:
        z = task.log_partition(t)
        assert z is not None
        return task.free_energy(t, jnp.asarray(x)).mean() + z

    exact = jax.grad(minus_log_likelihood)(tensors)
    found = jax.jit(lambda t: task.slopes(t, {}, batch(x), lambda _: 0.0).gradients)(tensors)
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        np.testing.assert_allclose(found[name], value, atol=4 * 0.5 / ROWS**0.5, err_msg=name)
        assert np.abs(np.asarray(value)).max() > 0.1  # there is something to agree on


@pytest.mark.parametrize("gaussian", [False, True])
def test_free_energy_sums_over_the_hidden_states(gaussian: bool) -> None:
    task, tensors = rbm(visible="gaussian" if gaussian else "bernoulli"), some_tensors()
    v = rows(20) + 0.3 * gaussian
    wanted = -np.log(np.exp(-energies(tensors, v.astype(np.float64), gaussian)).sum(1))
    np.testing.assert_allclose(task.free_energy(tensors, jnp.asarray(v)), wanted, rtol=1e-5)


def test_the_partition_function_sums_over_every_state() -> None:
    task, tensors = rbm(), some_tensors()
    wanted = np.log(np.exp(-energies(tensors, all_states(VISIBLE))).sum())
    assert log_z(task, tensors) == pytest.approx(wanted, rel=1e-5)


def test_the_gaussian_partition_function_integrates_over_the_inputs() -> None:
    """By importance sampling from a wide normal distribution."""
    task, tensors = rbm(visible="gaussian"), some_tensors()
    draws = np.random.default_rng(0).normal(0, 3, (400_000, VISIBLE))
    log_density = -(draws**2).sum(1) / 18 - VISIBLE * np.log(3 * np.sqrt(2 * np.pi))
    weights = -np.asarray(task.free_energy(tensors, jnp.asarray(draws, jnp.float32)), np.float64) - log_density
    wanted = np.log(np.exp(weights - weights.max()).mean()) + weights.max()
    assert log_z(task, tensors) == pytest.approx(wanted, abs=0.03)


def test_pseudo_likelihood_is_the_product_of_conditionals() -> None:
    task, tensors, v = rbm(), some_tensors(), rows(10)
    p = np.exp(-energies(tensors, all_states(VISIBLE))).sum(1)
    p = {tuple(state): value for state, value in zip(all_states(VISIBLE), p, strict=True)}
    wanted = []
    for row in v.astype(np.float64):
        logs = []
        for bit in range(VISIBLE):
            other = row.copy()
            other[bit] = 1 - other[bit]
            logs.append(np.log(p[tuple(row)] / (p[tuple(row)] + p[tuple(other)])))
        wanted.append(logs)
    np.testing.assert_allclose(task.exact_pseudo_likelihood(tensors, jnp.asarray(v)), np.sum(wanted, 1), rtol=1e-4)
    sums = task.slopes(tensors, {}, batch(v, number=VISIBLE + 2), lambda _: 0.0).sums  # bit 2, of every row
    assert float(sums["pseudo"]) == pytest.approx(VISIBLE * np.array(wanted)[:, 2].sum(), rel=1e-4)


def test_persistent_chains_go_on_where_they_were() -> None:
    task, tensors = rbm(persistent=True), some_tensors()
    x = rows(ROWS)
    here = {"visible1/chain": jnp.ones((ROWS, HIDDEN))}
    chain = task.slopes(tensors, here, batch(x), lambda _: 0.0).statistics["visible1/chain"]
    assert set(np.unique(chain)) == {0, 1}
    other = task.slopes(tensors, {"visible1/chain": chain}, batch(x), lambda _: 0.0)
    again = task.slopes(tensors, here, batch(x), lambda _: 0.0)
    assert not np.array_equal(other.gradients["hidden1/kernel"], again.gradients["hidden1/kernel"])
    assert np.array_equal(again.statistics["visible1/chain"], chain)  # a function of seed, step and state


def test_penalties_are_added() -> None:
    task, tensors, x = rbm(), some_tensors(), rows(50)
    plain = task.slopes(tensors, {}, batch(x), lambda _: 0.0).gradients
    decayed = task.slopes(tensors, {}, batch(x), lambda p: 0.1 * jnp.square(p["hidden1/kernel"]).sum() / 2).gradients
    more = np.asarray(decayed["hidden1/kernel"]) - np.asarray(plain["hidden1/kernel"])
    np.testing.assert_allclose(more, 0.1 * np.asarray(tensors["hidden1/kernel"]), rtol=1e-4)
    assert np.array_equal(plain["visible1/bias"], decayed["visible1/bias"])


def test_evaluation_counts_every_bit_once_in_as_many_rows() -> None:
    task, tensors = rbm(), some_tensors()
    v = np.repeat(rows(1), VISIBLE, 0)
    scores = task.scores(tensors, replace(batch(v), training=False))
    exact = task.exact_pseudo_likelihood(tensors, jnp.asarray(v[:1]))
    assert float(scores["pseudo"].mean()) == pytest.approx(float(exact[0]), rel=1e-4)
