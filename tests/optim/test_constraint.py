"""The max-norm constraint."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dnnrun.optim.constraint import max_norm


def test_columns_are_scaled_and_rows_are_not():
    kernel = jnp.array([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]])
    np.testing.assert_allclose(max_norm(kernel, 1.0), [[0.6, 0.3, 0.0], [0.8, 0.4, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (30, 7)])
@pytest.mark.parametrize("limit", [0.1, 1.0, 3.0])
def test_invariants(shape, limit):
    kernel = jax.random.normal(jax.random.key(0), shape)
    bounded = jax.jit(max_norm)(kernel, limit)
    before, after = np.linalg.norm(kernel, axis=0), np.linalg.norm(bounded, axis=0)
    np.testing.assert_allclose(after, np.minimum(before, limit), rtol=1e-6)
    # Directions stay, and so does every column within the limit, bit for bit.
    np.testing.assert_allclose(bounded * before, kernel * after, rtol=1e-5)
    np.testing.assert_array_equal(bounded[:, before < limit], kernel[:, before < limit])
    assert bounded.dtype == kernel.dtype
    np.testing.assert_allclose(max_norm(bounded, limit), bounded, rtol=1e-6)


def test_huge_columns_and_columns_that_are_not_finite():
    kernel = jnp.array([[3e30, jnp.nan, jnp.inf], [4e30, 1.0, 1.0]])
    np.testing.assert_allclose(max_norm(kernel, 2.0), [[1.2, jnp.nan, jnp.inf], [1.6, 1.0, 1.0]], rtol=1e-6)


def test_a_zero_kernel_stays():
    zeros = jnp.zeros((3, 2))
    np.testing.assert_array_equal(max_norm(zeros, 1.0), zeros)
