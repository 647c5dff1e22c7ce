"""Metrics of several labels a row, each there or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnnrun.measure import Measured
from dnnrun.measure.bootstrap import draws, fewer, interval, intervals, mean
from dnnrun.measure.classes import BINS
from dnnrun.measure.curves import areas, macro


def measure(outputs: np.ndarray, labels: np.ndarray, names: Sequence[str], losses: np.ndarray) -> Measured:
    """Of logits (rows, labels), labels of 0 and 1, losses (rows,). accuracy is of rows with every label right."""
    logits, true, said = outputs.astype(np.float64), labels > 0.5, outputs > 0
    rows, alone = len(labels), np.ones((1, len(labels)), np.float32)
    counts = draws(rows)
    p = np.exp(-np.logaddexp(0, -logits))
    own = np.where(true, np.logaddexp(0, -logits), np.logaddexp(0, logits))
    values = {
        "accuracy": (said == true).all(1),
        "label_accuracy": (said == true).mean(1),
        "log_loss": own.mean(1),
        "brier": np.square(p - true).mean(1),
    }
    metrics = {name: float(value.mean()) for name, value in values.items()}
    resampled = {name: mean(counts, value) for name, value in {**values, "loss": losses}.items()}
    point, spread = _counted(true, said, alone), _counted(true, said, counts)
    for name in ("precision", "recall", "f1"):
        metrics[f"{name}_macro"], resampled[f"{name}_macro"] = float(point[name].mean()), spread[name].mean(1)
        for found, to in ((point, metrics), (spread, resampled)):
            with np.errstate(invalid="ignore"):
                weighted = (found[name] * found["support"]).sum(1) / found["support"].sum(1)
            if to is resampled:
                resampled[f"{name}_weighted"] = weighted
            elif np.isfinite(weighted[0]):
                metrics[f"{name}_weighted"] = float(weighted[0])
    metrics["calibration_error"] = float(_calibration(p, true, alone)[0])
    resampled["calibration_error"] = _calibration(p, true, counts)
    whole = np.array([areas(logits[:, k], true[:, k], alone) for k in range(len(names))])[:, :, 0]
    few = fewer(counts, len(names))
    drawn = np.array([areas(logits[:, k], true[:, k], few) for k in range(len(names))])
    for number, name in enumerate(("roc_auc", "pr_auc")):
        if np.isfinite(value := macro(whole[:, number])):
            metrics[name], resampled[name] = float(value), macro(drawn[:, number])
    each = []
    for k, label in enumerate(names):
        known = {name: float(point[name][0, k]) for name in ("precision", "recall", "f1")}
        found = {name: interval(spread[name][:, k]) for name in known}
        curves = zip(("roc_auc", "pr_auc"), whole[k], strict=True)
        known |= {name: float(value) for name, value in curves if np.isfinite(value)}
        each.append({"class": label, **known, "support": int(point["support"][0, k]), "intervals": found})
    return Measured(metrics, {n: v for n, v in intervals(resampled).items() if n in metrics or n == "loss"}, each)


def scores(true: np.ndarray, said: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1, support and accuracy of each label, (labels,), of true and said (rows, labels) bool.

    What is not defined is 0, as scikit-learn has it: the precision of a label that is never said, and so on.
    """
    found = _counted(true, said, np.ones((1, len(true)), np.float32))
    return {name: value[0] for name, value in found.items()} | {"accuracy": (said == true).mean(0)}


def _counted(true: np.ndarray, said: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support, (resamples, labels) each; what is not defined is 0."""
    both, support, positive = (counts @ x.astype(np.float32) for x in (true & said, true, said))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = (np.where(of > 0, both / of, 0).astype(np.float64) for of in (positive, support))
        f1 = np.where(support + positive > 0, 2 * both / (support + positive), 0).astype(np.float64)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support.astype(np.float64)}


def _calibration(p: np.ndarray, true: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """As for classes, of every label's probability."""
    rows, width = p.shape
    away = np.zeros((rows, BINS), np.float32)
    numbers = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    np.add.at(away, (np.repeat(np.arange(rows), width), numbers.ravel()), (p - true).ravel())
    return np.abs(counts @ away).sum(1) / (counts.sum(1) * width)
