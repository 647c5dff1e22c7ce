"""With the real packages: what is written is what they read. `make trackers` runs these."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnnrun.store import events
from tests.smallruns import finished, small, spec_file, trained


def epochs(run: Path) -> list[dict]:
    return [event for event in events.read(run / "metrics.jsonl") if event["event"] == "epoch"]


def test_tensorboard_reads_it(tmp_path: Path, compiled: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: make trackers")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore
    from tensorboard.plugins.hparams import metadata  # pyright: ignore

    spec = "train.trackers=[tensorboard]", "train.watch={steps: 5}"
    trained(small(*spec, "train.epochs=2"), tmp_path, compiled)
    run = trained(small(*spec), tmp_path, compiled, resume=True).run
    assert len(list(run.glob("events.out.tfevents.*"))) == 2
    read = EventAccumulator(str(run), size_guidance={"scalars": 0, "histograms": 0, "images": 0})
    read.Reload()
    loss = {event.step: event.value for event in read.Scalars("validation/loss")}
    assert loss == pytest.approx({event["step"]: event["validation"]["loss"] for event in epochs(run)})
    assert [event.step for event in read.Scalars("signals/gradient_std/hidden1")] == [0, 5, 10, 15, 20, 25]
    histogram = read.Histograms("hidden1/kernel")[-1].histogram_value
    assert histogram.num == 64 * 8
    (image,) = read.Images("hidden1/kernel/filters")[-1:]
    assert (image.width, image.height) == (8 * 9, 9)
    content = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    told = metadata.parse_session_start_info_plugin_data(content)
    assert told.hparams["train.batch_size"].number_value == 20
    assert told.hparams["model.activation.type"].string_value == "elu"
    assert metadata.SESSION_END_INFO_TAG in read.Tags()["tensors"] or read.SummaryMetadata(
        metadata.SESSION_END_INFO_TAG
    )


def test_mlflow_reads_it(tmp_path: Path, compiled: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: make trackers")
    from mlflow import MlflowClient  # pyright: ignore

    spec = ("train.trackers=[mlflow]", "train.watch=true")
    trained(small(*spec, "train.epochs=2"), tmp_path, compiled)
    run = trained(small(*spec), tmp_path, compiled, resume=True).run
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dnnrun")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["model.activation.type"] == "elu"
    assert found.data.metrics["final/test_accuracy"] > 0.1
    loss = {m.step: m.value for m in client.get_metric_history(found.info.run_id, "validation/loss")}
    assert loss == pytest.approx({event["step"]: event["validation"]["loss"] for event in epochs(run)})
    names = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert names == {"spec.yaml", "metrics.jsonl", "out.log", "model"}


def test_the_trials_of_a_sweep_are_nested_in_mlflow(tmp_path: Path, compiled: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: make trackers")
    from mlflow import MlflowClient  # pyright: ignore

    spec = small("train.trackers=[mlflow]", "train.epochs=1")
    grid = ("--grid", "model.activation=[elu,relu]", "--seeds", "1", "--runs-dir", "runs", "sweep.confirm=0")
    done = finished(compiled, "sweep", spec_file(spec, tmp_path), *grid, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dnnrun")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert len(found) == 3
    assert len(parents) == 1
    nested = [run.data.tags["mlflow.parentRunId"] for run in found if run not in parents]
    assert nested == [parents[0].info.run_id] * 2
