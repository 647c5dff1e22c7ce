"""Classes, several labels and numbers, from the spec to the export: what holds of a run holds of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.assemble import assemble
from dnnrun.data.places import Places
from dnnrun.data.source.embedded import Diabetes
from dnnrun.data.weigh import row_weights
from dnnrun.errors import DataError, DnnrunError, Interrupted, SpecError, TransferError
from dnnrun.evaluation import evaluate
from dnnrun.experiment import Result
from dnnrun.foreign import open_network
from dnnrun.imported import Wanted, read_import, write_run
from dnnrun.interop.check import forward
from dnnrun.interop.export.bundle import bundle_of
from dnnrun.interop.export.write import export
from dnnrun.interop.settle import settle
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store.find import find_checkpoint
from dnnrun.sweep.group import run_group
from dnnrun.sweep.kept import Kept
from dnnrun.sweep.plan import settled
from dnnrun.sweep.trial import run_trial
from dnnrun.trained import load
from tests.manydevices import job, work
from tests.smallruns import outcome, trained
from tests.test_resume import stop_after

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "data": {"source": "diabetes", "validation": 0.2},
    "model": {"hidden": [8, 6], "activation": "elu"},
    "train": {"batch_size": 40, "epochs": 3, "checkpoint_every": {"steps": 3}},
}
KINDS = {
    "numbers": ("train.early_stopping={patience: 2}", "train.monitor=validation.r2", "model.dropout=0.1"),
    "huber": ("train.loss={type: huber, delta: 0.5}", "model.batch_norm=true"),
    "weighted": ("data.source=wine", "train.class_weights=balanced"),
    "one logit": ("data.source=breast_cancer", "train.loss=binary_cross_entropy", "train.class_weights={benign: 3}"),
    "labels": ("data.source=wine", "data.task=multilabel"),
}


def small(*overrides: str) -> Spec:
    return load_mapping(SMALL, overrides)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> dict[str, Result]:
    runs = tmp_path_factory.mktemp("runs")
    return {kind: trained(small(f"name={kind.replace(' ', '-')}", *KINDS[kind]), runs, compiled) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_equals_uninterrupted(kind: str, done: dict[str, Result], tmp_path: Path, compiled: Path) -> None:
    spec = small(f"name={kind.replace(' ', '-')}", *KINDS[kind])
    with pytest.raises(Interrupted):
        trained(spec, tmp_path, compiled, stop=stop_after(2))
    again = trained(spec, tmp_path, compiled, resume=True)
    assert outcome(again.run) == outcome(done[kind].run)
    assert again.metrics == done[kind].metrics


@pytest.mark.parametrize("kind", KINDS)
def test_eval_measures_what_training_did_and_more(kind: str, done: dict[str, Result]) -> None:
    found = evaluate(done[kind].run)
    assert found.split == "test"
    for name, value in done[kind].metrics["test"].items():
        assert found.metrics[name] == pytest.approx(value, rel=1e-5)
    assert found.intervals.keys() == found.metrics.keys()
    json.dumps(found.as_json(), allow_nan=False)


def test_numbers_are_told_in_their_unit(done: dict[str, Result]) -> None:
    test = Diabetes().read(Places()).test
    assert test is not None
    model, metrics = load(done["numbers"].run), done["numbers"].metrics["test"]
    told = model.predict(test.features)
    assert told.shape == (len(test.labels),)
    away = told.astype(np.float64) - test.labels[:, 0]
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean(away**2)), rel=1e-4)
    assert metrics["mae"] == pytest.approx(np.mean(np.abs(away)), rel=1e-4)
    assert metrics["r2"] == pytest.approx(1 - np.mean(away**2) / test.labels.var(), rel=1e-3)
    with pytest.raises(DataError, match="a regression has no probabilities; use predict"):
        model.predict_proba(test.features)


@pytest.mark.parametrize("kind", ["one logit", "labels"])
def test_probabilities(kind: str, done: dict[str, Result]) -> None:
    model = load(done[kind].run)
    x = np.random.default_rng(0).normal(0, 5, (9, model.architecture.features)).astype(np.float32)
    p, said = model.predict_proba(x), model.predict(x)
    if kind == "one logit":
        assert model.architecture.outputs == 1
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
        assert list(said) == [model.classes[k] for k in p.argmax(1)]
    else:
        assert ((p > 0.5) == said).all()
        assert p.shape == (9, 3)


@pytest.mark.parametrize("kind", ["numbers", "huber", "one logit"])
def test_an_export_gives_what_predict_does(kind: str, done: dict[str, Result], tmp_path: Path) -> None:
    bundle, path = bundle_of(find_checkpoint(done[kind].run)), tmp_path / "file.npz"
    checked = export(bundle, path, "npz").checked
    assert checked is not None
    assert checked.agrees
    network = open_network(path)
    again, x = settle(network, None, None), bundle.samples(20)
    outputs = forward(again.architecture, again.tensors, bundle.scaling.apply(x))
    model = load(done[kind].run)
    wanted = model.in_units(model.logits(x)) if model.task == "regression" else model.logits(x)
    np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-4)
    assert network.own["task"] == model.task


@pytest.mark.parametrize(
    ("kind", "source"), [("numbers", "diabetes"), ("one logit", "breast_cancer"), ("labels", "wine")]
)
def test_an_imported_run_is_evaluated_to_the_same(
    kind: str, source: str, done: dict[str, Result], tmp_path: Path
) -> None:
    path = tmp_path / "file.npz"
    export(bundle_of(find_checkpoint(done[kind].run)), path, "npz")
    run = write_run(read_import(path, "again", Wanted(), [f"data.source={source}", "data.validation=0.2"]), tmp_path)
    found, wanted = evaluate(run), evaluate(done[kind].run)
    for name in wanted.metrics.keys() - {"loss"}:
        assert found.metrics[name] == pytest.approx(wanted.metrics[name], rel=1e-4), name


def test_an_export_without_a_bias_to_hold_the_unit_is_refused(tmp_path: Path, compiled: Path) -> None:
    run = trained(small("model.bias=false", "train.epochs=1"), tmp_path, compiled).run
    with pytest.raises(DnnrunError, match="outputs: has no outputs/bias to put the units of the targets into"):
        bundle_of(find_checkpoint(run))


def test_outputs_are_not_reused_for_another_task(done: dict[str, Result], tmp_path: Path, compiled: Path) -> None:
    source, data = done["one logit"].run, "data={source: breast_cancer, task: regression}"
    with pytest.raises(DataError, match="regression wants numbers, and the classes are names"):
        trained(small(data), tmp_path, compiled)
    flowers = trained(
        small("name=two", "data={source: digits, classes: [0, 1]}", "train.loss=binary_cross_entropy"),
        tmp_path, compiled,
    )  # fmt: skip
    numbers = ("data={source: digits, task: regression}", "train.epochs=1")
    whole = f"transfer={{from: {flowers.run}, reuse: '.*'}}"
    with pytest.raises(TransferError, match="whose task is classification, for a regression; reuse the layers below"):
        trained(small(*numbers, whole), tmp_path, compiled)
    hidden = f"transfer={{from: {flowers.run}, reuse: 'hidden.*', freeze: 'hidden.*', cache: on}}"
    found = trained(small(*numbers, hidden), tmp_path, compiled)
    uncached = trained(small(*numbers, hidden.replace("cache: on", "cache: off")), tmp_path, compiled)
    assert found.metrics["test"]["rmse"] == pytest.approx(uncached.metrics["test"]["rmse"], rel=1e-5)
    assert source.is_dir()


def test_pretrained_then_a_regression(tmp_path: Path, compiled: Path) -> None:
    found = trained(small("pretrain={type: autoencoder, epochs: 1}"), tmp_path, compiled)
    assert found.transfer is not None
    assert found.transfer["reused"] == ["hidden1", "hidden2"]
    assert set(found.metrics["test"]) == {"loss", "rmse", "mae", "r2"}
    with pytest.raises(SpecError, match="pairs are of one class or of two, and the task of the data is regression"):
        trained(small("pretrain={type: pairs}"), tmp_path, compiled)


def test_trials_together_come_to_what_they_do_alone(tmp_path: Path) -> None:
    for kind in ("numbers", "weighted"):
        tasks = [
            {"spec": small(f"name={kind}{rate}", *KINDS[kind], f"train.optimizer={{type: adam, learning_rate: {rate}}}")
             .model_dump(mode="json"), "runs": str(tmp_path / where), "data_dir": None, "unseen": [], "shared": None}
            for where in ("together", "alone") for rate in (0.01, 0.02)
        ]  # fmt: skip
        answers: dict[int, Any] = {}
        run_group(tasks[:2], lambda: None, Kept(), answers.__setitem__)
        for number in range(2):
            one = run_trial(tasks[2 + number], lambda: None, Kept().assemble_for(tasks[2 + number]))
            for name, value in one["result"]["metrics"]["test"].items():
                assert answers[number]["result"]["metrics"]["test"][name] == pytest.approx(value, rel=1e-3), name


def test_two_devices_come_to_what_one_does(done: dict[str, Result], tmp_path: Path, compiled: Path) -> None:
    kinds = ("huber", "weighted")
    jobs = [job(small(f"name={kind}", *KINDS[kind], "train.devices=2"), tmp_path) for kind in kinds]
    for kind, found in zip(kinds, work(jobs, 2, compiled), strict=True):
        for name, value in done[kind].metrics["test"].items():
            assert found["metrics"]["test"][name] == pytest.approx(value, rel=1e-3), (kind, found)


def test_weights_of_rows_and_classes() -> None:
    parts = assemble(small(*KINDS["weighted"]), Places(), None)
    data, (start, stop) = parts.dataset, parts.dataset.splits["train"]
    balanced = row_weights(data, "balanced")
    assert balanced is not None
    sums = np.bincount(data.labels[start:stop], weights=balanced[start:stop])
    np.testing.assert_allclose(sums, (stop - start) / 3, rtol=1e-5)
    assert row_weights(data, None) is None
    named = row_weights(data, {"class_1": 4.0})
    assert named is not None
    assert named[data.labels == 1][0] == pytest.approx(4 * named[data.labels == 0][0])
    assert named[start:stop].mean() == pytest.approx(1)


def test_a_weight_is_as_good_as_copies_of_the_row() -> None:
    """The gradient's direction of a batch in which a class counts twice is that of one with its rows twice."""
    import jax.numpy as jnp

    from dnnrun.nn.loss import Loss

    losses = Loss.parse("mse").build()(jnp.array([[1.0], [3.0]]), jnp.array([[0.0], [0.0]]))
    weights = np.array([2.0, 1.0]) / 1.5
    assert float((losses * weights).mean()) == pytest.approx((1 + 1 + 9) / 3)


