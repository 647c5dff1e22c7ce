from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dnnrun.cli.app import app
from dnnrun.data.source import Places
from dnnrun.diagnose.case import examine
from dnnrun.diagnose.measure import look
from dnnrun.diagnose.remedy import LEARNED, changed
from dnnrun.errors import DnnrunError, SpecError
from dnnrun.spec.load import load, load_mapping
from tests.deepnets import deep
from tests.smallruns import finished, small, spec_file, trained


@pytest.mark.parametrize(
    ("source", "train", "metric", "least"),
    [
        ("diabetes", {}, "r2", 0.4),
        pytest.param("diabetes", {"loss": "mae"}, "r2", 0.4, marks=pytest.mark.slow),
        pytest.param("diabetes", {"loss": {"type": "huber", "delta": 0.5}}, "r2", 0.4, marks=pytest.mark.slow),
        ("labels", {}, "accuracy", 0.9),
        ("breast_cancer", {"loss": "binary_cross_entropy", "class_weights": "balanced"}, "accuracy", 0.9),
    ],
)
def test_numbers_and_labels_are_looked_at_too(
    source: str, train: dict[str, Any], metric: str, least: float, tmp_path: Path, compiled: Path
) -> None:
    """A healthy network is silent after its training; one that cannot learn is stuck at the loss of guessing."""
    data = {"source": "wine", "task": "multilabel"} if source == "labels" else {"source": source}
    spec = load_mapping(
        {
            "name": "told",
            "data": data,
            "model": {"hidden": [30, 30], "activation": "elu"},
            "train": {"optimizer": {"type": "adam", "learning_rate": 0.01}, "batch_size": 20, "epochs": 20, **train},
        }
    )
    case = examine(str(spec_file(spec, tmp_path)), (), steps=100, remedy=False, cache=compiled)
    assert case.findings == []
    course = case.look.course
    assert course is not None
    assert course.metric == metric
    assert course.scores[-1] > least
    assert course.loss < LEARNED * course.guess
    assert f"{metric} {course.scores[-1]:.4f} (guessing has loss" in " ".join(case.account())
    assert metric in case.as_json()["training"]
    still = changed(spec, {"train.optimizer": {"type": "sgd", "learning_rate": 1e-9}})
    assert {f.kind for f in look(still, Places(), steps=100, cache=compiled).findings()} & {"stuck", "diverging"}
    assert not look(spec, Places(), steps=0, cache=compiled, normal=7).findings()


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (
            "runs/smal",
            "runs/smal: not found; wanted a run or a checkpoint folder; runs has small; did you mean runs/small?",
        ),
        ("runs/x/best", "runs/x/best: not found; wanted a run or a checkpoint folder; runs has small"),
        ("kept/x", "kept/x: not found; wanted a run or a checkpoint folder; kept has small"),
        ("runs/small/step-9", "runs/small/a: no checkpoint step-9; there: none yet"),
        ("zoo:nothing", "zoo: has no model 'nothing'; there: none yet"),
        ("nothing/like", "nothing/like: no such spec; wanted a file or a packaged spec: "),
        ("runs/small.yaml", "runs/small.yaml: no such spec; wanted a file or a packaged spec: "),
        ("kept/digits.yaml", "kept/digits.yaml: no such spec; did you mean 'digits'?"),
    ],
)
def test_a_run_that_is_not_there_is_no_spec(
    subject: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DNNRUN_ZOO", "zoo")
    for folder in ("runs", "kept"):
        (tmp_path / folder / "small" / "a").mkdir(parents=True)
        (tmp_path / folder / "small" / "a" / "meta.json").write_text('{"status": "done"}')
    with pytest.raises(DnnrunError) as caught:
        examine(subject, (), steps=0, remedy=False)
    assert str(caught.value).startswith(message)


def test_weights_of_another_framework_are_told(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, kernel=np.zeros((2, 2)))
    (tmp_path / "tf").mkdir()
    (tmp_path / "tf" / "checkpoint").write_text('model_checkpoint_path: "model-1"\n')
    (tmp_path / "tf" / "model-1.index").write_bytes(b"")
    for subject, kind in (
        (path, "npz"),
        (tmp_path / "tf", "tensorflow"),
        (tmp_path / "tf" / "checkpoint", "tensorflow"),
    ):
        with pytest.raises(SpecError) as caught:
            examine(str(subject), (), steps=0, remedy=False)
        assert str(caught.value) == (
            f"{subject}: weights of another framework ({kind}); make a run of them, to look at, with "
            f"dnnrun import {subject} --as NAME data.source=..."
        )


def test_a_run_whose_data_is_gone(tmp_path: Path, compiled: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("a,b,y\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(60)))
    source = f"data.source={{type: csv, path: {table}, target: y}}"
    run = trained(small(source, "data.limit=null", "train.epochs=1", "train.batch_size=10"), tmp_path, compiled).run
    table.unlink()
    with pytest.raises(DnnrunError, match=r"rows\.csv: not found"):
        examine(str(run), (), steps=0, remedy=False, cache=compiled)


def test_a_run_of_numbers_is_looked_at(tmp_path: Path, compiled: Path) -> None:
    run = trained(small("data.source=diabetes", "train.epochs=1"), tmp_path, compiled).run
    case = examine(str(run), (), steps=100, remedy=True, cache=compiled)
    assert case.point is not None
    last = (run / "checkpoints" / "last").resolve()
    assert case.as_json()["checkpoint"] == str(last) == str(case.point.folder.resolve())
    told = CliRunner().invoke(app, ["diagnose", str(run)])
    assert f"looked at {run / 'checkpoints' / last.name}, step " in told.stderr


@pytest.mark.slow
def test_a_remedy_is_tried_found_and_written(tmp_path: Path, compiled: Path) -> None:
    path = spec_file(deep(8, "logistic", "glorot_uniform", epochs=9), tmp_path)
    case = examine(str(path), (), steps=200, remedy=True, cache=compiled)
    assert {finding.kind for finding in case.findings} == {"vanishing", "stuck"}
    assert case.remedy is not None
    assert case.remedy.best is not None
    best, course = case.remedy.best, case.remedy.best.look.course
    assert course is not None
    assert course.loss < 0.9 * course.guess
    assert not best.findings
    written = case.write()
    cured = load(written)
    assert written == tmp_path / "deep-cured.yaml"
    assert cured.name == "deep-cured"
    assert written.read_text().startswith("# deep, cured: ")
    assert not look(cured, Places(), steps=200, cache=compiled).findings()
    with pytest.raises(DnnrunError, match=r"deep-cured\.yaml exists already; remove it, or give the spec another name"):
        case.write()


def test_a_healthy_spec_and_its_run_are_left_alone(tmp_path: Path, compiled: Path) -> None:
    spec = small("train.epochs=12")
    case = examine(str(spec_file(spec, tmp_path)), (), steps=100, remedy=True, cache=compiled)
    assert case.findings == []
    assert case.remedy is None
    assert case.account()[-1] == "healthy: nothing found"
    with pytest.raises(DnnrunError, match="nothing is wrong"):
        case.write()
    run = trained(spec, tmp_path, compiled).run
    seen = examine(str(run), (), steps=100, remedy=True, cache=compiled)
    assert seen.point is not None
    assert seen.look.course is None
    assert not seen.findings
    with pytest.raises(SpecError, match="a trained network is looked at as it is; leave the overrides out"):
        examine(str(run), ("seed=1",), steps=0, remedy=False, cache=compiled)


def test_the_check_in_ci(tmp_path: Path, compiled: Path) -> None:
    path = spec_file(deep(8, "logistic", "glorot_uniform"), tmp_path)
    options = ("--steps", "0", "--no-remedy", "--json", "--fail-on")
    found = finished(compiled, "diagnose", path, *options, "vanishing", cwd=tmp_path)
    assert found.returncode == 1
    said = json.loads(found.stdout)
    assert said["findings"][0]["kind"] == "vanishing"
    assert said["growth"]["gradients"]["factor"] < 0.4
    assert found.stderr.endswith("found, as --fail-on vanishing asks: vanishing\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fail-on", "vanish"], "--fail-on 'vanish'; wanted vanishing, exploding, saturated, dead, stuck, diverging"),
        (["--inputs", "uniform:3"], "--inputs 'uniform:3'; wanted normal:WIDTH, as normal:100"),
        (["--inputs", "normal:0"], "--inputs 'normal:0'; wanted normal:WIDTH, as normal:100"),
        (["--steps", "-1"], "Input should be greater than or equal to 0"),
    ],
)
def test_wrong_options(arguments: list[str], told: str) -> None:
    found = CliRunner().invoke(app, ["diagnose", "digits", *arguments])
    assert found.exit_code == 2
    assert told in " ".join(found.output.split())
