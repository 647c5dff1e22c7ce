"""Metrics of a classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dnnrun.measure import Measured
from dnnrun.measure.bootstrap import draws, fewer, interval, intervals, mean
from dnnrun.measure.curves import areas, macro

BINS = 15
TOP = (2, 5)


def measure(outputs: np.ndarray, labels: np.ndarray, names: Sequence[str], losses: np.ndarray) -> Measured:
    """Of outputs (rows, classes), or one logit of the second of two classes; labels (rows,) int; losses (rows,)."""
    log_p = _log_probabilities(outputs.astype(np.float64))
    p, rows, count = np.exp(log_p), len(labels), len(names)
    found = (outputs[:, 0] > 0).astype(np.int64) if outputs.shape[1] == 1 else outputs.argmax(1)
    hits = np.eye(count, dtype=bool)[labels]
    counts = draws(rows)
    matrix = confusion(labels, found, count)
    point = _of_confusions(matrix[None].astype(np.float64))
    spread = _of_confusions(_confusions(counts, labels, found, count))
    own = -np.maximum(log_p, np.log(np.finfo(np.float64).eps))[np.arange(rows), labels]
    values = {"log_loss": own, "brier": np.square(p - hits).sum(1) / (2 if count == 2 else 1)}
    rank = (log_p > log_p[np.arange(rows), labels][:, None]).sum(1)
    values |= {f"top_{k}_accuracy": (rank < k).astype(np.float64) for k in TOP if count > k}
    metrics = {name: float(value[0]) for name, value in point.items() if value.ndim == 1}
    resampled = {name: value for name, value in spread.items() if value.ndim == 1}
    metrics |= {name: float(value.mean()) for name, value in values.items()}
    resampled |= {name: mean(counts, value) for name, value in {**values, "loss": losses}.items()}
    confidence = p[np.arange(rows), found]
    metrics["calibration_error"] = float(calibration(confidence, found == labels, np.ones((1, rows), np.float32))[0])
    resampled["calibration_error"] = calibration(confidence, found == labels, counts)
    scored = [1] if count == 2 else range(count)
    whole = np.array([areas(log_p[:, k], hits[:, k], np.ones((1, rows), np.float32)) for k in range(count)])[:, :, 0]
    few = fewer(counts, len(scored))
    drawn = np.array([areas(log_p[:, k], hits[:, k], few) for k in scored])
    for number, name in enumerate(("roc_auc", "pr_auc")):
        if np.isfinite(value := macro(whole[list(scored), number])):
            metrics[name], resampled[name] = float(value), macro(drawn[:, number])
    each = [_one(k, names, point, spread, whole[k]) for k in range(count)]
    return Measured(metrics, intervals(resampled), each, matrix)


def _one(k: int, names: Sequence[str], point: Any, spread: Any, curves: np.ndarray) -> dict[str, Any]:
    known = {name: float(point[name][0, k]) for name in ("precision", "recall", "f1")}
    found = {name: interval(spread[name][:, k]) for name in known}
    known |= {n: float(v) for n, v in zip(("roc_auc", "pr_auc"), curves, strict=True) if np.isfinite(v)}
    return {"class": names[k], **known, "support": int(point["support"][0, k]), "intervals": found}


def _log_probabilities(outputs: np.ndarray) -> np.ndarray:
    if outputs.shape[1] == 1:
        return np.concatenate([-np.logaddexp(0, outputs), -np.logaddexp(0, -outputs)], axis=1)
    away = outputs - outputs.max(1, keepdims=True)
    return away - np.log(np.exp(away).sum(1, keepdims=True))


def confusion(labels: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """How many rows there are of each true class (rows) that are taken for each (columns), int64."""
    return np.bincount(labels.astype(np.int64) * classes + found, minlength=classes * classes).reshape(classes, classes)


def _confusions(counts: np.ndarray, labels: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrices (resamples, true, predicted) float64: cells that no row has are never drawn."""
    cells, cell = np.unique(labels * classes + found, return_inverse=True)
    member = np.zeros((len(labels), len(cells)), np.float32)
    member[np.arange(len(labels)), cell] = 1
    whole = np.zeros((len(counts), classes * classes))
    whole[:, cells] = counts @ member
    return whole.reshape(-1, classes, classes)


def _of_confusions(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of confusion matrices (resamples, classes, classes): (resamples,), and (resamples, classes) of classes.

    What is not defined is 0 (scikit-learn's zero_division=0); means are over the classes that are there, true or
    predicted, and balanced accuracy's over those that are true of some row.
    """
    right = np.diagonal(matrices, axis1=1, axis2=2)
    true, said, rows = matrices.sum(2), matrices.sum(1), matrices.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = (np.where(of > 0, right / of, 0) for of in (said, true))
        f1 = np.where(true + said > 0, 2 * right / (true + said), 0)
    there, known = (true + said > 0), true > 0
    found = {"accuracy": right.sum(1) / rows, "balanced_accuracy": (recall * known).sum(1) / known.sum(1)}
    for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
        found[f"{name}_macro"] = (value * there).sum(1) / there.sum(1)
        found[f"{name}_weighted"] = (value * true).sum(1) / rows
    return {**found, "precision": precision, "recall": recall, "f1": f1, "support": true}


def calibration(confidence: np.ndarray, hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The expected calibration error in each resample, (resamples,): 15 bins of equal width, of confidences (n,).

    sum over bins of the share of its rows times |accuracy - mean confidence| (Guo et al., "On calibration of modern
    neural networks", 2017, equation 3).
    """
    numbers = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    away = np.zeros((len(confidence), BINS), np.float32)
    away[np.arange(len(confidence)), numbers] = confidence - hits
    return np.abs(counts @ away).sum(1) / counts.sum(1)
