"""A network read back: its tensors, its predictions on raw inputs, its metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dnnrun
from dnnrun.data.source import Places
from dnnrun.data.source.digits import Digits
from dnnrun.errors import CheckpointError, DataError, DeviceError, SpecError
from dnnrun.evaluation import evaluate
from dnnrun.experiment import Result
from dnnrun.store.checkpoint import sealed
from dnnrun.trained import Trained
from tests.smallruns import RICH, SMALL, small, trained


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Result:
    return trained(small(*RICH), tmp_path_factory.mktemp("runs"), compiled)


@pytest.fixture(scope="module")
def network(result: Result) -> Trained:
    return dnnrun.load(result.run.parent)


def raw() -> tuple[np.ndarray, np.ndarray]:
    """The test split of the digits, as a person has it: pixels from 0 to 16."""
    found = Digits(type="digits").read(Places()).test
    assert found is not None
    return found.features, found.labels


def test_layers_hold_the_tensors_in_order(network: Trained) -> None:
    assert list(network.layers) == ["hidden1", "outputs"]
    assert network.layers["hidden1"]["kernel"].shape == (64, 8)
    assert set(network.layers["outputs"]) == {
        "kernel",
        "bias",
        *(f"batch_norm/{p}" for p in ("scale", "bias", "mean", "var")),
    }
    assert network.classes == tuple(str(digit) for digit in range(10))


def test_predictions_on_raw_rows_have_the_accuracy_that_eval_reports(network: Trained, result: Result) -> None:
    features, labels = raw()
    found = evaluate(result.run.parent)
    assert (found.split, found.examples) == ("test", len(labels))
    assert (network.predict(features) == labels).mean() == pytest.approx(found.metrics["accuracy"], abs=1e-12)
    assert found.metrics.items() >= result.metrics["test"].items()
    probabilities = network.predict_proba(features)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert loss == pytest.approx(found.metrics["loss"], rel=1e-4)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_is_evaluated_as_training_reported_it(split: str, result: Result) -> None:
    assert evaluate(result.run, split=split).metrics.items() >= result.metrics[split].items()


def test_a_row_is_predicted_alike_alone_and_among_others(network: Trained) -> None:
    features, _ = raw()
    whole = network.logits(features)
    assert np.array_equal(network.logits(features[5:6]), whole[5:6])
    many = np.concatenate([features] * 4)  # more than a block
    assert np.array_equal(network.logits(many), np.concatenate([whole] * 4))
    assert network.logits(features[:0]).shape == (0, 10)
    assert network.predict(features[:0]).shape == (0,)
    np.testing.assert_array_equal(network.logits(features.astype(np.float64)), whole)
    np.testing.assert_array_equal(network.logits(features[:3].tolist()), whole[:3])


def test_every_bad_input_has_its_message(network: Trained) -> None:
    rows = np.zeros((3, 64))
    nan, huge = rows.copy(), rows.copy()
    nan[1, 5], huge[2, 0] = np.nan, 1e300
    table: list[tuple[Any, str]] = [
        (np.zeros(64), "inputs of shape [64]; wanted [rows, 64], one row an example"),
        (np.zeros((2, 63)), "inputs of shape [2, 63]; wanted [rows, 64], one row an example"),
        (np.zeros((2, 8, 8)), "inputs of shape [2, 8, 8]; wanted [rows, 64], one row an example"),
        (np.full((2, 64), "a"), "inputs of type <U1; wanted numbers"),
        (np.zeros((2, 64), complex), "inputs of type complex128; wanted numbers"),
        ([[1.0], [1.0, 2.0]], "inputs of rows that differ in length; wanted [rows, features], one row an example"),
        (nan, "inputs with nan, or numbers too large for float32, first in row 1; wanted finite numbers"),
        (huge, "inputs with nan, or numbers too large for float32, first in row 2; wanted finite numbers"),
    ]
    for x, message in table:
        with pytest.raises(DataError) as caught:
            network.predict(x)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("-1", "1"), [-1, 1]),
        (("0", "10"), [0, 10]),
        (("-0", "1"), ["-0", "1"]),
        (("01", "1"), ["01", "1"]),
        (("1", "two"), ["1", "two"]),
        (("9223372036854775808", "9223372036854775809"), [2**63, 2**63 + 1]),
        (("9223372036854775808", "3"), ["9223372036854775808", "3"]),  # as a float64 it would be rounded
        (("-1", "9223372036854775808"), ["-1", "9223372036854775808"]),
        (("1" + 30 * "0", "3"), ["1" + 30 * "0", "3"]),
    ],
)
def test_classes_that_are_numbers_are_told_as_numbers(
    classes: tuple[str, ...], said: list[Any], network: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trained, "classes", classes)
    assert network._said(np.eye(2)).tolist() == said


@pytest.mark.filterwarnings("error")
def test_large_numbers_are_taken_in_silence(network: Trained) -> None:
    assert network.predict(np.full((2, 64), 3e38)).shape == (2,)


def test_a_split_that_is_not_there(result: Result) -> None:
    with pytest.raises(DataError) as caught:
        evaluate(result.run, split="tset")
    assert str(caught.value) == "--split tset: there are none of these rows; there are train, validation, test"


def test_an_absent_device(result: Result) -> None:
    with pytest.raises(DeviceError, match="device gpu: JAX finds none here"):
        evaluate(result.run, device="gpu")


def edited(run: Path, folder: Path, **changes: Any) -> Path:
    """A copy of the last checkpoint with another manifest."""
    folder.mkdir()
    for path in (run / "checkpoints" / "last").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(sealed({**manifest, **changes})))
    return folder


def test_a_spec_trained_on_an_absent_device_and_with_other_threads_is_evaluated_here(
    result: Result, tmp_path: Path
) -> None:
    spec = json.loads((result.run / "checkpoints" / "last" / "manifest.json").read_text())["spec"]
    spec["train"] |= {"device": "tpu", "threads": 77}
    found = evaluate(edited(result.run, tmp_path / "c", spec=spec)).metrics
    assert found.items() >= result.metrics["test"].items()


def test_a_manifest_of_another_network_is_an_error(result: Result, tmp_path: Path) -> None:
    folder = edited(result.run, tmp_path / "c", features=63)
    with pytest.raises(CheckpointError) as caught:
        _ = dnnrun.load(folder).tensors
    assert str(caught.value).endswith("tensor hidden1/kernel has shape [64, 8], the network wants [63, 8]")
    with pytest.raises(CheckpointError, match="tensor hidden1/kernel has shape"):
        evaluate(folder)


def test_the_api_trains_a_mapping_and_loads_what_it_trained(
    tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DNNRUN_CACHE", str(tmp_path / "cache"))
    found = dnnrun.train(SMALL, "train.epochs=1", "name=api", runs_dir=tmp_path)
    assert found.epochs == 1
    from dnnrun.train import loop  # the package and the function of this name get on

    assert loop.fit
    assert dnnrun.load(tmp_path / "api").predict(raw()[0]).shape == (359,)
    more = dnnrun.train(small("name=api"), "train.epochs=2", resume=True, runs_dir=tmp_path)
    assert (more.run, more.epochs) == (found.run, 2)
    with pytest.raises(SpecError, match=r"spec: model\.activaton: unknown key"):
        dnnrun.train({**SMALL, "model": {"hidden": [8], "activaton": "elu"}}, runs_dir=tmp_path)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "epoch" not in captured.err
