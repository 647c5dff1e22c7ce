"""Stages of a run: what they leave, that they go on where they were cut, and what the supervised part takes over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun import files
from dnnrun.errors import DnnrunError, Interrupted, ResumeError
from dnnrun.experiment import Result
from dnnrun.experiment import train as run
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store import events
from dnnrun.store.find import find_checkpoint
from tests.smallruns import Collected, final_bytes, outcome, untimed
from tests.test_resume import stop_after

SCHEMES: dict[str, dict[str, Any]] = {
    "autoencoder": {"type": "autoencoder", "noise": "mask", "l2": 0.001},
    "tied": {"type": "autoencoder", "tied": True, "greedy": False, "loss": "cross_entropy"},
    "rbm": {"type": "rbm", "k": 2, "persistent": True, "optimizer": {"type": "momentum", "learning_rate": 0.05}},
    "labels": {"type": "labels", "groups": {"low": [0, 1, 2, 3, 4], "high": [5, 6, 7, 8, 9]}},
    "corruption": {"type": "corruption", "corruption": "permute"},
    "margin": {"type": "margin", "corruption": {"type": "block_swap", "size": 3}},
    "pairs": {"type": "pairs", "joint": 4},
}
STAGES = {"autoencoder": ["autoencoder:hidden1", "autoencoder:hidden2"], "rbm": ["rbm:hidden1", "rbm:hidden2"]}


def spec(scheme: str | dict[str, Any], *overrides: str) -> Spec:
    chosen = SCHEMES[scheme] if isinstance(scheme, str) else scheme
    mapping = {
        "name": "small",
        "seed": 3,
        "data": {"source": "digits", "validation": 0.2, "limit": 120},
        "model": {"hidden": [8, 6], "activation": "logistic"},
        "train": {"batch_size": 20, "epochs": 2, "checkpoint_every": {"steps": 4}},
        "pretrain": {"epochs": 2, **chosen},
    }
    return load_mapping(mapping, overrides)


def trained(spec: Spec, runs: Path, compiled: Path, **options: Any) -> Result:
    return run(spec, runs=runs, cache=compiled, **options)


def stages_of(result: Result) -> list[Path]:
    return sorted((result.run / "stages").iterdir())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_cut_in_any_stage_equals_uncut(scheme: str, tmp_path: Path, compiled: Path) -> None:
    whole = trained(spec(scheme), tmp_path / "a", compiled)
    stops: list[Interrupted] = []
    while True:
        try:
            stop = stop_after(2 if len(stops) < 3 else 4)
            result = trained(spec(scheme), tmp_path / "b", compiled, resume=bool(stops), stop=stop)
            break
        except Interrupted as stopped:
            stops.append(stopped)
    assert len(stops) >= 3
    assert {stopped.result["status"] for stopped in stops} == {"interrupted"}
    assert all(stopped.result["stages"] for stopped in stops)
    assert outcome(result.run) == outcome(whole.run)
    names = [folder.name for folder in stages_of(whole)]
    assert [folder.name for folder in stages_of(result)] == names
    for name in names:
        assert final_bytes(result.run / "stages" / name) == final_bytes(whole.run / "stages" / name)
        assert untimed(result.run / "stages" / name) == untimed(whole.run / "stages" / name)
    assert [stage["stage"] for stage in whole.stages or ()] == STAGES.get(scheme, [spec(scheme).pretrain.type])  # type: ignore[union-attr]
    assert result.metrics == whole.metrics


def test_killed_at_any_write_a_run_goes_on_to_the_same(tmp_path: Path, compiled: Path) -> None:
    class Crash(BaseException):
        pass

    whole = trained(spec("autoencoder"), tmp_path / "a", compiled)
    seen: list[str] = []

    def observe(operation: str, path: Path) -> None:
        seen.append(operation)
        if len(seen) in crashes:
            raise Crash

    crashes = {40, 130, 260, 420, 600}
    files.observe = observe
    resume, ends = False, 0
    while True:
        try:
            result = trained(spec("autoencoder"), tmp_path / "b", compiled, resume=resume)
            break
        except Crash:
            ends += 1
            resume = (tmp_path / "b" / "small" / "latest").exists()
    assert ends >= 3
    assert outcome(result.run) == outcome(whole.run)


def test_the_supervised_part_begins_with_what_the_last_stage_ended_with(tmp_path: Path, compiled: Path) -> None:
    overrides = ("transfer={from: pretrain, freeze: 'hidden.*'}",)
    result = trained(spec("autoencoder", *overrides), tmp_path, compiled)
    last = find_checkpoint(stages_of(result)[-1]).model()
    final = find_checkpoint(result.run).model()
    for name in ("hidden1/kernel", "hidden1/bias", "hidden2/kernel", "hidden2/bias"):
        assert np.array_equal(final[name], last[name])
    assert result.transfer is not None
    assert result.transfer["frozen"] == ["hidden1", "hidden2"]
    assert result.transfer["cached_through"] == "hidden2"
    assert "decoder1/kernel" in last
    assert "decoder1/kernel" not in final


def test_lower_layers_stay_as_their_stage_left_them(tmp_path: Path, compiled: Path) -> None:
    result = trained(spec("rbm"), tmp_path, compiled, only_stages=True)
    first, second = (find_checkpoint(folder).model() for folder in stages_of(result))
    assert np.array_equal(first["hidden1/kernel"], second["hidden1/kernel"])
    assert not np.array_equal(first["hidden1/kernel"], 0 * first["hidden1/kernel"])
    assert json.loads((stages_of(result)[1] / "meta.json").read_text())["frozen_unchanged"] is True


def test_pretraining_alone_gives_a_source_of_layers(tmp_path: Path, compiled: Path) -> None:
    source = trained(spec("corruption", "name=source"), tmp_path, compiled, only_stages=True)
    assert source.metrics.keys() == {"train", "validation", "test"}
    assert source.stages is not None
    (stage,) = source.stages
    assert stage["stage"] == "corruption"
    assert stage["epochs"] == 2
    assert {"accuracy", "loss"} <= stage["metrics"]["first"].keys() & stage["metrics"]["last"].keys()
    new = spec("corruption", "pretrain=null", f"transfer={{from: {tmp_path / 'source'}, train: outputs}}")
    high = trained(new, tmp_path, compiled)
    assert np.array_equal(
        find_checkpoint(high.run).model()["hidden2/kernel"], find_checkpoint(source.run).model()["hidden2/kernel"]
    )
    assert high.transfer is not None
    assert high.transfer["unused"] == []


def test_train_goes_on_after_pretrain(tmp_path: Path, compiled: Path) -> None:
    whole = trained(spec("margin"), tmp_path / "a", compiled)
    alone = trained(spec("margin"), tmp_path / "b", compiled, only_stages=True)
    again = trained(spec("margin"), tmp_path / "b", compiled, only_stages=True, resume=True)
    assert again == alone
    result = trained(spec("margin"), tmp_path / "b", compiled, resume=True)
    assert result.run == alone.run
    assert outcome(result.run) == outcome(whole.run)
    with pytest.raises(ResumeError, match="the supervised part has begun; go on with dnnrun train --resume"):
        trained(spec("margin"), tmp_path / "b", compiled, only_stages=True, resume=True)


def test_cached_equals_uncached_but_for_rounding(tmp_path: Path, compiled: Path) -> None:
    cached, uncached = (
        trained(spec("autoencoder", f"pretrain.cache={cache}"), tmp_path / cache, compiled, only_stages=True)
        for cache in ("auto", "off")
    )
    a, b = (find_checkpoint(stages_of(result)[1]).model() for result in (cached, uncached))
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_every_stage_has_events_of_its_own(tmp_path: Path, compiled: Path) -> None:
    watcher = Collected()
    result = trained(spec("rbm"), tmp_path, compiled, watcher=watcher)
    for folder, name in zip(stages_of(result), STAGES["rbm"], strict=True):
        found = events.read(folder / "metrics.jsonl")
        assert [event["event"] for event in found] == ["epoch", "epoch", "final"]
        assert {event["stage"] for event in found[:2]} == {name}
        assert {"reconstruction_mse", "free_energy", "pseudo_likelihood"} <= found[0]["train"].keys()
        assert "free_energy_gap" in found[1]["validation"]
    assert "log_likelihood" in events.read(stages_of(result)[0] / "metrics.jsonl")[-1]["test"]
    assert all("stage" not in event for event in events.read(result.run / "metrics.jsonl"))
    assert "stage 1 of 2: rbm:hidden1" in watcher.said
    assert "stage 1 of 2: rbm:hidden1" in (result.run / "out.log").read_text()


@pytest.mark.parametrize("scheme", ["autoencoder", "rbm"])
def test_pictures_are_png_files(scheme: str, tmp_path: Path, compiled: Path) -> None:
    result = trained(spec(scheme), tmp_path, compiled, only_stages=True)
    names = {path.name for path in stages_of(result)[0].glob("*.png")}
    assert names == {"filters.png", "reconstructions.png" if scheme == "autoencoder" else "samples.png"}
    for path in stages_of(result)[0].glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_unlabelled_rows_from_elsewhere(tmp_path: Path, compiled: Path) -> None:
    more = "pretrain.data={source: digits, validation: 0.2, scale: standardize}"
    result = trained(spec("autoencoder", more), tmp_path, compiled)
    stage, final = find_checkpoint(stages_of(result)[0]), find_checkpoint(result.run)
    assert stage.manifest["preprocessing"]["type"] == "standardize"
    assert final.manifest["preprocessing"] == stage.manifest["preprocessing"]
    assert stage.manifest["data_hash"] != final.manifest["data_hash"]


def test_labels_from_a_file(tmp_path: Path, compiled: Path) -> None:
    path = tmp_path / "parity.npy"
    np.save(path, np.arange(1438) % 3)
    result = trained(spec({"type": "labels", "file": str(path)}), tmp_path, compiled, only_stages=True)
    assert result.metrics.keys() == {"train", "validation"}  # the test rows have no such labels
    assert find_checkpoint(stages_of(result)[0]).manifest["classes"] == ["0", "1", "2"]


BAD: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "no layer": (
        {"type": "autoencoder", "layers": "hidden9"},
        (),
        "pretrain.layers: 'hidden9' matches no hidden layer; the hidden layers are hidden1, hidden2",
    ),
    "not the first": (
        {"type": "autoencoder", "layers": "hidden2"},
        (),
        "pretrain.layers: 'hidden2' takes hidden2 and leaves out hidden1 below; "
        "layers are pretrained from the first one up: take it in",
    ),
    "rbm of relu": (
        {"type": "rbm"},
        ("model.activation=relu",),
        "pretrain: the hidden units of an rbm are logistic, with a bias and nothing else, and of hidden1: "
        "its activation is relu; use activation: logistic, batch_norm: false and bias: true",
    ),
    "real inputs": (
        {"type": "rbm"},
        ("data.scale=none",),
        "pretrain.visible: bernoulli wants inputs from 0 to 1, and these go from 0 to 16; "
        "use visible: gaussian, or another data.scale",
    ),
    "cross-entropy of real inputs": (
        {"type": "autoencoder", "loss": "cross_entropy"},
        ("data.scale=none",),
        "pretrain.loss: cross_entropy wants inputs from 0 to 1, and these go from 0 to 16; "
        "use loss: mse, or another data.scale",
    ),
    "cross-entropy of relu": (
        {"type": "autoencoder", "loss": "cross_entropy"},
        ("model.activation=relu",),
        "pretrain.loss: cross_entropy wants inputs from 0 to 1, and hidden2 gets those of relu; "
        "use loss: mse, activation: logistic or greedy: false",
    ),
    "large blocks": (
        {"type": "margin", "corruption": {"type": "block_swap", "size": 5}},
        (),
        "block_swap: size 5 gives one block of 8x8; take a smaller one",
    ),
    "blocks of a layer's outputs": (
        {"type": "autoencoder", "noise": {"type": "block_swap", "size": 2}},
        (),
        "block_swap: wants images, and this data is a table; use column_swap",
    ),
    "class in no group": (
        {"type": "labels", "groups": {"a": [0, 1], "b": [2, 3]}},
        (),
        "pretrain.groups: 4, 5, 6, 7, 8, 9 is in no group; put every class into one",
    ),
    "no file": (
        {"type": "labels", "file": "absent.npy"},
        (),
        "pretrain.file: absent.npy: not found; wanted a .npy file of labels",
    ),
    "large batch": (
        {"type": "autoencoder", "batch_size": 500},
        (),
        "pretrain.batch_size: 500 is more than the 120 training rows; use a smaller one",
    ),
    "another width": (
        {"type": "autoencoder", "data": {"source": "mnist", "limit": 100}},
        (),
        "pretrain.data: rows of 784 features, and data has 64; pretrain on rows of the same columns",
    ),
    "unpretrained": (
        {"type": "autoencoder", "layers": "hidden1"},
        ("transfer={from: pretrain}",),
        "transfer.reuse: 'hidden.*' takes hidden2, which is not pretrained; pretrained are hidden1: narrow the pattern",
    ),
    "unfreezing what is free": (
        {"type": "autoencoder"},
        ("transfer={from: pretrain, freeze: hidden1, unfreeze: {hidden2: 1}}",),
        "transfer.unfreeze: hidden2 is not frozen; frozen are hidden1. Leave it out, or freeze it first",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_told_before_anything_is_trained(name: str, tmp_path: Path, compiled: Path) -> None:
    scheme, overrides, wanted = BAD[name]
    if name == "another width" and not _mnist():
        pytest.skip("no MNIST here")
    from dnnrun.data.places import find_places

    with pytest.raises(DnnrunError) as caught:
        trained(spec(scheme, *overrides), tmp_path, compiled, places=find_places(None))
    assert str(caught.value) == wanted
    assert not list(tmp_path.rglob("meta.json"))


def _mnist() -> bool:
    from dnnrun.data.places import find_places

    return any((folder / "mnist").is_dir() for folder in find_places(None).folders)


def test_two_origins_are_refused() -> None:
    with pytest.raises(DnnrunError, match="pretrain and transfer both give the layers their first weights"):
        spec("autoencoder", "transfer={from: runs/other}")
    with pytest.raises(DnnrunError, match=r"transfer\.from is pretrain, and there is no pretrain section"):
        spec("autoencoder", "transfer={from: pretrain}", "pretrain=null")


def test_changed_rows_are_refused(tmp_path: Path, compiled: Path) -> None:
    path = tmp_path / "labels.npy"
    np.save(path, np.arange(1438) % 3)
    scheme = {"type": "labels", "file": str(path)}
    trained(spec(scheme), tmp_path / "a", compiled, only_stages=True)
    np.save(path, np.arange(1438) % 2)
    with pytest.raises(ResumeError, match="the data has changed since this stage began"):
        trained(spec(scheme), tmp_path / "a", compiled, resume=True)
