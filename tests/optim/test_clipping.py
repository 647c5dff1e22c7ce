"""Clipping against closed forms, with zero, huge and non-finite gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest

from dnnrun.component import members
from dnnrun.optim.clipping import Clipping

NAMES = ["adaptive", "global_norm", "norm", "value"]
K, B = "hidden1/kernel", "hidden1/bias"
PARAMS = {K: np.array([[3.0, 0.0], [4.0, 0.0]]), B: np.array([6.0, 8.0])}

# Spec, gradients of PARAMS, what they become.
FORMS = [
    (
        {"type": "value", "threshold": 2.0},
        {K: [[1.0, -3.0], [2.0, 0.0]], B: [-2.0, 2.5]},
        {K: [[1, -2], [2, 0]], B: [-2, 2]},
    ),
    ("value", {K: [[0.5, -3.0], [np.inf, 0.0]], B: [-np.inf, np.nan]}, {K: [[0.5, -1], [1, 0]], B: [-1, np.nan]}),
    # Tensor by tensor: the kernel has norm 10, the bias 0.5.
    ("norm", {K: [[6.0, 0.0], [0.0, 8.0]], B: [0.3, 0.4]}, {K: [[0.6, 0], [0, 0.8]], B: [0.3, 0.4]}),
    ({"type": "norm", "threshold": 5.0}, {K: [[6.0, 0], [0, 8.0]], B: [3.0, 4.0]}, {K: [[3, 0], [0, 4]], B: [3, 4]}),
    # Together: 1 + 4 + 4 + 16 = 25.
    (
        {"type": "global_norm", "threshold": 2.5},
        {K: [[1.0, -2.0], [2.0, 0.0]], B: [4.0, 0.0]},
        {K: [[0.5, -1], [1, 0]], B: [2, 0]},
    ),
    (
        {"type": "global_norm", "threshold": 5.0},
        {K: [[1.0, -2], [2, 0]], B: [4.0, 0]},
        {K: [[1, -2], [2, 0]], B: [4, 0]},
    ),
    # Column 0 has weights of norm 5, column 1 counts as 0.5, the bias has norm 10; a tenth of each.
    (
        {"type": "adaptive", "threshold": 0.1, "epsilon": 0.5},
        {K: [[30.0, 0.03], [40.0, 0.04]], B: [-30.0, 40.0]},
        {K: [[0.3, 0.03], [0.4, 0.04]], B: [-0.6, 0.8]},
    ),
    (
        {"type": "adaptive", "threshold": 0.1, "epsilon": 0.5},
        {K: [[0.3, 0.3], [0.4, 0.4]], B: [0.0, 0.5]},
        {K: [[0.3, 0.03], [0.4, 0.04]], B: [0, 0.5]},
    ),
]


def apply(spec, gradients, params=PARAMS, jit=True):
    transform: Any = Clipping.parse(spec).build()
    arrays = {name: jnp.asarray(g, jnp.float32) for name, g in gradients.items()}
    weights = {name: jnp.asarray(w, jnp.float32) for name, w in params.items()}
    state = transform.init(weights)
    assert jax.tree.leaves(state) == []
    update = jax.jit(transform.update) if jit else transform.update
    return update(arrays, state, weights)[0]


@pytest.mark.parametrize(("spec", "gradients", "want"), FORMS, ids=str)
@pytest.mark.parametrize("jit", [True, False])
def test_closed_forms(spec, gradients, want, jit):
    got = apply(spec, gradients, jit=jit)
    assert got.keys() == want.keys()
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-6, err_msg=name)
        assert got[name].dtype == jnp.float32


@pytest.mark.parametrize("name", NAMES)
def test_zero_and_small_gradients_pass_bit_for_bit(name):
    zeros = {K: np.zeros((2, 2)), B: np.zeros(2)}
    for tensor, got in apply(name, zeros, params=zeros).items():
        np.testing.assert_array_equal(got, zeros[tensor])
    small = {K: np.array([[1e-7, -3e-9], [2e-8, 1e-30]], np.float32), B: np.array([1e-6, 1e-7], np.float32)}
    for tensor, got in apply(name, small).items():
        np.testing.assert_array_equal(got, small[tensor])


@pytest.mark.parametrize("name", NAMES)
def test_huge_gradients_do_not_overflow(name):
    huge = {K: np.array([[3e37, 0], [4e37, 1e30]], np.float32), B: np.array([3e38, 3e38], np.float32)}
    clipped = apply(name, huge)
    assert all(jnp.isfinite(g).all() for g in clipped.values())
    if name == "norm":
        np.testing.assert_allclose(clipped[K], [[0.6, 0], [0.8, 2e-8]], rtol=1e-5)
        np.testing.assert_allclose(clipped[B], [0.5**0.5] * 2, rtol=1e-6)
    if name == "global_norm":
        assert np.isclose(np.sqrt(sum(np.sum(np.square(g)) for g in clipped.values())), 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["norm", "global_norm", "adaptive"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_passes_unchanged(name, bad):
    gradients = {K: np.array([[bad, 1.0], [2.0, 3.0]], np.float32), B: np.array([0.01, 0.01], np.float32)}
    clipped = apply(name, gradients)
    np.testing.assert_array_equal(clipped[K][:, 0], gradients[K][:, 0])
    np.testing.assert_array_equal(clipped[B], gradients[B])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_clip(name):
    assert apply(name, {}, params={}) == {}


def test_shapes_of_units():
    """A kernel of one row has its columns as units, not the row."""
    params = {"outputs/kernel": np.ones((1, 3)), "s": np.ones(())}
    got = apply({"type": "adaptive", "threshold": 0.5}, {"outputs/kernel": [[0.1, 2.0, -4.0]], "s": -3.0}, params)
    np.testing.assert_allclose(got["outputs/kernel"], [[0.1, 0.5, -0.5]], rtol=1e-6)
    np.testing.assert_allclose(got["s"], -0.5, rtol=1e-6)


def test_adaptive_needs_params():
    transform: Any = Clipping.parse("adaptive").build()
    with pytest.raises(ValueError, match="pass params"):
        transform.update({K: jnp.ones((2, 2))}, transform.init({K: jnp.ones((2, 2))}))


def test_members_and_round_trip():
    assert list(members(Clipping)) == NAMES
    for name, member in members(Clipping).items():
        assert 10 < len(member.summary()) < 80
        assert Clipping.parse(Clipping.parse(name).model_dump()) == Clipping.parse(name)
    assert {name: Clipping.parse(name).model_dump()["threshold"] for name in NAMES} == dict.fromkeys(NAMES, 1.0) | {
        "adaptive": 0.01
    }


BAD = [
    *({"type": name, "threshold": value} for name in NAMES for value in (0, -1.0, True, "1", np.nan, np.inf)),
    *({"type": name, "thresold": 1.0} for name in NAMES),
    *({"type": "adaptive", "epsilon": value} for value in (0, -1e-3)),
    {"type": "norm", "epsilon": 1e-3},
    {"threshold": 1.0},
    "clip",
    1.0,
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_options_are_refused(bad):
    with pytest.raises(pydantic.ValidationError):
        Clipping.parse(bad)
