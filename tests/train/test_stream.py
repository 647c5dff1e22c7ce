"""Rows streamed to the device: the bits of the same order of rows, whatever is on the device at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from dnnrun.assemble import assemble
from dnnrun.assembly import Assembly
from dnnrun.data.source import Places
from dnnrun.errors import SpecError
from dnnrun.spec.load import load_mapping
from dnnrun.train.stream import Epoch, Stream
from tests.smallnets import same
from tests.smallruns import SMALL, Collected, small, trained


def streamed(*overrides: str) -> tuple[Assembly, Stream]:
    parts = assemble(small(*overrides), Places(), None)
    parts.enter(0, [0], parts.first_tensors())
    assert isinstance(parts.data, Stream)
    return parts, parts.data


@pytest.mark.parametrize("size", [20, 70, 10**6])
def test_an_epoch_takes_every_row_once_in_an_order_of_its_own(size: int) -> None:
    parts, stream = streamed(f"data.stream={size}", "data.limit=207")
    start, stop = parts.dataset.splits["train"]
    orders = []
    for epoch in (0, 1):
        taken = [stream.bounds(window)[0] + stream.order(epoch, window) for window, _ in stream.turns(epoch)]
        orders.append(np.concatenate(taken))
        assert sorted(orders[-1]) == list(range(start, stop))
    assert not np.array_equal(*orders)
    assert stream.size % 20 == 0
    assert stream.size <= max(size, 20)


def test_the_bits_are_those_of_the_same_order_on_the_device() -> None:
    parts, stream = streamed("data.stream=70", "model.dropout=0.3", "data.limit=207")
    state, frozen = parts.enter(0, [0], parts.first_tensors())
    whole = state
    for epoch in (0, 1):
        data = stream.epoch(epoch)
        step, end = epoch * 10, epoch * 10 + 10
        batches = [stream.bounds(w)[0] + stream.order(epoch, w) for w, _ in stream.turns(epoch)]
        order = np.concatenate([rows[: len(rows) // 20 * 20] for rows in batches])
        while step < end:
            window, last = data.at(step - epoch * 10)
            state = parts.program.train_chunk(state, frozen, window, step, epoch * 10 + last)
            step = epoch * 10 + last
        resident = replace(parts.resident(), order=jax.device_put(order.astype(np.int32)))
        program = parts.make(trainable=parts.program.trainable)
        program.compile(whole, frozen, resident)
        whole = program.train_chunk(whole, frozen, resident, epoch * 10, end)
    assert same(state.params, whole.params)
    assert same(state.optimizer, whole.optimizer)


def test_evaluation_covers_every_row() -> None:
    parts, stream = streamed("data.stream=70")
    resident = parts.resident()
    tensors = parts.first_tensors()
    for split, (start, stop) in parts.dataset.splits.items():
        found = parts.program.evaluate(tensors, stream, start, stop)
        program = parts.make(trainable=parts.program.trainable)
        wanted = program.evaluate(tensors, resident, start, stop)
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5), split
        assert found["accuracy"] == wanted["accuracy"]


def test_the_next_window_is_on_its_way() -> None:
    _, stream = streamed("data.stream=70")
    epoch = stream.epoch(0)
    assert isinstance(epoch, Epoch)
    _, last = epoch.at(0)
    (window, _), (after, _) = stream.turns(0)[:2]
    assert ("turn", 0, after) in stream.coming
    start, stop = stream.bounds(window)
    assert last == (stop - start) // 20


def test_one_trace_a_run(tmp_path: Path, compiled: Path) -> None:
    watcher = Collected()
    trained(small("data.stream=70"), tmp_path, compiled, watcher=watcher)
    assert any("; streamed, 70 rows at a time" in line for line in watcher.said)


def test_a_loss_that_is_not_finite_is_found_in_its_window(tmp_path: Path, compiled: Path) -> None:
    from dnnrun.errors import RunFailed

    with pytest.raises(RunFailed, match="the loss is not finite at step"):
        trained(small("data.stream=70", "train.optimizer.learning_rate=1e30"), tmp_path, compiled)


def test_what_wants_all_rows_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        assemble(small("data.stream=70", "model.batch_norm={statistics: exact}"), Places(), None)
    assert list(caught.value.problems) == [
        "data.stream: the exact batch-norm statistics of hidden1 want all rows on the device; use statistics: moving"
    ]
    with pytest.raises(SpecError, match="the stages of pretraining keep all rows; leave one of them out"):
        load_mapping({**SMALL, "pretrain": "autoencoder"}, ["data.stream=70"])
