"""Trials as the lanes of one program: each comes to what it comes to alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from dnnrun.sweep.engine import Answer
from dnnrun.sweep.group import run_group
from dnnrun.sweep.kept import Kept
from dnnrun.sweep.trial import run_trial

NEVER = lambda: None  # noqa: E731


def task(folder: Path, seed: int, **sections: Any) -> dict[str, Any]:
    train = {"epochs": 2, "batch_size": 50, "optimizer": {"type": "momentum", "learning_rate": 0.02}}
    spec = {
        "name": f"trial-seed{seed}",
        "seed": seed,
        "data": {"source": "digits", "limit": 600, **sections.get("data", {})},
        "model": {"hidden": [16, 12], **sections.get("model", {})},
        "train": {**train, **sections.get("train", {})},
    }
    return {"spec": spec, "runs": str(folder), "data_dir": None, "unseen": [], "shared": str(folder / "shared")}


def together(tasks: list[dict[str, Any]], kept: Kept | None = None, stop: Any = NEVER) -> list[Answer]:
    found: dict[int, Answer] = {}
    run_group(tasks, stop, kept or Kept(), found.__setitem__)
    return [found[number] for number in range(len(tasks))]


def alone(tasks: list[dict[str, Any]]) -> list[Answer]:
    kept = Kept()
    return [run_trial(each, NEVER, kept.assemble_for(each)) for each in tasks]


def weights(answer: Answer, which: str = "last") -> dict[str, np.ndarray]:
    return load_file(Path(answer["result"]["run"]) / "checkpoints" / which / "model.safetensors")


def events(answer: Answer) -> list[dict[str, Any]]:
    lines = (Path(answer["result"]["run"]) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_equal_within_rounding(one: Answer, other: Answer, tolerance: float = 2e-5) -> None:
    assert one["status"] == other["status"] == "done", (one, other)
    assert one["result"]["steps"] == other["result"]["steps"]
    for which in ("last", "best"):
        a, b = weights(one, which), weights(other, which)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name)
    for first, second in zip(events(one), events(other), strict=True):
        assert first["step"] == second["step"]
        for split in first.keys() & {"train", "validation", "test"}:
            assert first[split]["loss"] == pytest.approx(second[split]["loss"], rel=1e-4)


@pytest.fixture(autouse=True)
def cache(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNRUN_COMPILE_CACHE", str(compiled))


def test_64_seeds_equal_64_single_runs(tmp_path: Path) -> None:
    grouped = together([task(tmp_path / "together", seed) for seed in range(64)])
    single = alone([task(tmp_path / "alone", seed) for seed in range(64)])
    for one, other in zip(grouped, single, strict=True):
        assert_equal_within_rounding(one, other)
    assert len({answer["result"]["metrics"]["train"]["loss"] for answer in grouped}) == 64


OPTIMIZERS: list[list[dict[str, Any]]] = [
    [{"type": "sgd", "learning_rate": rate} for rate in (0.01, 0.1)],
    [{"type": "momentum", "momentum": m, "learning_rate": 0.02} for m in (0.5, 0.9)],
    [{"type": "nesterov", "momentum": m, "weight_decay": m / 10, "learning_rate": 0.02} for m in (0.5, 0.9)],
    [{"type": "rmsprop", "decay": d, "momentum": d, "learning_rate": 0.001} for d in (0.8, 0.9)],
    [{"type": "adam", "beta1": b, "epsilon": b / 100, "learning_rate": 0.001} for b in (0.8, 0.9)],
    [{"type": "adamw", "beta2": b, "weight_decay": b / 10, "learning_rate": 0.001} for b in (0.9, 0.99)],
    [{"type": "lion", "beta1": b, "learning_rate": 0.0001} for b in (0.8, 0.9)],
    [{"type": "adagrad", "initial_accumulator": a, "learning_rate": 0.01} for a in (0.1, 0.2)],
    [{"type": "sgd", "learning_rate": {"type": "cosine", "initial": r}} for r in (0.05, 0.1)],
    [{"type": "sgd", "learning_rate": {"type": "one_cycle", "peak": r, "warm_fraction": r}} for r in (0.1, 0.2)],
    [
        {"type": "sgd", "learning_rate": {"type": "exponential", "initial": r, "factor": r, "every": {"epochs": 1}}}
        for r in (0.05, 0.1)
    ],
    [
        {
            "type": "sgd",
            "learning_rate": {"type": "warm_up", "over": {"steps": 5}, "then": {"type": "power", "initial": r,
                              "every": {"epochs": 1}}},
        }
        for r in (0.05, 0.1)
    ],
]  # fmt: skip


SOME = [
    OPTIMIZERS[2],
    *(pytest.param(pair, marks=pytest.mark.slow) for pair in OPTIMIZERS if pair is not OPTIMIZERS[2]),
]


@pytest.mark.parametrize("optimizers", SOME, ids=lambda pair: pair[0]["type"])
def test_numbers_of_optimizers_and_schedules_may_differ(tmp_path: Path, optimizers: list[dict[str, Any]]) -> None:
    trains = [{"optimizer": each, "l2": 0.001 * (1 + n), "max_norm": 2.0 + n} for n, each in enumerate(optimizers)]
    grouped = together([task(tmp_path / "together", seed, train=train) for seed, train in enumerate(trains)])
    single = alone([task(tmp_path / "alone", seed, train=train) for seed, train in enumerate(trains)])
    for one, other in zip(grouped, single, strict=True):
        assert_equal_within_rounding(one, other, 1e-4)


@pytest.mark.slow
def test_draws_statistics_and_early_stopping_are_each_trials_own(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "data": {"augment": {"shift": 1, "noise": 0.1}},
        "model": {"dropout": 0.1, "batch_norm": {"statistics": "exact"}, "bias": False, "activation": "rrelu"},
        "train": {"epochs": 30, "early_stopping": {"patience": 2}, "optimizer": {"type": "sgd", "learning_rate": 0.5}},
    }
    grouped = together([task(tmp_path / "together", seed, **sections) for seed in range(5)])
    single = alone([task(tmp_path / "alone", seed, **sections) for seed in range(5)])
    assert len({answer["result"]["epochs"] for answer in grouped}) > 1
    for one, other in zip(grouped, single, strict=True):
        assert_equal_within_rounding(one, other, 1e-3)


def test_a_loss_that_is_not_finite_fails_its_trial_alone(tmp_path: Path) -> None:
    rates = [0.02, 1e30, 0.03]
    trains = [{"optimizer": {"type": "sgd", "learning_rate": rate}} for rate in rates]
    found = together([task(tmp_path, seed, train=train) for seed, train in enumerate(trains)])
    assert [answer["status"] for answer in found] == ["done", "failed", "done"]
    assert "not finite" in found[1]["error"]
    assert "first in layer" in found[1]["error"]
    assert all(math.isfinite(answer["result"]["metrics"]["train"]["loss"]) for answer in (found[0], found[2]))


def test_a_stopped_group_goes_on_together_or_singly(tmp_path: Path) -> None:
    train = {"epochs": 4, "checkpoint_every": {"epochs": 1}}
    tasks = [task(tmp_path / "stopped", seed, train=train) for seed in range(4)]

    def stop() -> int | None:
        return 15 if len(list(tmp_path.glob("stopped/trial-*/*/checkpoints/step-*"))) >= 4 else None

    first = together(tasks, stop=stop)
    assert {answer["status"] for answer in first} == {"interrupted"}
    kept = Kept()
    resumed = [run_trial(tasks[0], NEVER, kept.assemble_for(tasks[0])), *together(tasks[1:])]
    whole = alone([task(tmp_path / "whole", seed, train=train) for seed in range(4)])
    for one, other in zip(resumed, whole, strict=True):
        assert_equal_within_rounding(one, other)


def test_lanes_behind_catch_up(tmp_path: Path) -> None:
    train = {"epochs": 3}
    begun = task(tmp_path / "together", 0, train=train)
    halfway = run_trial({**begun, "until": 1}, NEVER, Kept().assemble_for(begun))
    assert halfway["status"] == "paused"
    grouped = together([task(tmp_path / "together", seed, train=train) for seed in range(3)])
    single = alone([task(tmp_path / "alone", seed, train=train) for seed in range(3)])
    for one, other in zip(grouped, single, strict=True):
        assert_equal_within_rounding(one, other)


def test_what_jax_cannot_trace_is_trained_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnnrun.optim.optimizer.sgd import Sgd

    build = Sgd.build
    monkeypatch.setattr(Sgd, "build", lambda self, decays: build(self, decays) if self.weight_decay > 0 else None)
    trains = [{"optimizer": {"type": "sgd", "weight_decay": w}} for w in (0.1, 0.2)]
    found = together([task(tmp_path, seed, train=train) for seed, train in enumerate(trains)])
    assert [answer["status"] for answer in found] == ["done", "done"]


def test_too_little_memory_for_all_is_an_answer_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnnrun.train.lanes import Lanes

    def train(*_: Any) -> Any:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")

    monkeypatch.setattr(Lanes, "_train", train)
    found = together([task(tmp_path, seed) for seed in range(2)])
    assert {answer["status"] for answer in found} == {"memory"}
