"""Searches by Optuna, on an engine that trains nothing, and twice on one that does."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, create_engine, event, inspect

from dnnrun.errors import Interrupted, ResumeError, RunFailed, SpecError
from dnnrun.spec.load import load_mapping
from dnnrun.spec.space import Halving
from dnnrun.store.run import runs_of
from dnnrun.sweep.results import table_of
from dnnrun.sweep.run import Listener, SweepRun, run_sweep
from dnnrun.sweep.search.study import _storage, without_password
from tests.sweep.pretend import Pretend

BASE: dict[str, Any] = {
    "name": "small",
    "data": {"source": "digits", "limit": 200},
    "model": {"hidden": [8]},
    "train": {"epochs": 9, "batch_size": 50},
}
RANGES = {"train.optimizer.learning_rate": {"log": [0.001, 0.1]}, "model.activation": ["relu", "elu"]}


def spec(**sweep: Any) -> dict[str, Any]:
    return {**BASE, "sweep": {"ranges": RANGES, "trials": 8, "confirm": 0, **sweep}}


def by_rate(mapping: dict[str, Any]) -> float:
    """Best at 0.01, the upper end bad."""
    import math

    rate = mapping["train"]["optimizer"]["learning_rate"]["value"]
    return 0.9 - abs(math.log10(rate) + 2) / 5 + mapping["seed"] / 1000


def study_of(found: SweepRun) -> optuna.Study:
    return optuna.load_study(study_name="small", storage=found.storage())


def test_tpe_runs_the_trials_planned_and_optimises_the_mean_over_seeds(tmp_path: Path) -> None:
    engine = Pretend(by_rate)
    found = run_sweep(load_mapping(spec(search="tpe", seeds=2)), engine, runs=tmp_path)
    assert len(engine.ran) == len(set(engine.ran)) == 16
    study = study_of(found)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 8
    best = found.ranked()[0]
    assert best.estimate is not None
    assert study.best_value == pytest.approx(best.estimate.mean)
    assert study.best_params["train.optimizer.learning_rate"] == best.setting["train.optimizer.learning_rate"]


def test_a_search_is_a_function_of_the_seed(tmp_path: Path) -> None:
    def proposed(folder: str, seed: int) -> list[Any]:
        base = load_mapping({**spec(search="tpe"), "seed": seed})
        return [o.trial.setting for o in run_sweep(base, Pretend(by_rate), runs=tmp_path / folder).of("search")]

    assert proposed("a", 1) == proposed("b", 1) != proposed("c", 2)


def test_a_loss_is_minimised(tmp_path: Path) -> None:
    found = run_sweep(load_mapping(spec(search="tpe", metric="validation.loss")), Pretend(by_rate), runs=tmp_path)
    assert study_of(found).direction.name == "MINIMIZE"
    means = [entry.estimate.mean for entry in found.ranked() if entry.estimate]
    assert means == sorted(means)


def test_halving_lets_the_best_third_go_on(tmp_path: Path) -> None:
    assert Halving(first=1, factor=3).rungs(20) == [1, 3, 9, 20]
    assert Halving(first=5).rungs(5) == [5]
    engine = Pretend(by_rate)
    found = run_sweep(load_mapping(spec(search="asha", seeds=2, trials=14)), engine, runs=tmp_path)
    states = [trial.state.name for trial in study_of(found).trials]
    assert len(states) == 14
    assert 1 <= states.count("COMPLETE") < 8
    assert states.count("COMPLETE") + states.count("PRUNED") == 14
    assert len(found.of("search")) == 28
    ranked = found.ranked()
    assert ranked[0].epochs is None
    assert {entry.epochs for entry in ranked} >= {None, 1}
    assert table_of(ranked, "validation.accuracy")[-1][-1] == "pruned after 1 epoch"
    kept = [entry.estimate.mean for entry in ranked if entry.epochs is None and entry.estimate]
    cut = [entry.estimate.mean for entry in ranked if entry.epochs == 1 and entry.estimate]
    assert max(kept) > max(cut)


def test_a_setting_whose_seed_fails_is_told_to_the_study_as_failed(tmp_path: Path) -> None:
    def score(mapping: dict[str, Any]) -> float | str:
        return "it broke" if mapping["model"]["activation"]["type"] == "elu" else by_rate(mapping)

    found = run_sweep(load_mapping(spec(search="tpe")), Pretend(score), runs=tmp_path)
    for trial in study_of(found).trials:
        assert trial.state.name == ("FAIL" if json.loads(trial.params["model.activation"]) == "elu" else "COMPLETE")


def test_a_setting_that_is_proposed_again_is_not_run_again(tmp_path: Path) -> None:
    engine = Pretend(lambda mapping: 0.5)
    few = {**spec(search="tpe"), "sweep": {**spec()["sweep"], "search": "tpe", "ranges": {"train.l2": [0.0, 0.1]}}}
    found = run_sweep(load_mapping(few), engine, runs=tmp_path)
    assert len(engine.ran) == 2
    assert [trial.state.name for trial in study_of(found).trials] == ["COMPLETE"] * 8


@pytest.mark.parametrize("search", ["tpe", "asha"])
def test_a_search_cut_short_goes_on_where_it_was(tmp_path: Path, search: str) -> None:
    stopped: list[int] = []

    class Stopping(Listener):
        def ended(self, outcome: Any, done: int, total: int | None) -> None:
            if done == 5:
                stopped.append(15)

    def stop() -> int | None:
        return stopped[0] if stopped else None

    base = load_mapping(spec(search=search, seeds=2))
    with pytest.raises(Interrupted, match="trials done; go on with --resume"):
        run_sweep(base, Pretend(by_rate), runs=tmp_path, stop=stop, heard=Stopping())
    found = run_sweep(base, Pretend(by_rate), runs=tmp_path, resume=True)
    study = study_of(found)
    assert len(study.trials) == 8
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    assert len(found.of("search")) == 16
    more = load_mapping(spec(search=search, seeds=2, trials=10))
    assert len(run_sweep(more, Pretend(by_rate), runs=tmp_path, resume=True).of("search")) == 20


def test_what_a_kill_left_untold_is_told_on_resume(tmp_path: Path) -> None:
    """The sweep has kept a trial's end, and the study does not know it yet."""
    base = load_mapping(spec(search="tpe"))
    found = run_sweep(base, Pretend(by_rate), runs=tmp_path)
    with sqlite3.connect(found.folder / "study.db") as database:
        database.execute("update trials set state = 'RUNNING' where number = 7")
        database.execute("delete from trial_values where trial_id = 8")
    unfinished = found.folder / ".tmp-0123"
    unfinished.write_text("half of a table of results")
    engine = Pretend(by_rate)
    run_sweep(base, engine, runs=tmp_path, resume=True)
    assert engine.ran == []
    assert [trial.state.name for trial in study_of(found).trials] == ["COMPLETE"] * 8
    assert not unfinished.exists()


