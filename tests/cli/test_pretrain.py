"""The verbs pretrain and predict, and train with stages, as a person meets them; a run killed in a stage."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.pretrain.test_stages import spec
from tests.smallruns import command, environment, finished, outcome, spec_file


def test_train_tells_its_stages_as_json(tmp_path: Path, compiled: Path) -> None:
    spec_file(spec("rbm"), tmp_path)
    done = finished(compiled, "train", "small.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [stage["stage"] for stage in result["stages"]] == ["rbm:hidden1", "rbm:hidden2"]
    for stage in result["stages"]:
        assert stage["epochs"] == 2
        assert stage["seconds"] > 0
        for moment in ("first", "last"):
            assert {"reconstruction_mse", "pseudo_likelihood", "validation"} <= stage["metrics"][moment].keys()
        assert "test" in stage["metrics"]["last"]
    assert result["metrics"]["test"].keys() == {"loss", "accuracy"}
    assert result["transfer"]["reused"] == ["hidden1", "hidden2"]
    assert "stage        learns" in done.stderr
    assert "rbm:hidden2  epoch 2/2  loss" in done.stderr


def test_pretrain_then_transfer(tmp_path: Path, compiled: Path) -> None:
    spec_file(spec("pairs", "name=pairs"), tmp_path)
    shown = finished(compiled, "pretrain", "pairs.yaml", "--dry-run", "--json", cwd=tmp_path)
    (stage,) = json.loads(shown.stdout)["stages"]
    assert stage["stage"] == "pairs"
    assert not (tmp_path / "runs").exists()
    done = finished(compiled, "pretrain", "pairs.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    few = spec("pairs", "name=few", "pretrain=null", "data.limit=60")
    spec_file(few, tmp_path)
    words = ("transfer", "few.yaml", "--from", "runs/pairs", "--reuse", "hidden.*", "--json")
    result = finished(compiled, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["transfer"]["unused"] == []
    refused = finished(compiled, "eval", "runs/pairs", cwd=tmp_path)
    assert refused.returncode == 2
    assert "pretrained layers (pairs), no outputs yet; train on them with dnnrun transfer" in refused.stderr
    np.save(tmp_path / "rows.npy", np.zeros((2, 64)))
    words = ("predict", "runs/pairs", "rows.npy", "--against", "rows.npy")
    assert finished(compiled, *words, cwd=tmp_path).stdout.splitlines()[0] == "row  reference  probability"
    without = finished(compiled, "predict", "runs/pairs", "rows.npy", cwd=tmp_path)
    assert without.returncode == 2
    assert "--against REFERENCES.npy: missing" in without.stderr
    listed = finished(compiled, "runs", cwd=tmp_path)
    assert "pairs" in listed.stdout


def test_pretrain_wants_a_section(tmp_path: Path, compiled: Path) -> None:
    spec_file(spec("margin", "pretrain=null"), tmp_path)
    done = finished(compiled, "pretrain", "small.yaml", cwd=tmp_path)
    assert done.returncode == 2
    wanted = "pretrain: missing; wanted a pretrain: section, as {type: autoencoder}"
    assert done.stderr.strip() == wanted
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "stage", [pytest.param("1-autoencoder-hidden1", marks=pytest.mark.slow), "2-autoencoder-hidden2"]
)
def test_killed_in_a_stage(stage: str, tmp_path: Path, compiled: Path) -> None:
    """SIGKILL once the stage has a checkpoint; the run goes on to the bits of an unbroken one."""
    long = spec("autoencoder", "pretrain.epochs=30", "data.limit=400")
    for folder in (tmp_path / "whole", tmp_path / "killed"):
        folder.mkdir()
        spec_file(long, folder)
    whole = finished(compiled, "train", "small.yaml", "--json", cwd=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    line = command("train", "small.yaml")
    process = subprocess.Popen(
        line, cwd=tmp_path / "killed", env=environment(compiled), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    last = tmp_path / "killed" / "runs" / "small" / "latest" / "stages" / stage / "checkpoints" / "last"
    while process.poll() is None and not last.exists():
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    again = finished(compiled, "train", "small.yaml", "--resume", "--json", cwd=tmp_path / "killed")
    assert again.returncode == 0, again.stderr
    assert "resuming at step" in again.stderr
    runs = [Path(json.loads(done.stdout)["run"]) for done in (whole, again)]
    a, b = (tmp_path / folder / run for folder, run in zip(("whole", "killed"), runs, strict=True))
    assert outcome(a) == outcome(b)


def test_the_honest_question(tmp_path: Path, compiled: Path) -> None:
    spec_file(spec("autoencoder"), tmp_path)
    words = ("sweep", "small.yaml", "--against-scratch", "--seeds", "2", "--jobs", "2", "sweep.confirm=0")
    done = finished(compiled, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "with pretrain minus from scratch, validation.accuracy:" in done.stderr


def test_a_transfer_from_its_own_stages_has_no_plan_yet(tmp_path: Path, compiled: Path) -> None:
    spec_file(spec("margin", "transfer={from: pretrain}"), tmp_path)
    done = finished(compiled, "transfer", "small.yaml", "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert "its stages must run before there is a plan; dnnrun pretrain --dry-run shows them" in done.stderr
