from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dnnrun.store import events
from dnnrun.track import About, Tracking
from dnnrun.track.csv import Csv
from dnnrun.tracking import Trackers
from tests.smallruns import Collected, final_bytes, small, trained


class Failing(Tracking):
    """Fails at its first epoch."""

    def epoch(self, record: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        raise OSError("the server is gone")


def test_csv_has_a_row_an_epoch_also_after_a_resume(tmp_path: Path, compiled: Path) -> None:
    spec = small("train.trackers=[csv]", "train.epochs=2")
    trained(spec, tmp_path, compiled)
    result = trained(small("train.trackers=[csv]"), tmp_path, compiled, resume=True)
    rows = list(csv.DictReader((result.run / "metrics.csv").read_text().splitlines()))
    epochs = [event for event in events.read(result.run / "metrics.jsonl") if event["event"] == "epoch"]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["validation/loss"]) for row in rows] == [event["validation"]["loss"] for event in epochs]


def test_a_failing_tracker_is_named_once_and_changes_nothing(
    tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trained(small(), tmp_path / "a", compiled)
    monkeypatch.setattr(Csv, "begin", lambda self, about: Failing())
    told = Collected()
    warned = told.warned
    trackers = Trackers([Csv()], told.warn)
    trackers.begin(lambda: About(tmp_path, "x", {}, 0))
    for _ in range(3):
        trackers.epoch({"epoch": 1}, dict)
    trackers.end("done")
    assert warned == [
        "tracker csv: OSError: the server is gone. The run goes on without it; metrics.jsonl has everything"
    ]
    tracked = trained(small("train.trackers=[csv]"), tmp_path / "b", compiled)
    assert tracked.status == "done"
    assert final_bytes(plain.run) == final_bytes(tracked.run)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_package_that_is_absent(name: str, tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    told = Collected()
    assert trained(small(f"train.trackers=[{name}]"), tmp_path, compiled, watcher=told).status == "done"
    wanted = f"tracker {name}: {name} is not installed; pip install 'dnnrun[{name}]'"
    assert [line.partition(". The run")[0] for line in told.warned] == [wanted]
