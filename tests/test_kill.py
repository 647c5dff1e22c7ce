"""A real process, killed at random moments and resumed each time, comes to the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dnnrun.spec.sections import Spec
from dnnrun.store.run import newest
from tests.smallruns import RICH, command, environment, finished, outcome, small, spec_file

MNIST = (
    "data={source: mnist, validation: 5000, limit: 20000}",
    "model.hidden=[100, 50]",
    "train.batch_size=100",
    "train.epochs=4",
    "train.checkpoint_every={steps: 37}",
)


def step_of(runs: Path, name: str) -> int:
    """Of the newest checkpoint, -1 before there is a run."""
    try:
        link = newest(runs, name).checkpoints / "last"
        return int(os.readlink(link).split("-")[1]) if link.is_symlink() else 0
    except Exception:
        return -1


def killed_at(moment: int, spec: Spec, folder: Path, compiled: Path, resume: bool, jitter: float) -> bool:
    """Whether the run was killed, some time after its checkpoint of step `moment`, and not done before."""
    line = command("train", folder / f"{spec.name}.yaml", *(["--resume"] if resume else []))
    process = subprocess.Popen(line, cwd=folder, env=environment(compiled), stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and step_of(folder / "runs", spec.name) < moment:
            time.sleep(0.001)
        time.sleep(jitter)
    finally:
        process.kill()
    return process.wait() == -signal.SIGKILL


def check(spec: Spec, times: int, tmp_path: Path, compiled: Path) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    spec_file(spec, tmp_path)
    spec_file(spec, folder)
    whole = finished(compiled, "train", f"{spec.name}.yaml", "--json", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    result = json.loads(whole.stdout)
    draw = random.Random(times)
    moments = sorted(draw.randrange(result["steps"] * 9 // 10) for _ in range(times - 1))
    kills = 0
    for moment in (0, *moments):
        kills += killed_at(moment, spec, folder, compiled, kills > 0, draw.random() * 0.02)
    assert kills >= times * 0.6
    last = finished(compiled, "train", f"{spec.name}.yaml", "--resume", "--json", cwd=folder)
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["metrics"] == result["metrics"]
    runs = [path for path in (folder / "runs" / spec.name).iterdir() if not path.is_symlink()]
    assert len(runs) == 1
    assert outcome(runs[0]) == outcome(tmp_path / result["run"])


def test_killed_at_five_moments(tmp_path: Path, compiled: Path) -> None:
    check(small(*RICH, "train.epochs=6", "data.limit=400"), 5, tmp_path, compiled)


@pytest.mark.slow
@pytest.mark.parametrize("options", [RICH, ("train.optimizer={type: momentum, learning_rate: 0.02}",)])
def test_killed_at_twenty_moments(options: tuple[str, ...], tmp_path: Path, compiled: Path) -> None:
    check(small(*options, "train.epochs=20", "data.limit=1000"), 20, tmp_path, compiled)


@pytest.mark.slow
@pytest.mark.parametrize("options", [RICH, ()])
def test_killed_on_mnist(options: tuple[str, ...], tmp_path: Path, compiled: Path) -> None:
    check(small(*MNIST, *options), 20, tmp_path, compiled)
