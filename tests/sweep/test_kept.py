"""What a process keeps between trials changes nothing of what they come to."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.data.select import select
from dnnrun.data.source import Places
from dnnrun.data.source.digits import Digits
from dnnrun.errors import DnnrunError, EngineError, MemoryShort
from dnnrun.spec.load import load_mapping
from dnnrun.store.run import runs_of
from dnnrun.sweep.engine import choose as choosing
from dnnrun.sweep.engine.process import WorkerProcess
from dnnrun.sweep.kept import Kept
from dnnrun.sweep.shared import SharedRows
from dnnrun.sweep.trial import run_trial, short_of_memory


def task(folder: Path, seed: int, epochs: int = 2, **data: Any) -> dict[str, Any]:
    spec = {
        "name": f"trial-seed{seed}",
        "seed": seed,
        "data": {"source": "digits", **data},
        "model": {"hidden": [16]},
        "train": {"epochs": epochs, "batch_size": 50, "checkpoint_every": {"epochs": 1}, "optimizer": "adam"},
    }
    return {"spec": spec, "runs": str(folder), "data_dir": None, "unseen": [], "shared": str(folder / "shared")}


def weights(answer: dict[str, Any]) -> bytes:
    assert answer["status"] == "done", answer
    return (Path(answer["result"]["run"]) / "checkpoints/last/model.safetensors").read_bytes()


@pytest.fixture(autouse=True)
def cache(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNRUN_COMPILE_CACHE", str(compiled))


SAME = [{"validation": 100}, {"validation": 0.1}, {"fold": {"of": 4, "number": 2}}, {"stream": 200}]


@pytest.mark.parametrize("data", SAME)
def test_a_trial_has_the_bits_of_the_same_trial_alone(tmp_path: Path, data: dict[str, Any]) -> None:
    kept = Kept()
    for seed in range(3):
        mine, alone = task(tmp_path / "kept", seed, **data), task(tmp_path / "alone", seed, **data)
        assert weights(run_trial(mine, lambda: None, kept.assemble_for(mine))) == weights(
            run_trial(alone, lambda: None)
        )
    assert len(kept.compiled) == 1


@pytest.mark.parametrize("data", [{"validation": 100, "limit": 300}, {"validation": 0.2, "classes": [3, 5]}])
def test_shared_rows_are_the_rows(tmp_path: Path, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_mapping(task(tmp_path, 7, **data)["spec"])
    wanted = select(spec.data.source.read(Places()), spec.data, spec.seed)
    SharedRows(tmp_path / "shared").read(spec, Places())
    monkeypatch.setattr(Digits, "read", lambda self, places: pytest.fail("read from the source again"))
    found = SharedRows(tmp_path / "shared").read(spec, Places())
    for name in ("features", "labels", "origin"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    for name in ("splits", "classes", "image", "largest", "hash", "fingerprint"):
        assert getattr(found, name) == getattr(wanted, name)
    assert isinstance(found.features, np.memmap) == isinstance(data["validation"], int)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, "done"), (signal.SIGKILL, "memory")])
def test_a_worker_that_is_stopped_or_killed(tmp_path: Path, number: int, status: str) -> None:
    worker = WorkerProcess(sorted(os.sched_getaffinity(0))[0])
    given = task(tmp_path, 0, epochs=300)

    def strike() -> None:
        while not list(tmp_path.glob("trial-*/*/checkpoints/step-*")):
            time.sleep(0.05)
        assert worker.process is not None
        worker.process.send_signal(number)

    threading.Thread(target=strike, daemon=True).start()
    found = list(worker.ask([given]))
    worker.close()
    assert [(each is given, answer["status"]) for each, answer in found] == [(True, status)]
    (run,) = runs_of(tmp_path / "trial-seed0")
    assert len(run.meta()["history"]) == (2 if status == "done" else 1)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (MemoryShort("4 GiB are free"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"), True),
        (DnnrunError("anything else"), False),
        (ValueError("a bug"), False),
    ],
)
def test_what_complains_of_memory(error: Exception, short: bool) -> None:
    assert short_of_memory(error) is short
    later = RuntimeError("what failed then")
    later.__cause__ = error
    assert short_of_memory(later) is short


BASE: dict[str, Any] = {"name": "small", "data": {"source": "digits"}, "model": {"hidden": [8]}}


@pytest.mark.parametrize(
    ("sweep", "device", "kind", "why"),
    [
        ({"seeds": 2}, None, "LocalProcesses", "no accelerator is used"),
        ({"seeds": 2}, "gpu H100", "Together", "an accelerator, and trials of one shape"),
        ({"grid": {"train.l2": [0.1, 0.2]}}, "gpu H100", "Together", "an accelerator, and trials of one shape"),
        (
            {"grid": {"model.activation": ["relu", "elu"]}}, "gpu H100", "LocalProcesses",
            "no two trials are of one shape; one at a time on gpu H100",
        ),
        ({"seeds": 2, "engine": "local"}, "gpu H100", "LocalProcesses", "asked for"),
        ({"seeds": 2, "engine": "vmap"}, None, "Together", "asked for"),
    ],
)  # fmt: skip
def test_the_engine_chooses_itself(
    sweep: dict[str, Any], device: str | None, kind: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_accelerator", lambda base: device)
    engine, said = choosing.choose(load_mapping({**BASE, "train": {"l2": 0.05}, "sweep": sweep}), None, None, 2)
    engine.close()
    assert (type(engine).__name__, said) == (kind, why)


def test_an_address_wants_ray() -> None:
    with pytest.raises(EngineError) as caught:
        choosing.choose(load_mapping({**BASE, "sweep": {"seeds": 2}}), "vmap", "host:1", None)
    assert str(caught.value) == "--address host:1: only Ray has one, not --engine vmap; use --engine ray"
