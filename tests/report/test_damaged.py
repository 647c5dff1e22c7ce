"""Runs that something else has changed: one clear line each, or a report that says what it lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dnnrun.data.source import Places
from dnnrun.errors import DnnrunError, RunDirectoryError
from dnnrun.report.compare import compare
from dnnrun.report.content import content_of
from tests.smallruns import small, trained


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    return trained(small("name=whole", "train.epochs=1"), tmp_path_factory.mktemp("whole"), compiled).run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "broken" / whole.name, symlinks=True))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("x\n{}\n", ":1: not JSON"),
        ("[1, 2]\n", ":1: no record"),
        ('{"event": 5}\n', ":1: no event"),
        ('{"event": "epoch"}\n', ":1: epoch without epoch"),
        ('{"event": "epoch", "epoch": 1, "step": 2, "learning_rate": 0.1}\n', ":1: epoch without train"),
        ('{"event": "signals", "step": 0, "layers": [1]}\n', ":1: signals without layers"),
    ],
)
def test_events_that_are_none(run: Path, lines: str, told: str) -> None:
    path = run / "metrics.jsonl"
    path.write_text(lines)
    with pytest.raises(RunDirectoryError) as caught:
        content_of([run], Places())
    assert str(caught.value) == f"{path}{told}; the file was changed by something else"


@pytest.mark.parametrize("lines", ["", '{"event": "signals", "step": 0, "layers": {"hidden1": {}}}\n{"event": "ep'])
def test_events_that_are_few(run: Path, lines: str) -> None:
    (run / "metrics.jsonl").write_text(lines)
    (found,) = content_of([run], Places())["runs"]
    assert found["epochs"] == []
    assert found["score"]["examples"] > 0


def test_a_run_without_its_spec(run: Path) -> None:
    (run / "spec.yaml").unlink()
    with pytest.raises(RunDirectoryError, match=r"spec\.yaml: missing; a run directory has the spec of its run"):
        content_of([run], Places())


def test_a_damaged_checkpoint_is_left_out_and_said(run: Path) -> None:
    said: list[str] = []
    for model in run.glob("checkpoints/step-*/model.safetensors"):
        model.write_bytes(model.read_bytes()[:200])
    (found,) = content_of([run], Places(), said.append)["runs"]
    assert found["score"] is None
    assert said == [f"broken: {found['no_score']}"]
    assert "damaged" in found["no_score"]
    for manifest in run.glob("checkpoints/step-*/manifest.json"):
        manifest.write_text("{}")
    (found,) = content_of([run], Places())["runs"]
    assert found["costs"] == {}
    assert "not a dnnrun manifest" in found["no_score"]


def test_a_run_is_not_compared_with_itself(whole: Path) -> None:
    with pytest.raises(DnnrunError, match="are the same run; name another one to compare it with"):
        compare(whole, whole.parent)


def test_a_run_without_metrics_is_not_compared(run: Path, whole: Path) -> None:
    (run / "meta.json").write_text('{"status": "failed"}')
    with pytest.raises(DnnrunError, match="no metrics to compare, the run is failed; name a finished one"):
        compare(whole, run)
