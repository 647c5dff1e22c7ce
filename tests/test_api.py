"""dnnrun.transfer and dnnrun.plan: the verb's options, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dnnrun
from dnnrun.api import Spec
from dnnrun.errors import SpecError, TransferError
from dnnrun.reuse import transfer_spec
from dnnrun.spec.load import load_mapping
from tests.transfer.sources import RICH, layers_equal, model_of, written

SMALL: dict[str, Any] = {**RICH, "name": "small", "model": {"hidden": [6, 5]}, "train": {"batch_size": 50, "epochs": 1}}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DNNRUN_CACHE", str(tmp_path / "cache"))
    written(tmp_path / "runs", "first", {"hidden": [6, 5]})
    return tmp_path / "runs"


def test_the_functions_are_there_whatever_was_imported() -> None:
    import dnnrun.transfer.plan

    assert callable(dnnrun.train)
    assert callable(dnnrun.transfer)
    assert callable(dnnrun.plan)
    assert {"load", "plan", "train", "transfer"} <= set(dnnrun.__all__)


@pytest.mark.parametrize("kind", ["mapping", "spec", "file"])
def test_transfer_trains_on_layers_of_the_source(kind: str, runs: Path, tmp_path: Path) -> None:
    from dnnrun.spec.load import dump

    spec: Any = load_mapping(SMALL) if kind == "spec" else SMALL
    if kind == "file":
        spec = tmp_path / "small.yaml"
        spec.write_text(dump(load_mapping(SMALL)))  # with transfer: null
    result = dnnrun.transfer(spec, "seed=1", source=runs / "first", freeze="hidden1", runs_dir=runs)
    assert result.transfer is not None
    assert (result.transfer["reused"], result.transfer["frozen"]) == (["hidden1", "hidden2"], ["hidden1"])
    assert layers_equal(model_of(result.run), model_of(runs / "first"), "hidden1")
    assert list((tmp_path / "cache" / "outputs").glob("*.npy"))


def test_plan_is_what_transfer_would_do(runs: Path) -> None:
    options: dict[str, Any] = {"unfreeze": {"hidden[12]": 1}, "rates": {"hidden.*": 0.5}, "resize_inputs": True}
    plan = dnnrun.plan(SMALL, "train.epochs=2", source=runs / "first", runs_dir=runs, **options)
    assert (plan.reused, plan.frozen, plan.cached_through) == (
        ["hidden1", "hidden2"],
        ["hidden1", "hidden2"],
        "hidden2",
    )
    assert plan.rows()[1][:4] == ["hidden1", f"reused: hidden1 of {runs / 'first'}", "after epoch 1, rate x 0.5", "yes"]
    assert [path.name for path in runs.iterdir()] == ["first"]


def test_several_sources(runs: Path) -> None:
    other = written(runs, "second", {"hidden": [6, 5]})
    plan = dnnrun.plan(SMALL, source=[{"from": runs / "first", "reuse": "hidden2"}, other], runs_dir=runs)
    assert plan.taken["hidden2"].donor.name == str(runs / "first")
    assert plan.taken["hidden1"].donor.name == str(other)


def test_errors_are_those_of_the_verb(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"transfer\.cache: found 'maybe'"):
        dnnrun.plan(SMALL, source=runs / "first", cache="maybe")
    with pytest.raises(SpecError, match=r"transfer\.freze: unknown key; did you mean 'freeze'"):
        dnnrun.plan(SMALL, source=runs / "first", freze="hidden1")  # type: ignore[call-arg]
    for spec in (None, SMALL):
        with pytest.raises(TransferError, match="no finished run to take layers from; name one with --from"):
            dnnrun.transfer(spec, runs_dir=tmp_path / "none")


def test_without_a_spec_that_of_the_source(runs: Path) -> None:
    spec = transfer_spec(None, None, {"reuse": "hidden1"}, (), runs)
    assert (spec.name, [entry.units for entry in spec.model.hidden]) == ("first-transfer", [6, 5])
    assert spec.transfer is not None
    assert str(spec.transfer.from_).startswith(str(runs / "first"))
    written(runs, "second", {"hidden": [7]})
    newest = transfer_spec(None, None, {}, (), runs)
    assert newest.name == "second-transfer"
    for given in (
        transfer_spec(None, runs / "first", {}, (), runs),
        transfer_spec(None, None, {}, [f"transfer.from={runs / 'first'}"], runs),
        transfer_spec(None, None, {}, [f"transfer.from=[{runs / 'first'}]"], runs),
    ):
        assert (given.name, len(given.model.hidden)) == ("first-transfer", 2)
    named = transfer_spec(None, runs / "first", {}, ["name=mine"], runs)
    assert named.name == "mine"


def test_a_long_name_stays_one(runs: Path) -> None:
    written(runs, "x" * 64, {"hidden": [6]})
    spec: Spec = transfer_spec(None, runs / ("x" * 64), {}, (), runs)
    assert spec.name == "x" * 55 + "-transfer"
