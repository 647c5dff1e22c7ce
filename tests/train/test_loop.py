"""The loop: when it stops, what it keeps, and that a saved state goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dnnrun.errors import CheckpointError
from dnnrun.optim.schedule import Constant, Schedule
from dnnrun.train import snapshot
from dnnrun.train.loop import Chunk, EpochEnd, NotFinite, Plan, Progress, fit
from tests.smallnets import BATCH, PER_EPOCH, ROWS, net, same

FAST, SLOW = 1e-6, 10.0


def clock(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


def plan(**changes: Any) -> Plan:
    splits = {"train": (0, ROWS), "validation": (ROWS, ROWS + 12)}
    basic: dict[str, Any] = {"epochs": 3, "splits": splits, "monitor": "validation.loss"}
    whole = {**basic, "schedule": Constant(value=0.1), **changes}
    return Plan(steps_per_epoch=PER_EPOCH, batch_size=BATCH, **whole)


def events(progress: Progress | None = None, tick: float = FAST, state: Any = None, **changes: Any) -> list[Any]:
    small, time = net(batch_norm=True, activation="elu"), clock(tick)
    start = small.state if state is None else state
    return list(
        fit(
            small.program,
            start,
            small.frozen,
            lambda epoch: small.data,
            plan(**changes),
            progress or Progress(),
            time.__next__,
        )
    )


def test_the_clock_decides_the_chunks_and_nothing_else() -> None:
    fast, slow = events(tick=FAST), events(tick=SLOW)
    ends = [[e.state for e in found if isinstance(e, EpochEnd)][-1] for found in (fast, slow)]
    assert same(ends[0].params, ends[1].params)
    assert [e.steps for e in fast if isinstance(e, Chunk)] == [1, 7, 8, 8]
    assert [e.steps for e in slow if isinstance(e, Chunk)] == [1] * 24


def test_chunks_end_where_a_checkpoint_is_due() -> None:
    stops = [e.step for e in events(cut_every=5) if isinstance(e, Chunk)]
    assert {5, 10, 15, 20, 8, 16, 24} <= set(stops)


def test_epochs_report_their_own_sums() -> None:
    records = [e.record for e in events() if isinstance(e, EpochEnd)]
    assert [(r["epoch"], r["step"]) for r in records] == [(1, 8), (2, 16), (3, 24)]
    assert records[-1]["train"]["loss"] < records[0]["train"]["loss"]
    assert all(0 <= r[split]["accuracy"] <= 1 for r in records for split in ("train", "validation"))


def test_stopping_early_counts_epochs_without_a_better_value() -> None:
    progress = Progress()
    ends = [e for e in events(progress, epochs=9, patience=2, min_delta=100.0) if isinstance(e, EpochEnd)]
    assert len(ends) == 3  # the first is the reference, then two that are not better by so much
    assert progress.stopped == "no better validation.loss for 2 epochs"
    assert progress.best is not None
    assert progress.best.value == min(e.record["validation"]["loss"] for e in ends)  # best itself knows no min_delta


def test_the_best_of_an_accuracy_is_the_highest_and_first() -> None:
    progress = Progress()
    ends = [e for e in events(progress, monitor="train.accuracy") if isinstance(e, EpochEnd)]
    values = [e.record["train"]["accuracy"] for e in ends]
    assert progress.best is not None
    assert progress.best.value == max(values)
    assert progress.best.epoch == 1 + values.index(max(values))


def test_a_plateau_lowers_the_rate_from_the_next_step_on() -> None:
    wanted = Schedule.parse({"type": "plateau", "initial": 0.1, "patience": 1, "min_delta": 100.0, "factor": 0.5})
    rates = [e.record["learning_rate"] for e in events(schedule=wanted, epochs=4) if isinstance(e, EpochEnd)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.05, 0.025], rtol=1e-6)


def test_a_bad_step_is_given_with_the_state_it_began_with() -> None:
    from dataclasses import replace

    small = net(batch_norm=True, activation="elu")
    state = replace(small.after(3), params={n: v * np.float32(np.nan) for n, v in small.state.params.items()})
    last = events(state=state)[-1]
    assert isinstance(last, NotFinite)
    assert (last.step, int(last.before.step), last.metric) == (3, 3, None)


def test_a_state_that_was_saved_goes_on_to_the_same_bits() -> None:
    small = net(batch_norm=True, optimizer={"type": "nadam", "learning_rate": 0.05})

    def going(state: Any, progress: Progress, **changes: Any) -> Iterator[Any]:
        time = clock(FAST)
        return fit(
            small.program, state, small.frozen, lambda epoch: small.data, plan(**changes), progress, time.__next__
        )

    whole_progress, progress = Progress(), Progress()
    whole = list(going(small.state, whole_progress))[-1].state
    cut = going(small.state, progress, cut_every=5)
    middle = next(e.state for e in cut if isinstance(e, Chunk) and e.step == 10)
    arrays, numbers = snapshot.arrays_of(middle, progress), snapshot.json_of(progress)
    model = small.tensors(middle)
    again_progress = snapshot.progress_from(numbers, arrays)
    again = list(going(snapshot.state_from(small.state, model, arrays), again_progress))[-1].state
    assert same(snapshot.arrays_of(whole, whole_progress), snapshot.arrays_of(again, again_progress))
    assert same(small.tensors(whole), small.tensors(again))
    assert snapshot.json_of(whole_progress) == snapshot.json_of(again_progress)


def test_a_snapshot_that_does_not_fit_names_what_is_missing() -> None:
    small = net(batch_norm=True, optimizer={"type": "nadam", "learning_rate": 0.05})
    arrays, model = snapshot.arrays_of(small.state, Progress()), small.tensors(small.state)
    name = next(name for name in arrays if name.startswith("optimizer/") and name.endswith("hidden1/kernel"))
    without = {key: value for key, value in arrays.items() if key != name}
    with pytest.raises(CheckpointError, match=f"the checkpoint has no {name}; it was written for another optimizer"):
        snapshot.state_from(small.state, model, without)
    with pytest.raises(CheckpointError, match=r"is float32\[3\], wanted float32\[6, 7\]"):
        snapshot.state_from(small.state, model, {**arrays, name: np.zeros(3, np.float32)})