def test_baselines_are_beside_the_result(tmp_path: Path, compiled: Path) -> None:
    found = trained(small("eval.baseline=true"), tmp_path, compiled)
    assert found.baseline is not None
    assert list(found.baseline) == ["mean", "linear_regression"]
    assert found.baseline["mean"]["metrics"]["train"]["r2"] == pytest.approx(0, abs=1e-6)
    assert found.baseline["linear_regression"]["metrics"]["test"]["r2"] > 0.4
    assert found.as_json()["baseline"] == found.baseline
    beside = evaluate(found.run).as_json()["baseline"]
    assert beside["mean"]["metrics"].keys() == {"test"}
    for kind, first in (("weighted", "majority_class"), ("labels", "majority_label")):
        names = [first, "logistic_regression"]
        told = trained(small("eval.baseline=true", "train.epochs=1", *KINDS[kind]), tmp_path, compiled)
        assert told.baseline is not None
        assert list(told.baseline) == names
        assert told.baseline[names[1]]["metrics"]["test"]["accuracy"] > 0.8


def test_a_sweep_compares_what_its_task_has() -> None:
    assert settled(small("sweep={seeds: 2}"), Places()).sweep.metric == "validation.rmse"  # type: ignore[union-attr]
    assert settled(small("data.source=wine", "sweep={}"), Places()).sweep.metric == "validation.accuracy"  # type: ignore[union-attr]
    with pytest.raises(SpecError, match=r"sweep\.metric: validation\.accuracy is not measured, the task is regression"):
        settled(small("sweep={metric: validation.accuracy}"), Places())


