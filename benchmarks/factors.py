"""What `diagnose` measures beside an independent computation in NumPy (float64) of the same weights and rows.

    python benchmarks/factors.py                      # some minutes on two cores
    python benchmarks/factors.py --remedies [SOURCE]  # what is found and what cures it: up to ten minutes a network

Digits and MNIST, as for `dnnrun train`. Prints the factor a layer of the gradients for the networks of
docs/diagnose.md; the thousand SELU layers over five seeds, and seed 42; the losses of plain SGD in NumPy on the digits,
of these layers and of the remedy.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dnnrun.spec.sections import Spec

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

NETWORKS: tuple[tuple[int, str, Any], ...] = (
    (10, "logistic", {"type": "normal", "std": 1.0}),
    (10, "logistic", "glorot_uniform"),
    (30, "relu", "glorot_uniform"),
    (30, "relu", "he_normal"),
    (100, "tanh", {"type": "normal", "std": 1.0}),
    (100, "tanh", "glorot_uniform"),
)
SOURCES = {"digits": 50, "mnist": 200}  # and the batch size
SEEDS, STEPS, BATCH = 5, 300, 50


def network(depth: int, activation: str, initializer: Any, source: str, batch: int) -> Spec:
    from tests.deepnets import deep

    spec = deep(depth, activation, initializer, batch_size=batch)
    return spec.model_copy(update={"seed": 42, "data": spec.data.model_validate({"source": source})})


def remedies(source: str, batch: int) -> None:
    from dnnrun.data.places import find_places
    from dnnrun.diagnose.case import examine
    from dnnrun.spec.load import dump

    print(f"\n{source}: network, what is found, and the loss after the short training before and after the remedy")
    for depth, activation, initializer in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.yaml"
            path.write_text(dump(network(depth, activation, initializer, source, batch)))
            case = examine(str(path), (), steps=STEPS, remedy=True, places=find_places(None))
        found = ", ".join(dict.fromkeys(finding.kind for finding in case.findings)) or "healthy"
        factor = f"{case.look.backward}" if case.look.backward else ""
        print(f"{depth} {activation}, {initializer}: {found}; gradients {factor}", end="")
        best, course = case.remedy and case.remedy.best, case.look.course
        after = best and best.look.course
        if best and course and after:
            print(f"; {best.name}: {course.losses[-1]:.3g} before, {after.losses[-1]:.2g}", end="")
        print(flush=True)


def factors(source: str, batch: int) -> None:
    from dnnrun.data.places import find_places
    from dnnrun.diagnose.measure import look
    from tests.plainnet import seen_plainly

    places = find_places(None)
    print(f"\ngradients on {source}, the factor a layer: network, diagnose, NumPy, largest difference of a layer's std")
    for depth, activation, initializer in NETWORKS:
        spec = network(depth, activation, initializer, source, batch)
        seen, told = look(spec, places, steps=0), seen_plainly(spec, places=places)
        assert seen.backward is not None
        stds = [signals["gradient"]["std"] for name, signals in seen.start.items() if name != "outputs"]
        away = np.abs(np.array(stds) / told.gradients - 1).max()
        print(f"{depth} {activation}, {initializer}: {seen.backward.factor:.4f} {told.factor:.4f} {away:.2g}")


def beyond(means: np.ndarray, stds: np.ndarray) -> tuple[int, int, int]:
    """Layers whose mean, whose std, and of which either is beyond 0.1 of 0 and 0.8 to 1.1."""
    mean, std = np.abs(means) > 0.1, (stds < 0.8) | (stds > 1.1)
    return int(mean.sum()), int(std.sum()), int((mean | std).sum())


def thousand(initializer: str) -> None:
    from dnnrun.data.places import find_places
    from dnnrun.diagnose.measure import look
    from dnnrun.spec.load import load
    from tests.plainnet import seen_plainly

    print(f"\na thousand SELU layers, {initializer}, standard normal inputs")
    print("| seed | mean beyond | std beyond | layers | largest mean | std | growth | NumPy: layers | unit | growth |")
    for seed in (*range(SEEDS), 42):
        spec = load(ROOT / "configs" / "selu_1000.yaml", [f"seed={seed}", f"model.initializer={initializer}"])
        seen, told = look(spec, find_places(None), steps=0, normal=100), seen_plainly(spec, 100)
        assert seen.backward is not None
        hidden = {name: signals for name, signals in seen.start.items() if name != "outputs"}
        means, stds = (np.array([s["activation"][key] for s in hidden.values()]) for key in ("mean", "std"))
        cells = [seed, *beyond(means, stds), f"{np.abs(means).max():.3f}", f"{stds.min():.3f} to {stds.max():.3f}"]
        cells += [f"{seen.backward.factor:.4f}", beyond(told.means, told.stds)[2]]
        cells += [f"{told.units.min():.3f} to {told.units.max():.3f}", f"{told.factor:.4f}"]
        print("|", " | ".join(map(str, cells)), "|")
        if seed == 42:
            large = [name for name, signals in hidden.items() if signals["update"] > signals["kernel"]]
            print(f"update/weight above 1: {len(large)} layers, the last {large[-1] if large else None}")


def descend(overrides: list[str], rate: float, steps: int) -> list[float]:
    """The losses of plain SGD in NumPy on the digits, of the thousand layers with `overrides`, while finite."""
    from dnnrun.assemble import assemble
    from dnnrun.data.source import Places
    from dnnrun.nn.network import initial_tensors
    from dnnrun.spec.load import load
    from tests.plainnet import FUNCTIONS

    spec = load(ROOT / "configs" / "selu_1000.yaml", overrides)
    parts = assemble(spec, Places(), None)
    rows = parts.dataset.rows("train")
    offset, factor = parts.scaling.offset_factor()
    x = ((rows.features - offset) * factor).astype(float)
    tensors = {k: np.array(v, float) for k, v in initial_tensors(parts.architecture, spec.seed).items()}
    function, slope = FUNCTIONS[spec.model.activation.type]  # type: ignore[attr-defined]
    w = [tensors[f"{name}/kernel"] for name in parts.architecture.names]
    b = [tensors[f"{name}/bias"] for name in parts.architecture.names]
    rng, losses = np.random.default_rng(0), list[float]()
    with np.errstate(all="ignore"):
        while len(losses) < steps:
            order = rng.permutation(len(x))
            for start in range(0, len(x) - BATCH + 1, BATCH):
                own = order[start : start + BATCH]
                inputs, before = [x[own]], []
                for kernel, bias in zip(w, b, strict=True):
                    before.append(inputs[-1] @ kernel + bias)
                    inputs.append(function(before[-1]))
                logits = before[-1]
                log_p = logits - logits.max(1, keepdims=True)
                log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
                losses.append(float(-log_p[np.arange(BATCH), rows.labels[own]].mean()))
                if not np.isfinite(losses[-1]) or len(losses) == steps:
                    return losses
                flowing = np.exp(log_p)
                flowing[np.arange(BATCH), rows.labels[own]] -= 1
                flowing /= BATCH
                for at in reversed(range(len(w))):
                    below = flowing @ w[at].T
                    w[at] -= rate * inputs[at].T @ flowing
                    b[at] -= rate * flowing.sum(0)
                    flowing = below * slope(before[at - 1]) if at else below
    return losses


def main() -> None:
    if sys.argv[1:2] == ["--remedies"]:
        for source in sys.argv[2:] or SOURCES:
            remedies(source, SOURCES[source])
        return
    for source, batch in SOURCES.items():
        factors(source, batch)
    for initializer in ("lecun_normal", "orthogonal"):
        thousand(initializer)
    print("\nplain SGD in NumPy on the digits, batches of 50; guessing has loss 2.3026")
    remedy = ["model.activation=tanh", "model.initializer=orthogonal"]
    for told, overrides, rate in (("selu", [], 0.01), ("the remedy", remedy, 0.01), ("the remedy", remedy, 0.003)):
        losses = descend(overrides, rate, STEPS)
        print(f"{told}, rate {rate}: {len(losses)} steps, loss {losses[0]:.4f}, at the end {np.mean(losses[-20:]):.4f}")


if __name__ == "__main__":
    main()
