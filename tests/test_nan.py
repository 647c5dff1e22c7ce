"""A loss that is not finite stops the run, says where, and leaves what was saved."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dnnrun.errors import RunFailed
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import newest
from tests.smallnets import PER_EPOCH, net
from tests.smallruns import small, trained

ADVICE = "Lower the learning rate, clip the gradients (train.clip), or use batch normalization"
LATER = "train.optimizer.learning_rate={type: piecewise, values: [0.1, 1.0e+30], boundaries: [{epochs: 2}]}"


def test_an_exploding_rate_names_the_step_and_the_layer(tmp_path: Path, compiled: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        trained(small("train.optimizer.learning_rate=1.0e+30"), tmp_path, compiled)
    text = str(caught.value)
    found = re.fullmatch(
        r"the loss is not finite at step (\d+) \(epoch 1\); first in layer (\w+): (.+)\. "
        r"The last good checkpoint: none was written yet\. (.+)",
        text,
    )
    assert found, text
    assert 1 <= int(found[1]) <= 3
    assert found[2] in ("hidden1", "outputs")
    assert found[4] == ADVICE
    assert caught.value.exit_code == 1
    run = newest(tmp_path, "small")
    assert run.meta()["status"] == "failed"
    assert run.meta()["error"] == text


def test_the_last_good_checkpoint_and_the_best_stay(tmp_path: Path, compiled: Path) -> None:
    good = trained(small(LATER, "train.epochs=2", "name=good"), tmp_path, compiled)
    with pytest.raises(RunFailed, match=r"not finite at step 2\d \(epoch 3\)") as caught:
        trained(small(LATER, "train.checkpoint_every={epochs: 1}"), tmp_path, compiled)
    run = newest(tmp_path, "small").path
    last = find_checkpoint(run)
    assert last.step == 20
    assert f"The last good checkpoint: {last.folder}. " in str(caught.value)
    wanted = {name: value.tobytes() for name, value in find_checkpoint(good.run).model().items()}
    assert {name: value.tobytes() for name, value in last.model().items()} == wanted
    assert find_checkpoint(run / "best").step in (10, 20)


def test_weights_that_broke_in_the_last_step_are_not_saved(tmp_path: Path, compiled: Path) -> None:
    """No later loss tells of them, and an accuracy is always finite."""
    last_step = "train.optimizer.learning_rate={type: piecewise, values: [0.1, 1.0e+38], boundaries: [{steps: 29}]}"
    options = ("train.optimizer.type=momentum", last_step, "train.monitor=validation.accuracy")
    with pytest.raises(RunFailed):
        trained(small(*options, "train.checkpoint_every={epochs: 1}"), tmp_path, compiled)
    run = newest(tmp_path, "small").path
    for which in ("last", "best"):
        found = find_checkpoint(run / which)
        assert found.step in (10, 20)
        assert all(np.isfinite(value).all() for value in found.model().values())


def test_a_broken_validation_is_told_as_one(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Infinite moving statistics hurt evaluation alone: training normalizes with the batch's own."""
    from dnnrun.train.program import Program

    measured = Program.evaluate
    calls = iter(range(100))

    def broken(self: Program, tensors: dict, *rest: object) -> dict[str, float]:
        if next(calls) > 0:
            tensors = {**tensors, "hidden1/batch_norm/var": tensors["hidden1/batch_norm/var"] * np.nan}
        return measured(self, tensors, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Program, "evaluate", broken)
    with pytest.raises(RunFailed) as caught:
        trained(small("model.batch_norm=true", "train.monitor=validation.accuracy"), tmp_path, compiled)
    assert str(caught.value).startswith("validation.loss is not finite after step 20 (epoch 2); first in layer ")
    run = newest(tmp_path, "small").path
    assert find_checkpoint(run).step == 14


def test_the_first_bad_layer_is_found_in_training_and_in_evaluation() -> None:
    from dataclasses import replace

    from dnnrun.train.trouble import first_bad_layer

    small_net = net(batch_norm=True, activation="elu")
    program, frozen, data = small_net.program, small_net.frozen, small_net.data
    state = small_net.after(1)

    def broken(name: str, value: float) -> tuple[str, str] | None:
        params, statistics = dict(state.params), dict(state.statistics)
        place = params if name in params else statistics
        place[name] = place[name] * 0 + value
        return first_bad_layer(program, replace(state, params=params, statistics=statistics), frozen, data)

    assert broken("hidden2/bias", np.nan) == ("hidden2", "its bias, after the step before")
    assert broken("hidden2/batch_norm/var", np.inf) == ("hidden2", "its batch_norm/var, after the step before")
    assert broken("hidden1/kernel", 3e38) == ("hidden1", "its pre-activations")
    assert (broken("hidden2/batch_norm/scale", 3e38) or "")[0] in ("hidden2", "outputs")
    negative = {**state.statistics, "hidden2/batch_norm/var": state.statistics["hidden2/batch_norm/var"] * 0 - 1}
    evaluated = first_bad_layer(program, replace(state, statistics=negative), frozen, data, range(PER_EPOCH))
    assert evaluated == ("hidden2", "its outputs")
    assert first_bad_layer(program, state, frozen, data, range(PER_EPOCH)) is None
