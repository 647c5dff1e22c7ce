from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.data.source import Places
from dnnrun.diagnose.measure import Look, look
from dnnrun.diagnose.remedy import LEARNED, changed
from dnnrun.spec.sections import Spec
from tests.deepnets import deep
from tests.plainnet import FUNCTIONS, seen_plainly

NORMAL = {"type": "normal", "std": 1.0}


@pytest.mark.parametrize(
    ("depth", "activation", "initializer", "kinds"),
    [
        (10, "logistic", NORMAL, {"saturated"}),
        (10, "logistic", "glorot_uniform", {"vanishing"}),
        (10, "logistic", "glorot_normal", {"vanishing"}),
        (30, "relu", "glorot_uniform", {"vanishing"}),
        (30, "relu", "he_normal", set()),
        (30, "relu", "he_uniform", set()),
        (100, "tanh", NORMAL, {"exploding", "saturated"}),
    ],
)
def test_named_rightly_with_the_factor_of_numpy(
    depth: int, activation: str, initializer: Any, kinds: set[str], compiled: Path
) -> None:
    spec = deep(depth, activation, initializer)
    seen = look(spec, Places(), steps=0, cache=compiled)
    assert {finding.kind for finding in seen.findings()} == kinds
    assert seen.backward is not None
    told = seen_plainly(spec)
    # A hundred layers of tanh under weights this large are chaotic: rounding errors grow 2x a layer, and what float32
    # and float64 make of the same row has nothing in common at the end but its statistics.
    assert seen.backward.factor == pytest.approx(told.factor, rel=0.03 if depth == 100 else 1e-3)
    if depth < 100:
        measured = [signals["gradient"]["std"] for name, signals in seen.start.items() if name != "outputs"]
        np.testing.assert_allclose(measured, told.gradients, rtol=1e-3)


HEALTHY = [
    (3, "relu", "he_normal", {}),
    (30, "relu", "he_uniform", {}),
    (5, "elu", "he_normal", {}),
    (20, "selu", "lecun_normal", {}),
    (5, "tanh", "glorot_uniform", {}),
    (100, "tanh", "glorot_normal", {}),
    (60, "tanh", {"type": "orthogonal"}, {}),
    (2, "logistic", "glorot_uniform", {}),
    (8, "logistic", "glorot_uniform", {"batch_norm": {}}),
    (10, "leaky_relu", "he_normal", {"dropout": 0.2}),
    (5, "gelu", "he_normal", {}),
    (5, "relu", "glorot_uniform", {"batch_norm": {"position": "after"}}),
]


@pytest.mark.parametrize(("depth", "activation", "initializer", "model"), HEALTHY)
def test_healthy_specs_pass_in_silence(
    depth: int, activation: str, initializer: Any, model: dict[str, Any], compiled: Path
) -> None:
    """Their gradients keep their size within the bounds, and nothing else is told of them."""
    seen = look(deep(depth, activation, initializer, model=model), Places(), steps=0, cache=compiled)
    assert seen.findings() == []
    assert seen.backward is not None
    assert 1e-3 < seen.backward.total < 1e3


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "activation", "initializer", "model"), [h for h in HEALTHY if h[0] <= 30])
def test_healthy_specs_that_train_pass_in_silence(
    depth: int, activation: str, initializer: Any, model: dict[str, Any], compiled: Path
) -> None:
    """After a short training too, at a rate that suits them."""
    spec = deep(depth, activation, initializer, model=model, epochs=12)
    spec = changed(spec, {"train.optimizer": {"type": "adam", "learning_rate": 0.001}})
    seen = look(spec, Places(), steps=300, cache=compiled)
    assert seen.findings() == []
    assert seen.course is not None
    assert seen.course.loss < LEARNED * seen.course.guess


def test_selu_keeps_standard_normal_inputs(compiled: Path) -> None:
    """A thousand layers are looked at in a slow test; the first hundred take the same code."""
    spec, layers, seen = _selu(100, "lecun_normal", compiled)
    assert max(abs(layer["mean"]) for layer in layers) < 0.1
    assert all(0.8 < layer["std"] < 1.1 for layer in layers)
    told = seen_plainly(spec, 100)
    np.testing.assert_allclose([layer["mean"] for layer in layers], told.means, atol=2e-5)
    np.testing.assert_allclose([layer["std"] for layer in layers], told.stds, rtol=1e-4)
    assert seen.backward is not None
    assert seen.backward.factor == pytest.approx(told.factor, rel=1e-3)


@pytest.mark.slow
def test_selu_over_a_thousand_layers(compiled: Path) -> None:
    """With orthogonal kernels every layer keeps them; with drawn ones of 100 units some few of a thousand stray.

    NumPy says the same at every layer. Two roundings of the same numbers grow apart as gradients grow, 1.035 times a
    layer: float32 and float64 agree to five digits in the first layers, and to two in the last.
    """
    _, layers, _ = _selu(1000, "orthogonal", compiled)
    assert max(abs(layer["mean"]) for layer in layers) < 0.03
    assert all(0.98 < layer["std"] < 1.02 for layer in layers)
    spec, layers, seen = _selu(1000, "lecun_normal", compiled)
    told = seen_plainly(spec, 100)
    means, stds = (np.array([layer[key] for layer in layers]) for key in ("mean", "std"))
    assert (strayed := ((abs(means) > 0.1) | (stds < 0.8) | (stds > 1.1)).sum()) < 20
    assert abs(int(strayed) - int(((abs(told.means) > 0.1) | (told.stds < 0.8) | (told.stds > 1.1)).sum())) <= 5
    apart = np.minimum(2e-5 * 1.035 ** np.arange(1000), 0.03)
    assert (abs(means - told.means) < apart).all()
    assert (abs(stds - told.stds) < apart + 1e-4).all()
    assert [finding.kind for finding in seen.findings()] == ["exploding"]
    assert seen.backward is not None
    assert seen.backward.factor == pytest.approx(told.factor, rel=0.01)
    assert seen.backward.factor == pytest.approx(selu_factor(), rel=0.01)


def selu_factor() -> float:
    """What a layer of SELU multiplies gradients by at its fixed point: the root of the slope's mean square under a
    standard normal distribution (Schoenholz et al., 2017, equation 5)."""
    z = np.linspace(-10, 10, 200_001)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return float(np.sqrt(np.trapezoid(density * FUNCTIONS["selu"][1](z) ** 2, z)))


def _selu(depth: int, initializer: str, compiled: Path) -> tuple[Spec, list[dict[str, float]], Look]:
    spec = deep(depth, "selu", initializer)
    seen = look(spec, Places(), steps=300 * (depth > 200), cache=compiled, normal=100)
    layers = [signals["activation"] for name, signals in seen.start.items() if name != "outputs"]
    assert len(layers) == depth
    assert seen.course is None
    return spec, layers, seen
