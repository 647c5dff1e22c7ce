"""What a run leaves behind, what it tells, and what it refuses before it begins."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from dnnrun import assemble, files
from dnnrun.errors import DataError, DeviceError, DnnrunError, RunDirectoryError, SpecError
from dnnrun.spec.load import load
from dnnrun.store import events
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import runs_of
from tests.smallruns import RICH, Collected, small, trained


def test_a_run_leaves_what_the_format_says(tmp_path: Path, compiled: Path) -> None:
    watcher = Collected()
    spec = small()
    result = trained(spec, tmp_path, compiled, watcher=watcher)
    names = {path.name for path in result.run.iterdir()}
    assert names == {"spec.yaml", "metrics.jsonl", "meta.json", "out.log", "checkpoints", ".lock"}
    assert load(result.run / "spec.yaml") == spec
    assert (tmp_path / "small" / "latest").resolve() == result.run
    folders = {path.name for path in (result.run / "checkpoints").iterdir()}
    assert folders == {"last", "best", "step-00000028", "step-00000030"}
    meta = json.loads((result.run / "meta.json").read_text())
    assert meta["status"] == "done"
    assert {"versions", "device", "threads", "git", "data", "started", "ended", "result"} <= meta.keys()
    assert meta["result"] == json.loads(json.dumps(result.as_json()))
    log = (result.run / "out.log").read_text()
    assert all(line in log for line in watcher.said)


def test_events_are_an_epoch_each_and_the_last(tmp_path: Path, compiled: Path) -> None:
    result = trained(small(), tmp_path, compiled)
    *epochs, final = events.read(result.run / "metrics.jsonl")
    assert [(event["event"], event["epoch"], event["step"]) for event in epochs] == [
        ("epoch", n, n * 10) for n in (1, 2, 3)
    ]
    for event in epochs:
        assert set(event) == {"event", "epoch", "step", "learning_rate", "train", "validation", "timing"}
        assert event["learning_rate"] == pytest.approx(0.1)
    assert final == {"event": "final", "step": 30, **result.metrics}


def test_the_same_spec_gives_the_same_bits_and_another_seed_others(tmp_path: Path, compiled: Path) -> None:
    a, b, c = (trained(small(*RICH, f"seed={seed}"), tmp_path, compiled) for seed in (1, 1, 2))
    found = [(x.run / "checkpoints" / "last" / "model.safetensors").read_bytes() for x in (a, b, c)]
    assert found[0] == found[1] != found[2]
    assert a.metrics == b.metrics


def test_the_best_epoch_is_the_one_with_the_lowest_validation_loss(tmp_path: Path, compiled: Path) -> None:
    result = trained(small("train.optimizer.learning_rate=1.5", "train.epochs=6"), tmp_path, compiled)
    losses = {
        e["step"]: e["validation"]["loss"] for e in events.read(result.run / "metrics.jsonl") if e["event"] == "epoch"
    }
    best = find_checkpoint(result.run / "best")
    assert best.step == min(losses, key=lambda step: losses[step])


def test_exact_statistics_are_those_of_best_and_last_alike(tmp_path: Path, compiled: Path) -> None:
    result = trained(small(*RICH), tmp_path, compiled)
    last, best = (find_checkpoint(result.run / which).model() for which in ("last", "best"))
    assert all(np.array_equal(last[name], best[name]) for name in last)


def refused(error: type[DnnrunError], tmp_path: Path, compiled: Path, *overrides: str) -> str:
    with pytest.raises(error) as caught:
        trained(small(*overrides), tmp_path, compiled)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_batch_larger_than_the_data(tmp_path: Path, compiled: Path) -> None:
    found = refused(DataError, tmp_path, compiled, "train.batch_size=201")
    assert found == "train.batch_size: 201 is more than the 200 training rows; use a smaller one"
    assert not runs_of(tmp_path / "small"), "what cannot begin leaves no run behind"
    found = refused(DataError, tmp_path, compiled, "train.batch_size=1000000000000")
    assert found == "train.batch_size: 1000000000000 is more than the 200 training rows; use a smaller one"


def test_more_steps_than_a_run_can_count(tmp_path: Path, compiled: Path) -> None:
    found = refused(SpecError, tmp_path, compiled, "train.epochs=214748365")
    assert found == (
        "train.epochs: found 214748365, which are 2,147,483,650 steps at 10 an epoch, wanted at most 2,147,483,647 "
        "steps, the most that a run can count; take fewer epochs"
    )


def test_a_monitor_without_validation(tmp_path: Path, compiled: Path) -> None:
    found = refused(DataError, tmp_path, compiled, "data.validation=0", "train.monitor=validation.loss")
    assert found == "train.monitor: validation.loss wants validation rows, and data.validation leaves none"


def test_layers_beyond_memory_are_refused_before_anything_is_allocated(
    tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble, "free_memory", lambda: 8 * 2**30)
    found = refused(DeviceError, tmp_path, compiled, "model.hidden=[10000000, 10000000]")
    assert found == (
        "model.hidden: a network of 100,000,760,000,010 parameters wants about 2,980,478.4 GiB to train, "
        "and 8.0 GiB are free; use smaller layers or a larger machine"
    )


def test_a_file_where_the_runs_should_be(tmp_path: Path, compiled: Path) -> None:
    (tmp_path / "runs").write_text("")
    found = refused(RunDirectoryError, tmp_path / "runs", compiled)
    place = tmp_path / "runs" / "small"
    assert (
        found == f"cannot create {place}: Not a directory (ENOTDIR); a part of this path is a file: choose another path"
    )


def test_a_folder_that_cannot_be_written(tmp_path: Path, compiled: Path) -> None:
    def deny(operation: str, path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    files.observe = deny
    found = refused(RunDirectoryError, tmp_path, compiled)
    assert found == (
        f"cannot create {tmp_path / 'small'}: Permission denied (EACCES); "
        "change its permissions or choose another folder"
    )


def test_an_absent_class_of_the_data(tmp_path: Path, compiled: Path) -> None:
    assert "there is no class 12" in refused(DataError, tmp_path, compiled, "data.classes=[1, 12]")
