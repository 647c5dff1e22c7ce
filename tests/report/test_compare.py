from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnnrun.errors import CheckpointError
from dnnrun.report.compare import compare
from dnnrun.report.gather import over_seeds
from tests.smallruns import finished, small, trained


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    """A name with three seeds, another one with two, and a run of yet another spec under the first name."""
    folder = tmp_path_factory.mktemp("runs")
    trained(small("name=a", "seed=3", "train.epochs=1"), folder, compiled)
    for seed in (1, 2, 3):
        trained(small("name=a", f"seed={seed}"), folder, compiled)
    for seed in (2, 3):
        trained(small("name=b", f"seed={seed}", "model.activation=logistic"), folder, compiled)
    return folder


def test_the_runs_of_a_name_are_its_newest_spec_over_seeds(runs: Path) -> None:
    assert [run.spec.seed for run in over_seeds(runs / "a")] == [1, 2, 3]
    one = over_seeds(runs / "a")[0].path
    assert [run.path for run in over_seeds(one)] == [one]


def test_paired_over_shared_seeds(runs: Path) -> None:
    found = compare(runs / "a", runs / "b")
    assert found.diff == ["model.activation.alpha: 1.0 -> (unset)", "model.activation.type: elu -> logistic"]
    row = next(row for row in found.rows() if row.metric == "validation.loss")
    a, b = found.first.values("validation.loss"), found.second.values("validation.loss")
    assert row.gain is not None
    assert row.gain.count == 2
    assert row.gain.mean == pytest.approx((b[2] - a[2] + b[3] - a[3]) / 2)
    assert row.verdict in ("worse", "cannot be told apart at 2 seeds")
    costs = found.costs()
    assert costs["parameters"] == (8 * 64 + 8 + 8 * 10 + 10,) * 2
    assert costs["flops_per_example"] == (2 * 8 * 64 + 2 * 8 + 2 * 80 + 2 * 10,) * 2


def test_two_runs_of_one_seed_tell_nothing(runs: Path) -> None:
    found = compare(over_seeds(runs / "a")[1].path, over_seeds(runs / "b")[0].path)
    assert {row.verdict for row in found.rows()} == {"one seed tells nothing"}


def test_as_json(runs: Path, compiled: Path) -> None:
    done = finished(compiled, "compare", runs / "a", runs / "b", "--json", cwd=runs)
    said = json.loads(done.stdout)
    assert said["first"]["seeds"] == [1, 2, 3]
    assert set(said["metrics"]["test.accuracy"]) == {"first", "second", "difference", "verdict"}


def test_what_is_no_run(runs: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        compare(runs / "c", runs / "b")
    assert str(caught.value) == f"{runs / 'c'}: no run here; wanted a run directory or runs/NAME; {runs} has a, b"
