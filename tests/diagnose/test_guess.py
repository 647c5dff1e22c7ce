from __future__ import annotations

import numpy as np
import pytest

from dnnrun.diagnose.guess import loss_of_guessing
from dnnrun.nn.architecture import lay_out
from dnnrun.nn.loss import Loss
from dnnrun.nn.network import Split
from dnnrun.train.task import Classification, Multilabel, Regression
from tests.smallruns import small


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_guessing(weighted: bool) -> None:
    """Of classes the entropy of their shares, of labels that of each, of numbers the spread."""
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.5, 2, 200).astype(np.float32) if weighted else None
    mass = np.full(200, 1 / 200) if weights is None else weights / weights.sum()
    network = Split(lay_out(small().model, 4, 3))
    losses = {name: Loss.parse(name).build() for name in ("cross_entropy", "binary_cross_entropy", "mse", "mae")}
    kinds = rng.integers(0, 3, 200).astype(np.int32)
    shares = np.bincount(kinds, mass, 3)
    classes = Classification(network, losses["cross_entropy"], losses["cross_entropy"])
    assert loss_of_guessing(classes, kinds, weights) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)
    labels = (rng.random((200, 3)) < [0.1, 0.5, 0.9]).astype(np.float32)
    p = mass @ labels
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    several = Multilabel(network, losses["binary_cross_entropy"], losses["binary_cross_entropy"])
    assert loss_of_guessing(several, labels, weights) == pytest.approx(entropy, rel=1e-5)
    numbers = rng.exponential(1, (200, 3)).astype(np.float32)
    away = {"mse": numbers - mass @ numbers, "mae": numbers - np.median(numbers, 0)}
    for name, far in away.items():
        told = Regression(network, losses[name], losses[name], std=(1.0, 1.0, 1.0))
        worst = float(mass @ (far**2 if name == "mse" else abs(far)).mean(1))
        assert loss_of_guessing(told, numbers, weights) <= worst * (1 + 1e-5)
        assert loss_of_guessing(told, numbers, weights) == pytest.approx(worst, rel=0.02)