def test_a_sweep_of_a_table_whose_task_is_read_off_its_target(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{n},{n * 0.5}\n" for n in range(30)))
    table = {"type": "csv", "path": str(tmp_path / "a.csv"), "target": "y"}
    spec = load_mapping({"data": {"source": table}, "model": {"hidden": [4]}, "sweep": {"seeds": 2}})
    assert settled(spec, Places()).sweep.metric == "validation.rmse"  # type: ignore[union-attr]


BAD = {
    "train.loss=cross_entropy": "train.loss: cross_entropy does not fit the task regression; "
    "wanted huber or mae or mse",
    "train.monitor=validation.accuracy": "train.monitor: validation.accuracy is not measured, the task is regression; "
    "wanted validation.loss, validation.rmse, validation.mae, validation.r2",
    "train.class_weights=balanced": "train.class_weights: the task is regression, which has no classes; leave it out",
    "data.classes=[0, 1]": "data.classes: the task is regression, which has no classes; "
    "leave classes out, or use limit",
    "data.per_class=5": "data.per_class: the task is regression, which has no classes; "
    "leave per_class out, or use limit",
    "data={source: wine, task: regression}": "data.task: regression wants numbers, and the classes are names ("
    "could not convert string to float: 'class_0')",
    "data.task=multilabel": "train row 1: its target 'progression' is 151, wanted 0 or 1; rows like it: 354; "
    "correct or drop them",
}


@pytest.mark.parametrize("override", BAD)
def test_what_does_not_fit_the_task_is_refused(override: str, tmp_path: Path, compiled: Path) -> None:
    with pytest.raises(DnnrunError) as caught:
        trained(small(override), tmp_path, compiled)
    assert str(caught.value) == BAD[override]
    assert caught.value.exit_code == 2
    assert not list(tmp_path.glob("*/*/spec.yaml"))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("binary_cross_entropy", "binary_cross_entropy tells two classes apart, and there are 3; use cross_entropy"),
        ("mae", "mae does not fit the task classification; wanted binary_cross_entropy or cross_entropy"),
    ],
)  # fmt: skip
def test_losses_that_do_not_fit_classes(loss: str, message: str, tmp_path: Path, compiled: Path) -> None:
    with pytest.raises(SpecError) as caught:
        trained(small("data.source=wine", f"train.loss={loss}"), tmp_path, compiled)
    assert str(caught.value) == f"train.loss: {message}"


def test_a_class_weight_of_no_class(tmp_path: Path, compiled: Path) -> None:
    with pytest.raises(DataError) as caught:
        trained(small("data.source=wine", "train.class_weights={class_9: 2}"), tmp_path, compiled)
    assert str(caught.value) == (
        "train.class_weights: there is no class 'class_9'; there are class_0, class_1, class_2"
    )
