"""The compiled step: cut anywhere, frozen or not, it computes the same and changes only what it may."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from tests.smallnets import BATCH, PER_EPOCH, ROWS, net, same

EVERYTHING: dict[str, Any] = {
    "optimizer": {"type": "adam", "learning_rate": 0.05},
    "batch_norm": {"momentum": 0.8, "logits": True},
    "dropout": {"input": 0.1, "hidden": 0.3},
    "activation": "rrelu",
}


def test_cuts_do_not_change_a_bit() -> None:
    small = net(**EVERYTHING)
    whole = small.after(PER_EPOCH)
    for cuts in ([1, PER_EPOCH], [1, 2, 3, PER_EPOCH], [5, 6, PER_EPOCH], [7, PER_EPOCH], range(1, PER_EPOCH + 1)):
        other = small.after(*cuts)
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(other), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert same(small.tensors(small.after(PER_EPOCH)), small.tensors(whole))
    assert small.program.traces == 1
    assert same(small.tensors(small.after(0)), small.tensors(small.state))


def test_sums_are_those_of_the_epoch_so_far() -> None:
    small = net()
    first, whole = small.after(1), small.after(PER_EPOCH)
    again = small.after(PER_EPOCH, PER_EPOCH + 1)  # the next epoch begins its sums anew
    assert 0 < float(first.sums["loss_sum"]) < float(whole.sums["loss_sum"])
    assert 0 <= int(whole.sums["correct"]) <= ROWS
    assert float(again.sums["loss_sum"]) < float(whole.sums["loss_sum"])
    assert int(again.sums["correct"]) <= BATCH


def test_evaluation_takes_every_row_once() -> None:
    small = net()
    tensors = small.tensors(small.after(PER_EPOCH))
    parts = [(0, 13), (13, 14), (14, ROWS)]
    found = [(stop - start, small.program.evaluate(tensors, small.data, start, stop)) for start, stop in parts]
    whole = small.program.evaluate(tensors, small.data, 0, ROWS)
    for metric in ("loss", "accuracy"):
        assert sum(n * part[metric] for n, part in found) / ROWS == pytest.approx(whole[metric], rel=1e-5)


def test_frozen_tensors_stay_and_have_no_moments() -> None:
    small = net(trainable={"hidden2", "outputs"}, optimizer="adam", batch_norm=True)
    after = small.tensors(small.after(PER_EPOCH, 2 * PER_EPOCH))
    before = small.tensors(small.state)
    frozen = {name for name in before if name.startswith("hidden1/")}
    assert {"hidden1/kernel", "hidden1/batch_norm/mean", "hidden1/batch_norm/var"} <= frozen
    assert frozen == set(small.frozen)
    assert same({n: after[n] for n in frozen}, {n: before[n] for n in frozen})
    assert not any(np.array_equal(after[n], before[n]) for n in before if n not in frozen)
    moments = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(small.state.optimizer)[0]]
    assert any("hidden2/kernel" in path for path in moments)
    assert not any("hidden1" in path for path in moments)


def test_decay_and_penalties_leave_frozen_kernels_alone() -> None:
    small = net(
        optimizer={"type": "adamw", "learning_rate": 0.05, "weight_decay": 0.1},
        trainable={"outputs"},
        l1=0.1,
        l2=0.1,
        max_norm=0.01,
    )
    after = small.tensors(small.after(PER_EPOCH))
    assert all(same({n: after[n]}, {n: np.asarray(x)}) for n, x in small.frozen.items())


def test_a_frozen_layer_named_moving_keeps_its_statistics_moving() -> None:
    small = net(trainable={"hidden2", "outputs"}, moving={"hidden1"}, batch_norm=True)
    before, after = small.tensors(small.state), small.tensors(small.after(PER_EPOCH))
    for name in ("hidden1/kernel", "hidden1/bias", "hidden1/batch_norm/scale", "hidden1/batch_norm/bias"):
        assert np.array_equal(before[name], after[name])
    for name in ("hidden1/batch_norm/mean", "hidden1/batch_norm/var"):
        assert not np.array_equal(before[name], after[name])


def test_frozen_batch_norm_normalizes_with_its_stored_statistics() -> None:
    still, moving = (
        net(trainable={"outputs"}, moving=names, batch_norm=True).after(1).params["outputs/kernel"]
        for names in (set(), {"hidden1", "hidden2"})
    )
    assert not np.allclose(np.asarray(still), np.asarray(moving))
