"""Two real processes on loopback: one model, one voice, one end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.data.source import Places
from dnnrun.errors import Interrupted
from dnnrun.spec.sections import Spec
from dnnrun.store.checkpoint import open_checkpoint
from dnnrun.store.run import RunDirectory, newest
from tests.manydevices import stop_after
from tests.smallruns import command, environment, finished, small, spec_file, trained, untimed
from tests.test_devices import RICH, close

LONG = ("name=long", "train.epochs=100000", "data.limit=1000", "train.checkpoint_every={seconds: 0.5}")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def two(spec: Spec, place: Path, compiled: Path, *options: str, **variables: str) -> list[subprocess.Popen[str]]:
    """Both processes of a run, just started."""
    spec_file(spec, place)
    meet = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process"]
    return [
        subprocess.Popen(
            command("train", f"{spec.name}.yaml", *options, *meet, str(number)),
            cwd=place, env={**environment(compiled), **variables},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in (0, 1)
    ]  # fmt: skip


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each."""
    try:
        texts = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def under_way(processes: list[subprocess.Popen[str]], place: Path) -> RunDirectory:
    """The run of these processes once it has its first checkpoint."""
    while all(process.poll() is None for process in processes):
        if list((place / "runs").glob("*/2*/checkpoints/last")):
            return newest(place / "runs", "long")
        time.sleep(0.05)
    raise AssertionError(ended(processes))


def test_two_processes_come_to_the_losses_of_one(tmp_path: Path, compiled: Path) -> None:
    spec = small(*RICH)
    whole = trained(spec, tmp_path / "one", compiled)
    (code, out, err), (other, nothing, silence) = ended(two(spec, tmp_path, compiled, "--json"))
    assert (code, other) == (0, 0), err + silence
    result = json.loads(out)
    assert (result["status"], result["steps"]) == ("done", 100)
    assert err.startswith("device: 2 x cpu (cpu")
    assert ", in 2 processes\n" in err
    assert nothing == ""
    assert "epoch" not in silence
    assert len(list((tmp_path / "runs" / "rich").glob("2*"))) == 1
    close(untimed(whole.run), untimed(tmp_path / result["run"]))
    meta = RunDirectory(tmp_path / result["run"]).meta()
    assert (meta["devices"], meta["processes"], meta["status"]) == (2, 2, "done")


def rows_file(place: Path) -> None:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    np.savez_compressed(place / "rows.npz", x=found.data.astype(np.uint8), y=found.target)


