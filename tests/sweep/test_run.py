from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dnnrun.errors import Interrupted, ResumeError, RunFailed
from dnnrun.spec.load import load_mapping
from dnnrun.store.run import runs_of
from dnnrun.sweep.engine.local import LocalProcesses
from dnnrun.sweep.results import table_of
from dnnrun.sweep.run import Listener, run_sweep
from tests.sweep.pretend import Pretend

BASE: dict[str, Any] = {
    "name": "small",
    "data": {"source": "digits", "limit": 200},
    "model": {"hidden": [8]},
    "train": {"epochs": 2, "batch_size": 50},
    "sweep": {"grid": {"model.activation": ["relu", "elu"]}, "seeds": 2},
}


def by_activation(spec: dict[str, Any]) -> float:
    return {"relu": 0.8, "elu": 0.9}[spec["model"]["activation"]["type"]] + spec["seed"] / 1000


def test_the_best_setting_is_confirmed_on_fresh_seeds_and_only_it_sees_the_test_rows(tmp_path: Path) -> None:
    found = run_sweep(load_mapping(BASE), Pretend(by_activation), runs=tmp_path)
    assert [entry.setting["model.activation"] for entry in found.ranked()] == ["elu", "relu"]
    assert {outcome.trial.seed for outcome in found.of("confirm")} == {2, 3}
    assert {outcome.trial.setting["model.activation"] for outcome in found.of("confirm")} == {"elu"}
    assert all(outcome.value("test.accuracy") is None for outcome in found.of("search"))
    assert all(outcome.value("test.accuracy") is not None for outcome in found.of("confirm"))
    with (found.folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert json.loads((found.folder / "sweep.json").read_text())["status"] == "done"


def test_a_failed_trial_is_kept_and_the_sweep_goes_on(tmp_path: Path) -> None:
    def score(spec: dict[str, Any]) -> float | str:
        return "the loss is not finite" if spec["seed"] == 1 else by_activation(spec)

    found = run_sweep(load_mapping(BASE), Pretend(score), runs=tmp_path)
    assert [entry.failed for entry in found.ranked()] == [1, 1]
    assert sum(outcome.status == "failed" for outcome in found.of("search")) == 2


def test_a_setting_that_failed_on_a_seed_never_comes_first_and_one_that_always_failed_is_listed(tmp_path: Path) -> None:
    def score(spec: dict[str, Any]) -> float | str:
        activation = spec["model"]["activation"]["type"]
        if activation == "tanh" or (activation == "elu" and spec["seed"] == 0):
            return "the loss is not finite"
        return {"relu": 0.8, "elu": 0.9}[activation]

    grid = {"model.activation": ["tanh", "elu", "relu"]}
    found = run_sweep(load_mapping({**BASE, "sweep": {"grid": grid, "seeds": 2}}), Pretend(score), runs=tmp_path)
    assert [entry.setting["model.activation"] for entry in found.ranked()] == ["relu", "elu", "tanh"]
    rows = table_of(found.ranked(), "validation.accuracy")[1:]
    assert [(row[1], row[-1]) for row in rows] == [
        ("0.8000 +-0.0000", "first"),
        ("0.9000", "failed on some seeds"),
        ("-", "failed on every seed"),
    ]
    assert {outcome.trial.setting["model.activation"] for outcome in found.of("confirm")} == {"relu"}


def test_fail_fast_stops_at_the_first(tmp_path: Path) -> None:
    engine = Pretend(lambda spec: "it broke")
    with pytest.raises(RunFailed, match="it broke"):
        run_sweep(load_mapping(BASE), engine, runs=tmp_path, fail_fast=True)
    assert len(engine.ran) == 1


def test_when_all_fail_the_sweep_has_failed(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="every trial failed, the first with: it broke"):
        run_sweep(load_mapping(BASE), Pretend(lambda spec: "it broke"), runs=tmp_path)


def test_a_resumed_sweep_runs_each_trial_once(tmp_path: Path) -> None:
    stopped: list[int] = []
    first = Pretend(by_activation)

    class Stopping(Listener):
        def ended(self, outcome: Any, done: int, total: int | None) -> None:
            if done == 3:
                stopped.append(15)

    def stop() -> int | None:
        return stopped[0] if stopped else None

    with pytest.raises(Interrupted) as caught:
        run_sweep(load_mapping(BASE), first, runs=tmp_path, stop=stop, heard=Stopping())
    assert caught.value.exit_code == 143
    second = Pretend(by_activation)
    found = run_sweep(load_mapping(BASE), second, runs=tmp_path, resume=True)
    assert len(first.ran) == 3
    assert len(second.ran) == 3
    assert not set(first.ran) & set(second.ran)
    assert len(found.outcomes) == 6


def test_a_resume_wants_the_same_spec(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="no sweep to resume"):
        run_sweep(load_mapping(BASE), Pretend(by_activation), runs=tmp_path, resume=True)
    run_sweep(load_mapping(BASE), Pretend(by_activation), runs=tmp_path)
    changed = {**BASE, "sweep": {**BASE["sweep"], "seeds": 3}}
    with pytest.raises(ResumeError, match=r"sweep\.seeds: 2 -> 3"):
        run_sweep(load_mapping(changed), Pretend(by_activation), runs=tmp_path, resume=True)


def weights(run: Path) -> bytes:
    return (run / "checkpoints" / "last" / "model.safetensors").read_bytes()


def test_trials_give_the_bits_of_the_same_trial_alone_on_one_thread(tmp_path: Path) -> None:
    found = run_sweep(load_mapping(BASE), LocalProcesses(2), runs=tmp_path)
    outcome = found.of("confirm")[0]
    assert outcome.result is not None
    spec = tmp_path / "alone.yaml"
    base = {key: value for key, value in BASE.items() if key != "sweep"}
    base["model"] = {**base["model"], "activation": outcome.trial.setting["model.activation"]}
    spec.write_text(json.dumps({**base, "name": "alone", "seed": outcome.trial.seed}))
    command = [sys.executable, "-m", "dnnrun", "train", str(spec), "train.threads=1", "--runs-dir", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert weights(runs_of(tmp_path / "alone")[-1].path) == weights(Path(outcome.result["run"]))


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_ends_with_the_planned_trials(tmp_path: Path) -> None:
    spec = tmp_path / "small.yaml"
    spec.write_text(json.dumps({**BASE, "sweep": {**BASE["sweep"], "seeds": 4, "confirm": 0}}))
    command = [sys.executable, "-m", "dnnrun", "sweep", str(spec), "--runs-dir", str(tmp_path / "runs"), "--json"]
    rng = random.Random(0)
    folder = tmp_path / "runs" / "small"
    for _ in range(10):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 4))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.3)
        if (folder / "latest-sweep").exists() and "--resume" not in command:  # a slow machine may not have begun it
            command.append("--resume")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert len(trials) == 8
    assert {trial["status"] for trial in trials} == {"done"}
    kept = [run for trial in (folder / "latest-sweep" / "trials").iterdir() for run in runs_of(trial)]
    assert len(kept) == 8
