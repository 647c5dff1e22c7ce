from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dnnrun.cli.app import app
from dnnrun.data.source import Places
from dnnrun.diagnose.case import examine
from dnnrun.diagnose.measure import look
from dnnrun.errors import DnnrunError, SpecError
from dnnrun.nn.network import initial_tensors
from dnnrun.spec.load import load, load_mapping
from dnnrun.spec.sections import Spec
from tests.smallruns import finished, small, spec_file, trained


def deep(depth: int, activation: str, initializer: Any, **train: Any) -> Spec:
    return load_mapping(
        {
            "name": "deep",
            "data": {"source": "digits"},
            "model": {"hidden": [100] * depth, "activation": activation, "initializer": initializer},
            "train": {"optimizer": {"type": "sgd", "learning_rate": 0.01}, "batch_size": 50, **train},
        }
    )


SLOPE = {
    "logistic": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(float)),
}


def factor_by_numpy(spec: Spec) -> float:
    """The factor a layer of the back-propagated gradients, from first to last hidden layer, in float64."""
    from sklearn.datasets import load_digits

    from dnnrun.nn.architecture import lay_out

    w = {name: value.astype(float) for name, value in initial_tensors(lay_out(spec.model, 64, 10), spec.seed).items()}
    x, labels = load_digits(return_X_y=True)
    x, labels = x[:500] / 16, labels[:500]
    function, slope = SLOPE[spec.model.activation.type]  # type: ignore[attr-defined]
    outputs, depth = [x], len(spec.model.hidden)
    for number in range(1, depth + 1):
        outputs.append(function(outputs[-1] @ w[f"hidden{number}/kernel"]))
    p = np.exp(outputs[-1] @ w["outputs/kernel"])
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(labels)), labels] -= 1
    flowing, stds = p @ w["outputs/kernel"].T, []
    for number in range(depth, 0, -1):
        by_z = flowing * slope(outputs[number])
        stds.append(by_z.std())
        flowing = by_z @ w[f"hidden{number}/kernel"].T
    return (stds[-1] / stds[0]) ** (1 / (depth - 1))


@pytest.mark.parametrize(
    ("depth", "activation", "initializer", "kinds"),
    [
        (10, "logistic", {"type": "normal", "std": 1.0}, {"saturated"}),
        (10, "logistic", "glorot_normal", {"vanishing"}),
        (30, "relu", "glorot_uniform", {"vanishing"}),
        (30, "relu", "he_uniform", set()),
        (20, "tanh", {"type": "normal", "std": 1.0}, {"exploding", "saturated"}),
    ],
)
def test_named_rightly_with_the_factor_of_numpy(
    depth: int, activation: str, initializer: Any, kinds: set[str], compiled: Path
) -> None:
    spec = deep(depth, activation, initializer)
    seen = look(spec, Places(), steps=0, cache=compiled)
    assert {finding.kind for finding in seen.findings()} == kinds
    assert seen.backward is not None
    assert seen.backward.factor == pytest.approx(factor_by_numpy(spec), rel=0.1)


def test_selu_keeps_standard_normal_inputs(compiled: Path) -> None:
    """A thousand layers are looked at in a slow test; the first hundred take the same code."""
    layers = _selu(100, "lecun_normal", compiled)
    assert max(abs(layer["mean"]) for layer in layers) < 0.1
    assert all(0.8 < layer["std"] < 1.1 for layer in layers)


@pytest.mark.slow
def test_selu_keeps_them_over_a_thousand_layers(compiled: Path) -> None:
    """With orthogonal kernels at every layer; with drawn ones of 100 units some few of a thousand stray further."""
    layers = _selu(1000, "orthogonal", compiled)
    assert max(abs(layer["mean"]) for layer in layers) < 0.03
    assert all(0.98 < layer["std"] < 1.02 for layer in layers)
    layers = _selu(1000, "lecun_normal", compiled)
    assert sum(abs(layer["mean"]) > 0.1 or not 0.8 < layer["std"] < 1.1 for layer in layers) < 20


def _selu(depth: int, initializer: str, compiled: Path) -> list[dict[str, float]]:
    seen = look(deep(depth, "selu", initializer), Places(), steps=300 * (depth > 200), cache=compiled, normal=100)
    layers = [signals["activation"] for name, signals in seen.start.items() if name != "outputs"]
    assert len(layers) == depth
    assert seen.course is None
    return layers


@pytest.mark.slow
def test_a_remedy_is_tried_found_and_written(tmp_path: Path, compiled: Path) -> None:
    path = spec_file(deep(8, "logistic", "glorot_uniform", epochs=9), tmp_path)
    case = examine(str(path), (), steps=200, remedy=True, cache=compiled)
    assert {finding.kind for finding in case.findings} == {"vanishing", "stuck"}
    assert case.remedy is not None
    assert case.remedy.best is not None
    best, course = case.remedy.best, case.remedy.best.look.course
    assert course is not None
    assert course.loss < 0.9 * course.guess
    assert not best.findings
    written = case.write()
    cured = load(written)
    assert written == tmp_path / "deep-cured.yaml"
    assert cured.name == "deep-cured"
    assert written.read_text().startswith("# deep, cured: ")
    assert not look(cured, Places(), steps=200, cache=compiled).findings()
    with pytest.raises(DnnrunError, match=r"deep-cured\.yaml exists already; remove it, or give the spec another name"):
        case.write()


def test_a_healthy_spec_and_its_run_are_left_alone(tmp_path: Path, compiled: Path) -> None:
    spec = small("train.epochs=12")
    case = examine(str(spec_file(spec, tmp_path)), (), steps=100, remedy=True, cache=compiled)
    assert case.findings == []
    assert case.remedy is None
    assert case.account()[-1] == "healthy: nothing found"
    with pytest.raises(DnnrunError, match="nothing is wrong"):
        case.write()
    run = trained(spec, tmp_path, compiled).run
    seen = examine(str(run), (), steps=100, remedy=True, cache=compiled)
    assert seen.trained
    assert seen.look.course is None
    assert not seen.findings
    with pytest.raises(SpecError, match="a trained network is looked at as it is; leave the overrides out"):
        examine(str(run), ("seed=1",), steps=0, remedy=False, cache=compiled)


def test_the_check_in_ci(tmp_path: Path, compiled: Path) -> None:
    path = spec_file(deep(8, "logistic", "glorot_uniform"), tmp_path)
    options = ("--steps", "0", "--no-remedy", "--json", "--fail-on")
    found = finished(compiled, "diagnose", path, *options, "vanishing", cwd=tmp_path)
    assert found.returncode == 1
    said = json.loads(found.stdout)
    assert said["findings"][0]["kind"] == "vanishing"
    assert said["growth"]["gradients"]["factor"] < 0.4
    assert found.stderr.endswith("found, as --fail-on vanishing asks: vanishing\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fail-on", "vanish"], "--fail-on 'vanish'; wanted vanishing, exploding, saturated, dead, stuck, diverging"),
        (["--inputs", "uniform:3"], "--inputs 'uniform:3'; wanted normal:WIDTH, as normal:100"),
        (["--inputs", "normal:0"], "--inputs 'normal:0'; wanted normal:WIDTH, as normal:100"),
        (["--steps", "-1"], "Input should be greater than or equal to 0"),
    ],
)
def test_wrong_options(arguments: list[str], told: str) -> None:
    found = CliRunner().invoke(app, ["diagnose", "digits", *arguments])
    assert found.exit_code == 2
    assert told in " ".join(found.output.split())
