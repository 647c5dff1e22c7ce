"""A real Ray on this machine; `make cluster` installs it in an environment of its own and runs these."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from dnnrun.errors import EngineError
from dnnrun.spec.load import load_mapping
from dnnrun.store.run import runs_of
from dnnrun.sweep.engine.ray import RayCluster
from dnnrun.sweep.run import TRIALS, run_sweep

BASE: dict[str, Any] = {
    "name": "small",
    "data": {"source": "digits"},
    "model": {"hidden": [20]},
    "train": {"epochs": 600, "batch_size": 20, "checkpoint_every": {"epochs": 20}},
    "sweep": {"grid": {"model.activation": ["relu", "elu"]}, "seeds": 3, "confirm": 0},
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("ray", reason="Ray is not installed; run make cluster")
    engine = RayCluster(None, 2)
    yield engine
    engine.close()


def _workers() -> list[int]:
    """Ray's processes that run a trial now: it names them after their task."""
    titles = [(p.pid, " ".join(p.info["cmdline"] or ())) for p in psutil.process_iter(["cmdline"])]
    return [pid for pid, title in titles if title.startswith("ray::") and "-seed" in title]


@pytest.mark.slow
def test_a_killed_worker_loses_no_trial(cluster: RayCluster, tmp_path: Path) -> None:
    killed: list[int] = []

    def stop() -> int | None:
        begun = [c for c in tmp_path.glob(f"*/sweep-*/{TRIALS}/*/*/checkpoints/last") if c.is_symlink()]
        if begun and not killed and (found := _workers()):
            killed.append(found[0])
            os.kill(found[0], signal.SIGKILL)
        return None

    base = load_mapping(BASE)
    found = run_sweep(base, cluster, runs=tmp_path, stop=stop)
    assert killed, "no worker was killed"
    assert [outcome.status for outcome in found.outcomes.values()] == ["done"] * 6
    lines = (found.folder / "outcomes.jsonl").read_text().splitlines()
    assert len({json.loads(line)["trial"]["seed"] for line in lines}) == 3
    assert len(lines) == 6
    trials = list((found.folder / TRIALS).iterdir())
    assert len(trials) == 6
    assert all(len(runs_of(trial)) == 1 for trial in trials), "a trial was begun twice"
    resumed = [t for t in trials if len(json.loads((runs_of(t)[0].path / "meta.json").read_text())["history"]) > 1]
    assert len(resumed) >= 1, "the killed trial did not go on"


@pytest.mark.slow
def test_a_stop_lets_the_trials_save(cluster: RayCluster, tmp_path: Path) -> None:
    from dnnrun.errors import Interrupted

    def stop() -> int | None:
        begun = [c for c in tmp_path.glob(f"*/sweep-*/{TRIALS}/*/*/checkpoints/last") if c.is_symlink()]
        return signal.SIGTERM if begun else None

    base = load_mapping(BASE)
    with pytest.raises(Interrupted, match="interrupted with 0 of 6 trials done; go on with --resume"):
        run_sweep(base, cluster, runs=tmp_path, stop=stop)
    metas = [json.loads(path.read_text()) for path in tmp_path.glob(f"*/sweep-*/{TRIALS}/*/*/meta.json")]
    assert "interrupted" in {meta["status"] for meta in metas}


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(EngineError) as caught:
        RayCluster(None, None)
    assert str(caught.value) == ("--engine ray: Ray is not installed; install dnnrun[ray], or use --engine local")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("here", "--address here: wanted HOST:PORT, ray://HOST:PORT, or auto for this machine's cluster"),
        (":1", "--address :1: wanted HOST:PORT, ray://HOST:PORT, or auto for this machine's cluster"),
        (
            "127.0.0.1:{port}",
            "--address 127.0.0.1:{port}: no Ray cluster answers there ([Errno 111] Connection refused); start one with "
            "ray start --head, or correct the address",
        ),
    ],
)
def test_an_address_where_nothing_answers(address: str, message: str) -> None:
    from dnnrun.sweep.engine.ray import reach

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it, and nothing answers
        port = str(taken.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(EngineError) as caught:
            reach(address.replace("{port}", port))
    assert str(caught.value) == message.replace("{port}", port)
    assert time.monotonic() - started < 10