def test_streamed_rows_are_prepared_once_for_both(tmp_path: Path, compiled: Path) -> None:
    first, second, cache = (tmp_path / name for name in ("first", "second", "cache"))
    spec = small("data.source={type: npz, path: rows.npz, image: [8, 8, 1]}", "data.stream=100", "name=shared")
    for place in (first, second):
        place.mkdir()
        spec_file(spec, place)
    rows_file(first)  # the other process has no such file
    whole = trained(spec, tmp_path / "one", compiled, places=Places(folders=(first,), cache=cache))
    meet = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process"]
    processes = [
        subprocess.Popen(
            command("train", "shared.yaml", "--json", *meet, str(number)),
            cwd=place, env={**environment(compiled), "DNNRUN_CACHE": str(cache)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number, place in enumerate((first, second))
    ]  # fmt: skip
    (code, out, err), (other, _, silence) = ended(processes)
    assert (code, other) == (0, 0), err + silence
    assert "prepared rows of its own" not in err
    close(untimed(whole.run), untimed(first / json.loads(out)["run"]))
    assert list((cache / "rows").iterdir()) == []


def test_streamed_rows_that_cannot_be_prepared_end_both(tmp_path: Path, compiled: Path) -> None:
    spec = small("data.source={type: npz, path: rows.npz}", "data.stream=100", "name=lacking")
    (code, _, err), (other, _, silence) = ended(two(spec, tmp_path, compiled, DNNRUN_CACHE=str(tmp_path / "cache")))
    assert (code, other) == (2, 1)
    assert "error: rows.npz: not found" in err
    assert "Traceback" not in silence
    assert list((tmp_path / "cache" / "rows").iterdir()) == []


@pytest.mark.slow
def test_saved_on_one_goes_on_in_two(tmp_path: Path, compiled: Path) -> None:
    spec = small(*RICH)
    whole = trained(spec, tmp_path / "one", compiled)
    with pytest.raises(Interrupted):
        trained(spec, tmp_path / "runs", compiled, stop=stop_after(8))
    (code, _, err), (other, _, silence) = ended(two(spec, tmp_path, compiled, "--resume"))
    assert (code, other) == (0, 0), err + silence
    assert "resuming at step" in err
    assert "number of processes was 1, now 2" in err
    close(untimed(whole.run), untimed(newest(tmp_path / "runs", "rich").path))


def test_a_signal_to_one_ends_both_politely(tmp_path: Path, compiled: Path) -> None:
    processes = two(small(*LONG), tmp_path, compiled)
    run = under_way(processes, tmp_path)
    processes[1].send_signal(signal.SIGTERM)
    (code, _, err), (other, _, _) = ended(processes)
    assert (code, other) == (143, 143)
    assert "interrupted at step" in err
    assert run.status() == "interrupted"
    step = open_checkpoint(run.checkpoints / "last").step
    assert f"interrupted at step {step:,}, saved" in err


def killed(which: int, how: signal.Signals, place: Path, compiled: Path) -> tuple[RunDirectory, int, str, float]:
    """A run one process of which is gone; how the other ended, and how many seconds later."""
    processes = two(small(*LONG), place, compiled)
    run = under_way(processes, place)
    time.sleep(1)
    processes[which].send_signal(how)
    began = time.monotonic()
    left = processes[1 - which]
    try:
        _, err = left.communicate(timeout=120)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return run, left.returncode, err, time.monotonic() - began


def go_on(run: RunDirectory, place: Path, compiled: Path) -> int:
    """The step that a single process resumes the run at; it ends soon after."""
    step = open_checkpoint(run.checkpoints / "last").step
    with pytest.raises(Interrupted) as stopped:
        trained(small(*LONG), place / "runs", compiled, resume=True, stop=stop_after(3))
    assert stopped.value.result["steps"] > step
    return step


def test_a_killed_process_ends_the_other_with_its_state_saved(tmp_path: Path, compiled: Path) -> None:
    run, code, err, seconds = killed(1, signal.SIGKILL, tmp_path, compiled)
    assert code == 1
    assert seconds < 60
    assert "error: the connection to another process broke" in err
    assert "Traceback" not in err
    assert run.status() == "failed"
    step = go_on(run, tmp_path, compiled)
    assert f"and has saved step {step:,}. Start all of them again with --resume to go on" in err


@pytest.mark.slow
def test_a_killed_first_process_ends_the_other(tmp_path: Path, compiled: Path) -> None:
    run, code, _, seconds = killed(0, signal.SIGKILL, tmp_path, compiled)
    assert code != 0
    assert seconds < 60
    assert run.status() == "killed"
    assert go_on(run, tmp_path, compiled) > 0


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_a_process_that_hangs_ends_the_other(which: int, tmp_path: Path, compiled: Path) -> None:
    run, code, err, seconds = killed(which, signal.SIGSTOP, tmp_path, compiled)
    assert code == 1
    assert seconds < 60
    assert f"process {which} was not heard of for 30 s" in err
    assert go_on(run, tmp_path, compiled) > 0


def test_what_one_process_lacks_ends_both(tmp_path: Path, compiled: Path) -> None:
    spec = small()
    first, second = (tmp_path / name for name in ("first", "second"))
    for place, seed in ((first, 3), (second, 4)):
        place.mkdir()
        spec_file(spec.model_copy(update={"seed": seed}), place)
    meet = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    processes = [
        subprocess.Popen(
            command("train", "small.yaml", *meet),
            cwd=place, env={**environment(compiled), "DNNRUN_PROCESS": str(number)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number, place in enumerate((first, second))
    ]  # fmt: skip
    (code, _, err), (other, _, _) = ended(processes)
    assert (code, other) == (1, 2)
    assert "process 1 failed: process 1 has another spec than process 0; give every process the same spec" in err
    assert not list((first / "runs").glob("small/2*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coordinator", "a:1"], "--coordinator is for --distributed; add that, or leave it out"),
        (["--process", "0"], "--process is for --distributed; add that, or leave it out"),
        (["--distributed", "--devices", "2"], "--devices and --distributed exclude each other: all devices of all"),
        (["--distributed", "--coordinator", "host"], "--coordinator host: wanted HOST:PORT of process 0"),
        (["--distributed", "--processes", "2", "--process", "2"], "--process 2: wanted 0 to 1, of --processes 2"),
        (["--distributed", "train.devices=2"], "train.devices: 2, and --distributed takes all devices of all"),
        (["--distributed"], "--distributed: no cluster is recognised here (Slurm, Open MPI, Kubernetes, TPU pod)"),
        (["--devices", "0"], "train.devices: found 0"),
        (["--devices", "many"], "train.devices: found 'many' (a text)"),
    ],
)
def test_bad_options(options: list[str], message: str, tmp_path: Path, compiled: Path) -> None:
    spec_file(small(), tmp_path)
    found = finished(compiled, "train", "small.yaml", *options, cwd=tmp_path)
    assert found.returncode == 2
    assert message in " ".join(found.stderr.replace("│", " ").split())
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/2*"))


def test_nobody_comes(tmp_path: Path, compiled: Path) -> None:
    """The wait for the others ends with an error of ours, before JAX would abort the process."""
    patient: Any = "from dnnrun.train import team; team.JOIN_SECONDS = 2.0; from dnnrun.cli.app import main; main()"
    spec_file(small(), tmp_path)
    where = f"127.0.0.1:{free_port()}"
    line = [*command()[:1], "-c", patient, "train", "small.yaml", "--distributed", "--coordinator", where]
    done = subprocess.run(
        [*line, "--processes", "2", "--process", "1"],
        cwd=tmp_path, env={**os.environ, **environment(compiled)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"error: --distributed: after 2 s not all 2 processes have come to {where}; start them all, each with its own "
        "--process, and see that they reach it\n"
    )
