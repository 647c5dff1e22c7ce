"""The verbs train and eval as a process: what is said where, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from dnnrun.errors import RunDirectoryError
from dnnrun.spec.sections import Spec
from tests.smallruns import command, environment, final_bytes, finished, small, spec_file, trained

LONG = ("train.epochs=100000", "data.limit=1000", "train.checkpoint_every={seconds: 1000}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    """A working folder with a finished run of small.yaml."""
    place = tmp_path_factory.mktemp("work")
    spec_file(small(), place)
    done = finished(compiled, "train", "small.yaml", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    (place / "out").write_text(done.stdout)
    (place / "err").write_text(done.stderr)
    return place


def numbers(value: Any, *keys: str) -> None:
    assert list(value) == list(keys)
    assert all(isinstance(entry, (int, float)) for entry in value.values())


def test_json_is_one_object_with_the_keys_that_are_promised(folder: Path) -> None:
    found = json.loads((folder / "out").read_text())
    assert list(found) == ["run", "status", "epochs", "steps", "metrics", "timing", "parameters"]
    assert (folder / found["run"] / "meta.json").is_file()
    assert (found["status"], found["epochs"], found["steps"]) == ("done", 3, 30)
    assert list(found["metrics"]) == ["train", "validation", "test"]
    for metrics in found["metrics"].values():
        numbers(metrics, "loss", "accuracy")
    numbers(found["timing"], "total_s", "to_first_step_s", "examples_per_s")
    assert 0 < found["timing"]["to_first_step_s"] <= found["timing"]["total_s"]
    assert found["parameters"] == {"trainable": 64 * 8 + 8 + 8 * 10 + 10, "frozen": 0}


def test_a_log_has_plain_lines(folder: Path) -> None:
    text = (folder / "err").read_text()
    assert "\r" not in text
    assert "\x1b" not in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("epoch ")] == ["1/3", "2/3", "3/3"]
    assert text.startswith("device: cpu")


def test_eval_prints_one_object_with_the_metrics_of_the_run(folder: Path, compiled: Path) -> None:
    trained = json.loads((folder / "out").read_text())
    done = finished(compiled, "eval", "runs/small", "--json", cwd=folder)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert list(found)[:4] == ["checkpoint", "split", "examples", "metrics"]
    assert (found["split"], found["examples"]) == ("test", 359)
    assert found["metrics"].items() >= trained["metrics"]["test"].items()
    assert Path(found["checkpoint"]).name == "step-00000030"


def started(spec: Spec, place: Path, compiled: Path) -> subprocess.Popen[str]:
    """A run under way, past its first epochs."""
    spec_file(spec, place)
    process = subprocess.Popen(
        command("train", f"{spec.name}.yaml", "--json"),
        cwd=place, env=environment(compiled), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not any(
        path.stat().st_size > 500 for path in (place / "runs").glob("*/*/metrics.jsonl") if "latest" not in str(path)
    ):
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_later(number: int, tmp_path: Path, compiled: Path) -> None:
    process = started(small(*LONG), tmp_path, compiled)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    found = json.loads(out)
    assert found["status"] == "interrupted"
    assert found["metrics"] == {}
    assert f"interrupted at step {found['steps']:,}, saved; go on with --resume" in err
    run = tmp_path / found["run"]
    assert json.loads((run / "meta.json").read_text())["status"] == "interrupted"
    assert int(os.readlink(run / "checkpoints" / "last").split("-")[1]) == found["steps"]
    # to its end, an earlier one, and to the bits of a run without a break
    ending = small(*LONG, f"train.epochs={found['steps'] // 50 + 2}")
    rest = trained(ending, tmp_path / "runs", compiled, resume=True)
    assert rest.run == run
    assert final_bytes(trained(ending, tmp_path / "b", compiled).run) == final_bytes(run)


def test_a_signal_saves_though_nobody_reads_any_more(tmp_path: Path, compiled: Path) -> None:
    process = started(small(*LONG), tmp_path, compiled)  # as `2>&1 | tee log`, which the same Ctrl-C ends
    assert process.stderr
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    assert process.stdout
    found = json.loads(process.stdout.read())
    assert process.wait(timeout=60) == 130
    assert found["status"] == "interrupted"
    last = tmp_path / found["run"] / "checkpoints" / "last"
    assert int(os.readlink(last).split("-")[1]) == found["steps"]


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec_file(small("train.epochs=1"), tmp_path)
    done = finished(tmp_path / "file" / "compiled", "train", "small.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: compiled code is not kept: cannot create {tmp_path / 'file'}")
    assert "UserWarning" not in done.stderr


def test_a_second_signal_ends_at_once(tmp_path: Path, compiled: Path) -> None:
    process = started(small(*LONG), tmp_path, compiled)
    os.kill(process.pid, signal.SIGSTOP)  # both come before it can act on the first
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode in (130, 143)
    assert not list(tmp_path.glob("runs/small/*/checkpoints/last"))


def test_a_run_in_use_names_the_process(tmp_path: Path, compiled: Path) -> None:
    process = started(small(*LONG), tmp_path, compiled)
    try:
        with pytest.raises(RunDirectoryError) as caught:
            trained(small(*LONG), tmp_path / "runs", compiled, resume=True)
        assert str(caught.value).endswith(f"is in use by process {process.pid}; wait until it ends, or stop it")
    finally:
        process.kill()
        process.communicate()


BAD: dict[str, tuple[tuple[str, ...], int, str]] = {
    "an absent device": (
        ("train", "small.yaml", "train.device=gpu"),
        2,
        "error: device gpu: JAX finds none here",
    ),
    "nothing to resume": (
        ("train", "small.yaml", "--resume", "--runs-dir", "none"),
        2,
        "error: none/small: nothing to resume (no run of this name); train without --resume to begin one",
    ),
    "a loss that explodes": (
        ("train", "small.yaml", "train.optimizer.learning_rate=1e30", "name=explodes", "--json"),
        1,
        "error: the loss is not finite at step ",
    ),
    "an unknown split": (
        ("eval", "runs/small", "--split", "tset"),
        2,
        "Error: Invalid value: --split 'tset'; wanted train, validation, test",
    ),
    "an unknown device": (
        ("eval", "runs/small", "--device", "cuda"),
        2,
        "Error: Invalid value: --device 'cuda'; wanted auto, cpu, gpu, tpu",
    ),
    "no such run": (
        ("eval", "runs/smal"),
        2,
        "error: runs/smal: not found; wanted a run or a checkpoint folder; runs has ",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_its_message_and_exit_code(name: str, folder: Path, compiled: Path) -> None:
    arguments, code, message = BAD[name]
    done = finished(compiled, *arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1].startswith(message), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
