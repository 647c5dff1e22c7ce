"""A dense network in NumPy, float64, independent of the package's: what `diagnose` measures is compared with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dnnrun.assemble import assemble
from dnnrun.data.source import Places
from dnnrun.diagnose.sample import sample
from dnnrun.nn.architecture import lay_out
from dnnrun.nn.network import initial_tensors
from dnnrun.spec.sections import Spec
from dnnrun.streams import generator

LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. (2017), equation 14
# Each activation, and its slope by what it is applied to.
FUNCTIONS = {
    "logistic": (lambda z: 1 / (1 + np.exp(-z)), lambda z: 1 / (2 + np.exp(z) + np.exp(-z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "selu": (
        lambda z: LAMBDA * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0))),
        lambda z: LAMBDA * np.where(z > 0, 1, ALPHA * np.exp(np.minimum(z, 0))),
    ),
}


class Plain(NamedTuple):
    """Of each hidden layer, from the first: mean and std of its outputs over rows and units, the std of a unit over the
    rows (the mean of all units'), and the std of the gradients by its inputs."""

    means: np.ndarray
    stds: np.ndarray
    units: np.ndarray
    gradients: np.ndarray

    @property
    def factor(self) -> float:
        """The factor a layer of the gradients, going down: a line through the logarithms."""
        return float(np.exp(-np.polyfit(np.arange(len(self.gradients)), np.log(self.gradients), 1)[0]))


def plain(spec: Spec, x: np.ndarray, labels: np.ndarray, classes: int) -> Plain:
    """Forward and backward through the network that `spec` draws; the loss is the cross-entropy of one example."""
    drawn = initial_tensors(lay_out(spec.model, x.shape[1], classes), spec.seed)
    w = {name: value.astype(float) for name, value in drawn.items() if name.endswith("/kernel")}
    function, slope = FUNCTIONS[spec.model.activation.type]  # type: ignore[attr-defined]
    names = [f"hidden{number + 1}/kernel" for number in range(len(spec.model.hidden))]
    a, before, means, stds, units = x.astype(float), [], [], [], []
    for name in names:
        before.append(a @ w[name])
        a = function(before[-1])
        means.append(a.mean())
        stds.append(a.std())
        units.append(a.std(0).mean())
    logits = a @ w["outputs/kernel"]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(labels)), labels] -= 1
    flowing, gradients = p @ w["outputs/kernel"].T, []
    for name, z in zip(reversed(names), reversed(before), strict=True):
        by_z = flowing * slope(z)
        gradients.append(by_z.std())
        flowing = by_z @ w[name].T
    return Plain(*map(np.array, (means, stds, units, gradients[::-1])))


def seen_plainly(spec: Spec, normal: int | None = None, places: Places | None = None) -> Plain:
    """The network over the very rows that `diagnose` looks at."""
    parts = assemble(sample(spec), places or Places(), None)
    data, width = parts.dataset, sum(layer.units for layer in parts.architecture.layers)
    rows = generator(spec.seed, "order", 0).permutation(np.arange(*data.splits["train"]))
    rows = rows[: min(1000, int(1e8 / width))]
    if normal is None:
        offset, factor = parts.scaling.offset_factor()
        x = (data.features[rows] - offset) * factor
    else:
        x = generator(spec.seed, "diagnose", "inputs").standard_normal((len(data.labels), normal), np.float32)[rows]
    return plain(spec, x, data.labels[rows], len(data.names))
