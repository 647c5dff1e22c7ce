"""A whole step against one written in NumPy, float64, gradients by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.smallnets import BATCH, PER_EPOCH, Net, net

Tensors = dict[str, np.ndarray]
MODEL: dict[str, Any] = {"hidden": [7], "activation": "tanh"}
EPSILON, RATE = 1e-3, 0.1


def batch(small: Net, step: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.asarray(small.data.order)[step % PER_EPOCH * BATCH :][:BATCH]
    return (np.asarray(small.data.features, np.float64)[rows] - 0.5) * 0.25, np.asarray(small.data.labels)[rows]


def normalized(z: np.ndarray, t: Tensors, layer: str) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    deviation = np.sqrt(z.var(0) + EPSILON)
    hat = (z - z.mean(0)) / deviation
    return hat * t[f"{layer}/batch_norm/scale"] + t[f"{layer}/batch_norm/bias"], (hat, deviation)


def normalized_back(dy: np.ndarray, kept: tuple[np.ndarray, np.ndarray], t: Tensors, layer: str, into: Tensors):
    hat, deviation = kept
    into[f"{layer}/batch_norm/scale"] = (dy * hat).sum(0)
    into[f"{layer}/batch_norm/bias"] = dy.sum(0)
    dhat = dy * t[f"{layer}/batch_norm/scale"]
    return (dhat - dhat.mean(0) - hat * (dhat * hat).mean(0)) / deviation


def gradients(x: np.ndarray, labels: np.ndarray, t: Tensors, norm: bool) -> Tensors:
    """Of the mean cross-entropy of x -> dense -> (norm) -> tanh -> dense -> (norm) -> softmax."""
    found: Tensors = {}
    kept1 = kept2 = (x, x)
    z1 = x @ t["hidden1/kernel"] + t["hidden1/bias"]
    if norm:
        z1, kept1 = normalized(z1, t, "hidden1")
    h = np.tanh(z1)
    z2 = h @ t["outputs/kernel"] + t["outputs/bias"]
    if norm:
        z2, kept2 = normalized(z2, t, "outputs")
    p = np.exp(z2 - z2.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    dz2 = (p - np.eye(p.shape[1])[labels]) / len(x)
    if norm:
        dz2 = normalized_back(dz2, kept2, t, "outputs", found)
    found |= {"outputs/kernel": h.T @ dz2, "outputs/bias": dz2.sum(0)}
    dz1 = dz2 @ t["outputs/kernel"].T * (1 - h * h)
    if norm:
        dz1 = normalized_back(dz1, kept1, t, "hidden1", found)
    return {**found, "hidden1/kernel": x.T @ dz1, "hidden1/bias": dz1.sum(0)}


def steps(small: Net, count: int, norm: bool) -> Tensors:
    tensors = {name: np.asarray(value, np.float64) for name, value in small.state.params.items()}
    for step in range(count):
        x, labels = batch(small, step)
        slopes = gradients(x, labels, tensors, norm)
        assert slopes.keys() == tensors.keys()
        tensors = {name: value - RATE * slopes[name] for name, value in tensors.items()}
    return tensors


@pytest.mark.parametrize("norm", [False, True])
def test_steps_equal_those_of_numpy(norm: bool) -> None:
    small = net(**MODEL, batch_norm={"logits": True} if norm else False)
    wanted, state = steps(small, 3, norm), small.after(3)
    for name, value in wanted.items():
        np.testing.assert_allclose(np.asarray(state.params[name]), value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_penalties_add_their_gradient_to_kernels_alone() -> None:
    l1, l2 = 0.01, 0.02
    plain, penalized = net(**MODEL), net(**MODEL, l1=l1, l2=l2)
    start = {name: np.asarray(value) for name, value in plain.state.params.items()}
    a, b = plain.after(1), penalized.after(1)
    for name, value in start.items():
        more = l1 * np.sign(value) + l2 * value if name.endswith("/kernel") else np.zeros_like(value)
        wanted = np.asarray(a.params[name]) - RATE * more
        np.testing.assert_allclose(np.asarray(b.params[name]), wanted, atol=1e-6, err_msg=name)
    assert float(a.sums["loss_sum"]) == pytest.approx(
        float(b.sums["loss_sum"])
    )  # what is reported is the loss without penalties


def test_max_norm_holds_after_every_step() -> None:
    limit = 0.3
    small = net(max_norm=limit)
    free = net()
    for stop in range(1, PER_EPOCH + 1):
        for name, value in small.after(stop).params.items():
            if name.endswith("/kernel"):
                assert (np.linalg.norm(np.asarray(value), axis=0) <= limit * (1 + 1e-6)).all()
    assert any(
        (np.linalg.norm(np.asarray(v), axis=0) > limit).any() for n, v in free.after(8).params.items() if "kernel" in n
    )


def test_clipping_bounds_what_a_step_does() -> None:
    threshold = 1e-3
    small = net(clip={"type": "value", "threshold": threshold})
    before, after = small.state.params, small.after(1).params
    for name, value in after.items():
        assert np.abs(np.asarray(value) - np.asarray(before[name])).max() <= RATE * threshold * (1 + 1e-3)


def test_label_smoothing_is_for_training_alone() -> None:
    plain, smooth = net(), net(loss={"type": "cross_entropy", "label_smoothing": 0.2})
    assert float(plain.after(1).sums["loss_sum"]) != pytest.approx(float(smooth.after(1).sums["loss_sum"]))
    tensors = plain.tensors(plain.state)
    assert plain.program.evaluate(tensors, plain.data, 0, 40) == smooth.program.evaluate(tensors, smooth.data, 0, 40)
