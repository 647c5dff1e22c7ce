"""Scaling: fitted on the training rows alone, the same on NumPy and JAX arrays, the same after a trip through JSON."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from dnnrun.data.dataset import Dataset
from dnnrun.data.scale import CELLS, Scaling, default_kind, fit
from dnnrun.errors import CheckpointError, DataError

KINDS = ("none", "unit", "standardize")


def dataset(features: np.ndarray, train: int, image: tuple[int, int, int] | None = None) -> Dataset:
    splits = {"train": (0, train), "test": (train, len(features))}
    labels, origin = np.zeros(len(features), np.int32), np.arange(len(features))
    return Dataset(features, labels, splits, ("a", "b"), image, 255, "0" * 64, origin, "0" * 64)


def table(dtype: str = "float32", rows: int = 300, width: int = 7) -> np.ndarray:
    values = np.random.default_rng(1).integers(0, 256, (rows, width)).astype(dtype)
    values[:, 3] = 7
    return values


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_standardize(dtype: str) -> None:
    values = table(dtype)
    values[200:, 3] = 9  # constant in training, and not after it
    scaling = fit("standardize", dataset(values, 200))
    scaled = scaling.apply(values)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(np.delete(scaled[:200].mean(0), 3), 0, atol=1e-5)
    np.testing.assert_allclose(np.delete(scaled[:200].std(0), 3), 1, atol=1e-5)
    np.testing.assert_array_equal(scaled[:, 3], 0)
    assert fit("standardize", dataset(values[:200], 200)) == scaling  # other splits do not matter


def test_columns_that_are_hard() -> None:
    values = np.full((50, 4), 0.1, np.float32)
    values[:, 1] = np.linspace(1e6, 1e6 + 100, 50)
    values[:, 2] = np.where(np.arange(50) % 2, 1e-44, 0)  # a spread whose inverse float32 cannot hold
    values[:, 3] = np.where(np.arange(50) % 2, 3e38, -3e38)
    scaling = fit("standardize", dataset(values, 50))
    assert scaling.std[0] == 0
    scaled = scaling.apply(values)
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled.std(0), [0, 1, 0, 1], atol=1e-3)


def test_unit_and_none() -> None:
    values = table("uint8", width=4)
    image = dataset(values, 200, (2, 2, 1))
    np.testing.assert_allclose(fit("unit", image).apply(values), values / 255, rtol=1e-6)
    np.testing.assert_array_equal(fit("none", image).apply(values), values.astype(np.float32))
    assert fit(None, image).type == default_kind((2, 2, 1)) == "unit"
    assert fit(None, dataset(values, 200)).type == default_kind(None) == "standardize"
    with pytest.raises(DataError) as caught:
        fit("unit", dataset(values, 200))
    assert str(caught.value) == (
        "data.scale: unit divides by the largest value of a pixel, and this data is a table; use standardize"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_json_brings_back_the_same_bits(kind: Any) -> None:
    values = table("uint8", width=4)
    scaling = fit(kind, dataset(values, 200, (2, 2, 1)))
    again = Scaling.from_json(json.loads(json.dumps(scaling.to_json())))
    assert again == scaling
    np.testing.assert_array_equal(again.apply(values), scaling.apply(values))
    assert fit("unit", dataset(values, 200, (2, 2, 1))).to_json() == {"type": "unit", "divide_by": 255}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_jax_agrees(kind: Any, dtype: str) -> None:
    jax = pytest.importorskip("jax")
    values = table(dtype, width=4)
    scaling = fit(kind, dataset(values, 200, (2, 2, 1)))
    on_device = scaling.apply(jax.numpy.asarray(values))
    assert isinstance(on_device, jax.Array)
    assert on_device.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(on_device), scaling.apply(values))


def test_no_float_copy_of_everything_is_made() -> None:
    values = np.random.default_rng(0).integers(0, 256, (20_000, 784), dtype=np.uint8)
    tracemalloc.start()
    try:
        scaling = fit("standardize", dataset(values, len(values)))
        assert tracemalloc.get_traced_memory()[1] < 4 * 8 * CELLS
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(scaling.mean[:5], values[:, :5].mean(0), rtol=1e-12)
    np.testing.assert_allclose(scaling.std[:5], values[:, :5].std(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "its scaling is None, wanted one of none, unit, standardize"),
        ({"type": "log"}, "its scaling is {'type': 'log'}, wanted one of none, unit, standardize"),
        ({"type": []}, "its scaling is {'type': []}, wanted one of none, unit, standardize"),
        ({"type": "unit"}, "its scaling is {'type': 'unit'}, wanted one of none, unit, standardize"),
        (
            {"type": "unit", "divide_by": 0},
            "its scaling {'type': 'unit', 'divide_by': 0} has numbers that cannot be; the checkpoint is damaged",
        ),
        (
            {"type": "standardize", "mean": [1], "std": [1, 2]},
            "its scaling {'type': 'standardize', 'mean': [1], 'std': [1, 2]} has numbers that cannot be; "
            "the checkpoint is damaged",
        ),
        (
            {"type": "standardize", "mean": [float("nan")], "std": [1]},
            "its scaling {'type': 'standardize', 'mean': [nan], 'std': [1]} has numbers that cannot be; "
            "the checkpoint is damaged",
        ),
    ],
)
def test_damaged_json(value: Any, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        Scaling.from_json(value)
    assert str(caught.value) == message
