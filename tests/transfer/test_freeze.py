"""A frozen layer stays as it was in every tensor, whatever else works on weights; it has no optimizer state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnnrun.experiment import Result
from dnnrun.store.find import find_checkpoint
from tests.smallruns import Collected, final_bytes, trained
from tests.transfer.sources import layers_equal, model_of, on

EVERYTHING = (
    "train.optimizer={type: adamw, learning_rate: 0.01, weight_decay: 0.1}",
    "train.l1=0.01",
    "train.l2=0.1",
    "train.max_norm=0.3",
    "train.clip={type: global_norm, threshold: 1.0}",
    "model.dropout=0.2",
)


@pytest.fixture(scope="module")
def frozen(rich: Path, tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Result:
    return trained(on(rich, *EVERYTHING, freeze="hidden[12]"), tmp_path_factory.mktemp("frozen"), compiled)


def test_frozen_tensors_are_the_source_after_training(frozen: Result, rich: Path) -> None:
    after, source = model_of(frozen.run), model_of(rich)
    assert {name.partition("/")[2] for name in after if name.startswith("hidden1/")} == {
        "kernel", "bias", "activation/slope", *(f"batch_norm/{part}" for part in ("scale", "bias", "mean", "var")),
    }  # fmt: skip
    assert layers_equal(after, source, "hidden1", "hidden2")
    same = [name for name in after if name.startswith(("hidden3/", "outputs/")) and (after[name] == source[name]).all()]
    assert same == []


def test_no_state_is_kept_of_them(frozen: Result) -> None:
    train = find_checkpoint(frozen.run).train()
    names = {part for name in train if name.startswith("optimizer/") for part in name.split("/")}
    assert {"hidden3", "outputs"} <= names
    assert not names & {"hidden1", "hidden2"}
    assert not [name for name in train if name.startswith("best/hidden1/")]


def test_the_run_checks_it_and_says_so(frozen: Result) -> None:
    assert json.loads((frozen.run / "meta.json").read_text())["frozen_unchanged"] is True
    assert "frozen and unchanged: 14 tensors" in (frozen.run / "out.log").read_text()
    assert frozen.transfer is not None
    assert (frozen.transfer["reused"], frozen.transfer["frozen"]) == (
        ["hidden1", "hidden2", "hidden3"],
        ["hidden1", "hidden2"],
    )
    assert frozen.parameters == {
        "trainable": 10 * 8 + 4 * 8 + 8 * 10 + 10,
        "frozen": 64 * 12 + 4 * 12 + 12 * 10 + 4 * 10,
    }


def test_freeze_and_train_are_two_sides_of_one(frozen: Result, rich: Path, tmp_path: Path, compiled: Path) -> None:
    other = trained(on(rich, *EVERYTHING, train="hidden3|outputs"), tmp_path, compiled)
    assert final_bytes(other.run) == final_bytes(frozen.run)
    assert other.metrics == frozen.metrics


def test_statistics_move_where_they_may(rich: Path, tmp_path: Path, compiled: Path) -> None:
    run = trained(on(rich, freeze="hidden[12]", freeze_batch_norm=False), tmp_path, compiled).run
    after, source = model_of(run), model_of(rich)
    moved = {name for name in after if name[:7] in ("hidden1", "hidden2") and (after[name] != source[name]).any()}
    assert moved == {f"{layer}/batch_norm/{what}" for layer in ("hidden1", "hidden2") for what in ("mean", "var")}
    assert json.loads((run / "meta.json").read_text())["frozen_unchanged"] is True


def test_exact_statistics_leave_frozen_ones(rich: Path, tmp_path: Path, compiled: Path) -> None:
    exact = "model.batch_norm={statistics: exact}"
    run = trained(on(rich, exact, freeze="hidden[12]", cache="off"), tmp_path, compiled).run
    assert layers_equal(model_of(run), model_of(rich), "hidden1", "hidden2")


def test_rates_scale_the_steps_of_a_layer(rich: Path, tmp_path: Path, compiled: Path) -> None:
    sgd = ("train.optimizer={type: sgd, learning_rate: 0.1}", "train.epochs=1", "data.limit=20")  # a single step
    source = model_of(rich)
    one, two = (
        model_of(trained(on(rich, *sgd, reuse=".*", rates=rates), tmp_path / name, compiled).run)
        for name, rates in (("one", {}), ("two", {"hidden1": 0.5, "hidden.": 2.0}))
    )
    for layer, factor in (("hidden1", 0.5), ("hidden2", 2.0), ("outputs", 1.0)):
        steps = [tensors[f"{layer}/kernel"] - source[f"{layer}/kernel"] for tensors in (one, two)]
        assert abs(steps[1] - factor * steps[0]).max() < 1e-6
        assert abs(steps[0]).max() > 1e-4


def test_the_plan_is_told_before_training_and_kept(rich: Path, tmp_path: Path, compiled: Path) -> None:
    heard: list[str] = []

    class Order(Collected):
        def table(self, rows: object) -> None:
            heard.append("table")

        def status(self, status: object) -> None:
            heard.append("training")

    run = trained(on(rich, "train.epochs=1", freeze="hidden1"), tmp_path, compiled, watcher=Order()).run
    assert heard[0] == "table"
    assert "training" in heard
    log = (run / "out.log").read_text()
    assert f" hidden1 | reused: hidden1 of {rich} | frozen | yes | kernel 64x12" in log
    assert "unused in the source: outputs" in log
    meta = json.loads((run / "meta.json").read_text())
    assert list(meta["transfer"])[:6] == ["source", "reused", "initialised", "frozen", "unused", "cached_through"]
    assert meta["transfer"]["source"] == str(find_checkpoint(rich).folder)