def test_a_storage_that_cannot_be_used_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = load_mapping(spec(search="tpe", storage="nonsense://x"))
    with pytest.raises(SpecError, match=r"sweep\.storage: nonsense://x cannot be used .*wanted a URL as sqlite"):
        run_sweep(bad, Pretend(by_rate), runs=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_another_spec_is_not_gone_on_with(tmp_path: Path) -> None:
    shared = spec(search="tpe", storage=f"sqlite:///{tmp_path / 'shared.db'}")
    run_sweep(load_mapping(shared), Pretend(by_rate), runs=tmp_path / "a")
    more = {**shared, "sweep": {**shared["sweep"], "trials": 9, "confirm": 1}}
    engine = Pretend(by_rate)
    run_sweep(load_mapping(more), engine, runs=tmp_path / "b")
    assert len(engine.ran) == 2  # the ninth, and its confirmation
    other = {**shared, "train": {"epochs": 5, "batch_size": 50}}
    with pytest.raises(ResumeError, match=r"'small' there is another spec's:\n  train\.epochs: 9 -> 5\nundo this"):
        run_sweep(load_mapping(other), Pretend(by_rate), runs=tmp_path / "c")


def test_a_storage_that_fails_on_the_way_ends_the_sweep_and_a_resume_goes_on(tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "shared.db"
    base = load_mapping(spec(search="tpe", storage=f"sqlite:///{file}"))
    hidden: list[bytes] = []

    class Losing(Listener):
        def ended(self, outcome: Any, done: int, total: int | None) -> None:
            if done == 3:
                hidden.append(file.read_bytes())
                with sqlite3.connect(file) as database:
                    database.execute("drop table trial_user_attributes")

    with pytest.raises(RunFailed, match=r"shared\.db: the study's storage fails \(.*\); go on with --resume"):
        run_sweep(base, Pretend(by_rate), runs=tmp_path, heard=Losing())
    file.write_bytes(hidden[0])
    found = run_sweep(base, Pretend(by_rate), runs=tmp_path, resume=True)
    assert len(found.of("search")) == 8


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    assert without_password("sqlite:///a@b.db") == "sqlite:///a@b.db"
    bad = load_mapping(spec(search="tpe", storage="nonsense://me:secret@host/x"))
    with pytest.raises(SpecError, match=r"nonsense://me@host/x cannot be used") as caught:
        run_sweep(bad, Pretend(by_rate), runs=tmp_path)
    assert "secret" not in str(caught.value)


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        Exception, match=r"sweep\.search: tpe wants optuna, which is not installed; pip install 'dnnrun"
    ):
        run_sweep(load_mapping(spec(search="tpe")), Pretend(by_rate), runs=tmp_path)


REAL = {**BASE, "train": {"epochs": 3, "batch_size": 50}}


def command(spec: Path, runs: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "dnnrun", "sweep", str(spec), "--runs-dir", str(runs), "--json", *more]


def test_a_storage_appears_with_all_its_tables_or_not_at_all(tmp_path: Path) -> None:
    """Cut short between a table and its unique index, a study would begin anew with every sweep."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    done = 0
    while not (tmp_path / "study.db").exists():
        left = done

        def cut(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        event.listen(Engine, "after_cursor_execute", cut)
        with pytest.raises(KeyboardInterrupt):
            _storage(url)
        event.remove(Engine, "after_cursor_execute", cut)
        done += 1
    assert done > 50
    assert list(tmp_path.iterdir()) == [tmp_path / "study.db"]
    shutil.copy(tmp_path / "study.db", tmp_path / "copy.db")  # what was cut short here may still hold its locks
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    for _ in range(2):
        optuna.create_study(study_name="one", storage=url, load_if_exists=True)
    assert optuna.get_all_study_names(url) == ["one"]
    assert [index["unique"] for index in inspect(create_engine(url)).get_indexes("studies")] == [1]


def test_what_the_database_says_is_told(tmp_path: Path) -> None:
    engine = Pretend(by_rate)
    base = load_mapping(spec(search="tpe", storage=f"sqlite:///{tmp_path / 'study.db'}"))
    run_sweep(base, engine, runs=tmp_path)
    with pytest.raises(RunFailed, match=r"begun all those planned, .* raise sweep\.trials"):
        run_sweep(base, engine, runs=tmp_path)
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("alter table trials drop column datetime_start")
    with pytest.raises(RunFailed, match=r"no such column: .*datetime_start"):
        run_sweep(base, engine, runs=tmp_path)


@pytest.mark.slow
def test_many_processes_begin_one_study_at_once(tmp_path: Path) -> None:
    """Without trying again most of them end with an error: Optuna makes the tables of a new storage unguarded."""
    code = "import sys; from dnnrun.sweep.search import study; study._storage(sys.argv[1]).get_all_studies()"
    line = [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'new.db'}"]
    processes = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    talk = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, talk


@pytest.mark.slow
def test_two_processes_share_one_study(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    sweep = {"ranges": RANGES, "search": "tpe", "trials": 10, "confirm": 0, "storage": storage}
    (tmp_path / "small.yaml").write_text(json.dumps({**REAL, "sweep": sweep}))
    both = [
        subprocess.Popen(command(tmp_path / "small.yaml", tmp_path / name, "--jobs", "2"), stdout=subprocess.PIPE)
        for name in ("a", "b")
    ]
    told = [json.loads(process.communicate(timeout=300)[0]) for process in both]
    counts = [len(one["trials"]) for one in told]
    assert sum(counts) == 10
    assert min(counts) >= 1
    study = optuna.load_study(study_name="small", storage=storage)
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len(done) == 10
    values = sorted(trial.value for trial in done if trial.value is not None)
    assert values == sorted(row["validation.accuracy"] for one in told for row in one["trials"])


@pytest.mark.slow
def test_a_halving_search_killed_again_and_again_ends_as_planned(tmp_path: Path) -> None:
    sweep = {"ranges": RANGES, "search": "asha", "trials": 8, "seeds": 2, "confirm": 0}
    (tmp_path / "small.yaml").write_text(json.dumps({**REAL, "sweep": sweep}))
    run = command(tmp_path / "small.yaml", tmp_path / "runs")
    rng = random.Random(1)
    folder = tmp_path / "runs" / "small"
    for _ in range(10):
        process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.3)
        if (folder / "latest-sweep").exists() and "--resume" not in run:
            run.append("--resume")
    done = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert len(trials) == 16
    assert {trial["status"] for trial in trials} == {"done", "pruned"}
    kept = [one for trial in (folder / "latest-sweep" / "trials").iterdir() for one in runs_of(trial)]
    assert len(kept) == 16
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{folder / 'latest-sweep' / 'study.db'}")
    assert [trial.state.name in ("COMPLETE", "PRUNED") for trial in study.trials] == [True] * 8
