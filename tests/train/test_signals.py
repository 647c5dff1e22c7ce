from __future__ import annotations

import time
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from dnnrun.train import signals
from dnnrun.train.loop import NotFinite, Plan, Progress, Watched, fit
from tests.smallnets import BATCH, PER_EPOCH, build, net, same


def measured(made: Any) -> signals.Record:
    taken = made.data.take(made.data.order[:BATCH])
    return signals.on_host(
        signals.measure(made.program, made.state, made.frozen, taken, signals.step_key(made.data, 0))
    )


def test_every_number_is_what_numpy_finds() -> None:
    made = net(activation="tanh", optimizer={"type": "sgd", "learning_rate": 0.1}, l2=0.01)
    found = measured(made)
    w = made.tensors(made.state)
    rows = np.asarray(made.data.order[:BATCH])
    a0 = (np.asarray(made.data.features)[rows].astype(np.float64) - 0.5) * 0.25
    z1 = a0 @ w["hidden1/kernel"] + w["hidden1/bias"]
    z2 = np.tanh(z1) @ w["hidden2/kernel"] + w["hidden2/bias"]
    logits = np.tanh(z2) @ w["outputs/kernel"] + w["outputs/bias"]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(BATCH), np.asarray(made.data.labels)[rows]] -= 1
    g2 = (p @ w["outputs/kernel"].T) * (1 - np.tanh(z2) ** 2)
    g1 = (g2 @ w["hidden2/kernel"].T) * (1 - np.tanh(z1) ** 2)
    kernel = w["hidden1/kernel"]
    by_kernel = a0.T @ g1 / BATCH + 0.01 * kernel

    def rms(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean(values**2)))

    first = found["hidden1"]
    assert list(found) == ["hidden1", "hidden2", "outputs"]
    assert first["pre_activation"]["mean"] == pytest.approx(z1.mean(), rel=1e-3)
    assert first["activation"]["std"] == pytest.approx(np.tanh(z1).std(), rel=1e-3)
    assert first["gradient"]["std"] == pytest.approx(g1.std(), rel=1e-3)
    assert found["hidden2"]["gradient"]["std"] == pytest.approx(g2.std(), rel=1e-3)
    assert first["saturated"] == pytest.approx(np.mean(1 - np.tanh(z1) ** 2 < 0.1), abs=1e-4)
    assert first["dead"] is None
    assert first["kernel_gradient"] == pytest.approx(rms(by_kernel), rel=1e-3)
    assert first["update"] == pytest.approx(0.1 * rms(by_kernel), rel=1e-3)
    assert first["kernel"] == pytest.approx(rms(kernel), rel=1e-4)


def test_dead_units_are_counted() -> None:
    made = build(activation="relu")
    bias = made.state.params["hidden1/bias"]
    made.state.params["hidden1/bias"] = jnp.where(jnp.arange(7) < 3, -1e3, bias + 10)
    assert measured(made)["hidden1"]["dead"] == pytest.approx(3 / 7, abs=1e-4)


@pytest.mark.parametrize(
    "model",
    [{"batch_norm": {"position": "after"}, "dropout": 0.5}, {"activation": "prelu"}, {"activation": "rrelu"}],
    ids=["batch norm after, dropout", "learned", "random"],
)
def test_the_gradients_are_those_of_the_step(model: dict[str, Any]) -> None:
    """A step of plain gradient descent changes the weights by what is told as its update."""
    made = build(**model)
    found, after = measured(made), made.after(1)
    for layer in found:
        moved = np.asarray(after.params[f"{layer}/kernel"]) - np.asarray(made.state.params[f"{layer}/kernel"])
        assert found[layer]["update"] == pytest.approx(float(np.sqrt(np.mean(moved**2))), rel=1e-3)


@pytest.mark.parametrize(
    ("rows", "rank"),
    [
        (np.eye(8)[np.arange(80) % 8], 7.0),
        (np.outer(np.arange(10.0), np.ones(5)), 1.0),
        (np.ones((10, 5)), 0.0),
        (np.full((10, 5), 1e20) * np.arange(10)[:, None], 1.0),
    ],
)
def test_effective_rank(rows: np.ndarray, rank: float) -> None:
    assert float(signals.effective_rank(jnp.asarray(rows, jnp.float32))) == pytest.approx(rank, abs=1e-3)


def test_watching_changes_no_bit_and_traces_nothing_again() -> None:
    made = net()
    traces = made.program.traces
    plan = Plan(2, PER_EPOCH, BATCH, {}, "train.loss", NEVER, watch_every=3)
    watch = signals.compiled(made.program)

    def run(watch: Any) -> tuple[Any, list[int]]:
        state, seen = made.state, []
        data = lambda epoch: made.data  # noqa: E731
        for event in fit(made.program, state, made.frozen, data, plan, Progress(), time.perf_counter, watch=watch):
            assert not isinstance(event, NotFinite)
            state = event.state
            if isinstance(event, Watched):
                seen.append(event.step)
        return state, seen

    (plain, none), (watched, steps) = run(None), run(watch)
    assert none == []
    assert steps == [0, 3, 6, 9, 12, 15]
    assert same(plain.params, watched.params)
    assert made.program.traces == traces


class _Never:
    def adapt(self, state: Any, value: float) -> None:
        return None


NEVER: Any = _Never()
