"""Layers that begin to learn later: when, with which optimizer state, and the same however a run is interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from dnnrun.assemble import assemble
from dnnrun.data.source import Places
from dnnrun.errors import CheckpointError, Interrupted, ResumeError
from dnnrun.store.find import find_checkpoint
from dnnrun.train.snapshot import carry_on
from tests.smallruns import Collected, outcome, trained
from tests.test_kill import check
from tests.transfer.sources import layers_equal, model_of, on

EPOCHS = {"train": "outputs", "unfreeze": {"hidden3": 1, "hidden2": 2}}
RUNS = {
    "by stall": (
        (
            "train.epochs=9",
            "train.checkpoint_every={steps: 10}",
            "train.early_stopping={patience: 2, min_delta: 10.0}",
        ),
        {"unfreeze": {"hidden3": {"stalled": 1}, "hidden[12]": {"stalled": 1}}, "rates": {"hidden.*": 0.1}},
    ),
    "all that has a state": (
        (
            "train.epochs=4",
            "train.checkpoint_every={steps: 10}",
            "model.dropout=0.1",
            "model.batch_norm={statistics: exact}",
            "train.optimizer.learning_rate={type: plateau, initial: 0.05, patience: 1, factor: 0.5}",
            "train.early_stopping={patience: 9}",
        ),
        {**EPOCHS, "freeze_batch_norm": False},
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_interrupted_at_every_chance_equals_uninterrupted(
    name: str, rich: Path, tmp_path: Path, compiled: Path
) -> None:
    overrides, transfer = RUNS[name]
    spec, watcher = on(rich, *overrides, **transfer), Collected()
    places = Places(cache=tmp_path)
    whole = trained(spec, tmp_path / "a", compiled, watcher=watcher, places=places)
    joined = [line for line in watcher.said if line.startswith("after epoch ")]
    assert len(joined) == 2
    steps: list[int] = []
    while True:
        try:
            asked = iter(range(99))
            wanted = 0 if len(steps) in (0, 2) else 1  # within an epoch, else at its end
            stop = lambda asked=asked, wanted=wanted: 15 if next(asked) >= wanted else None  # noqa: E731
            result = trained(spec, tmp_path / "b", compiled, resume=bool(steps), stop=stop, places=places)
            break
        except Interrupted as stopped:
            steps.append(stopped.result["steps"])
    assert {10, 20} <= set(steps)
    assert outcome(result.run) == outcome(whole.run)
    assert result.metrics == whole.metrics
    log = (result.run / "out.log").read_text()
    assert [line for line in joined if line not in log] == []


class Ended(Collected):
    """Asks for a stop when an epoch has ended, however many chunks it took."""

    signal: int | None = None

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        self.signal = 15


def test_layers_learn_from_their_epoch_on(rich: Path, tmp_path: Path, compiled: Path) -> None:
    source = model_of(rich)
    spec = on(rich, "train.epochs=3", "train.checkpoint_every={epochs: 1}", **EPOCHS)
    after = {}
    for epoch in (1, 2):
        ended = Ended()
        with pytest.raises(Interrupted):
            trained(spec, tmp_path, compiled, resume=epoch > 1, watcher=ended, stop=lambda ended=ended: ended.signal)
        there = find_checkpoint(next((tmp_path / "new").glob("2*")) / "checkpoints" / "last")
        after[there.manifest["epochs"]] = there.model()
    learned = {
        epoch: [x for x in ("hidden1", "hidden2", "hidden3") if not layers_equal(tensors, source, x)]
        for epoch, tensors in after.items()
    }
    assert learned[1.0] == []
    assert all(layers in ([], ["hidden3"]) for layers in learned.values())
    result = trained(spec, tmp_path, compiled, resume=True)
    assert [layers_equal(model_of(result.run), source, f"hidden{n}") for n in (1, 2, 3)] == [True, False, False]


def test_a_new_phase_keeps_the_optimizer_of_those_that_learned(rich: Path) -> None:
    parts = assemble(on(rich, "train.epochs=4", **EPOCHS), Places(), None)
    state, frozen = parts.enter(0, [0], parts.first_tensors())
    state = parts.program.train_chunk(state, frozen, parts.batches(0), 0, 10)
    tensors = {**frozen, **state.params, **state.statistics}
    fresh, frozen = parts.enter(1, [0, 1], tensors)
    after = carry_on(fresh, state, tensors)
    assert set(after.optimizer) == {"0", "1"}
    old, new = (jax.tree.leaves(x.optimizer["0"]) for x in (state, after))
    assert [np.asarray(x).tobytes() for x in old] == [np.asarray(x).tobytes() for x in new]
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(after.optimizer["1"]))
    assert int(after.step) == 10
    assert {name.partition("/")[0] for name in after.params} == {"outputs", "hidden3"}
    now = {**frozen, **after.params, **after.statistics}
    assert {n: np.asarray(v).tobytes() for n, v in now.items()} == {
        n: np.asarray(v).tobytes() for n, v in tensors.items()
    }


def test_the_best_of_an_earlier_phase_takes_back_what_joined_later(rich: Path, tmp_path: Path, compiled: Path) -> None:
    stopping = "train.early_stopping={patience: 9, restore_best: true}"
    rates = {"hidden.*": 100.0}  # ruins what it touches
    for statistics in ("moving", "exact"):
        norm = f"model.batch_norm={{statistics: {statistics}}}"
        spec = on(rich, stopping, "train.epochs=3", norm, **EPOCHS, rates=rates)
        result = trained(spec, tmp_path / statistics, compiled)
        assert find_checkpoint(result.run / "best").manifest["epochs"] == 1
        for which in ("last", "best"):
            assert layers_equal(model_of(result.run / which), model_of(rich), "hidden1", "hidden2", "hidden3")


def test_the_source_is_not_needed_once_training_began(rich: Path, tmp_path: Path, compiled: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(rich, source, symlinks=True)
    spec = on(source, "train.checkpoint_every={steps: 5}", **{**EPOCHS, "unfreeze": {"hidden3": 1}})
    whole = trained(spec, tmp_path / "a", compiled)
    with pytest.raises(Interrupted):
        trained(spec, tmp_path / "b", compiled, stop=lambda: 15)
    shutil.rmtree(source)
    assert outcome(trained(spec, tmp_path / "b", compiled, resume=True).run) == outcome(whole.run)


def killed_before_the_first_checkpoint(source: Path, runs: Path, compiled: Path) -> object:
    """The spec of a run that ended, as a kill would end it, before it saved anything."""

    def kill() -> int:
        raise KeyboardInterrupt

    spec = on(source, **{**EPOCHS, "unfreeze": {"hidden3": 1}})
    with pytest.raises(KeyboardInterrupt):
        trained(spec, runs, compiled, stop=kill)
    assert not list(runs.glob("new/*/checkpoints/last"))
    return spec


def test_a_source_that_changed_before_the_first_checkpoint_is_refused(
    rich: Path, tmp_path: Path, compiled: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(rich, source, symlinks=True)
    spec = killed_before_the_first_checkpoint(source, tmp_path / "runs", compiled)
    folder = find_checkpoint(source).folder
    manifest = folder / "manifest.json"
    good = manifest.read_text()
    manifest.write_text(good + "\n")
    with pytest.raises(ResumeError) as caught:
        trained(spec, tmp_path / "runs", compiled, resume=True)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"{folder}: the source of the reused layers has changed since this run began; restore it, or begin a new run"
    )
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        trained(spec, tmp_path / "runs", compiled, resume=True)  # type: ignore[arg-type]


def test_a_newer_run_of_the_source_does_not_change_a_resumed_one(rich: Path, tmp_path: Path, compiled: Path) -> None:
    runs = tmp_path / "sources"
    runs.mkdir()
    shutil.copytree(rich, runs / rich.name, symlinks=True)
    spec = killed_before_the_first_checkpoint(runs, tmp_path / "b", compiled)
    whole = trained(spec, tmp_path / "a", compiled)  # type: ignore[arg-type]
    other = trained(on(rich, "name=sources", "train.epochs=1", reuse="hidden1"), tmp_path, compiled).run
    assert find_checkpoint(runs).folder.is_relative_to(other.resolve())
    assert outcome(trained(spec, tmp_path / "b", compiled, resume=True).run) == outcome(whole.run)  # type: ignore[arg-type]


@pytest.mark.slow
def test_killed_in_every_phase(rich: Path, tmp_path: Path, compiled: Path) -> None:
    spec = on(rich, "data.limit=400", "train.epochs=4", "train.checkpoint_every={steps: 3}", train="outputs",
              unfreeze={"hidden3": 2})  # fmt: skip
    check(spec, 3, tmp_path, compiled)


@pytest.mark.slow
def test_killed_twenty_times(rich: Path, tmp_path: Path, compiled: Path) -> None:
    more = (
        "data.limit=1000",
        "train.epochs=15",
        "train.checkpoint_every={steps: 7}",
        "train.early_stopping={patience: 20}",
    )
    check(on(rich, *more, train="outputs", unfreeze={"hidden3": 4, "hidden[12]": 9}), 20, tmp_path, compiled)
