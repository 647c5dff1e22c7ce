"""How a trained network predicts numbers or labels: true against predicted, residuals; each label's scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dnnrun.measure.labelled import scores
from dnnrun.measure.numbers import errors
from dnnrun.report.curves import roc_of
from dnnrun.trained import probabilities

MOST = 12  # targets or labels that are drawn; of more, the first ones
POINTS = 800  # of true against predicted; of more rows, evenly some
BARS = 31  # of the residuals
WORST = 24  # rows


def of_numbers(predicted: np.ndarray, true: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Both (rows, targets) in the targets' units. Of each target its errors, points, and a histogram of residuals."""
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    found = errors(predicted, true)
    kept = np.unique(np.linspace(0, len(true) - 1, POINTS).round().astype(int))
    targets = []
    for at, name in enumerate(names[:MOST]):
        counts, edges = np.histogram(predicted[:, at] - true[:, at], BARS)
        targets.append(
            {
                "name": name,
                **{metric: float(values[at]) for metric, values in found.items()},
                "true": _short(true[kept, at]),
                "predicted": _short(predicted[kept, at]),
                "residuals": {"edges": _short(edges), "counts": counts.tolist()},
            }
        )
    # Of several targets each counts by its own unit.
    unit = np.where(true.std(0) > 0, true.std(0), 1)
    share = np.abs(predicted - true) / unit
    worst = np.argsort(-share.max(1), kind="stable")[:WORST]
    mistakes = [
        {"row": int(row), "target": names[at], "true": _one(true[row, at]), "predicted": _one(predicted[row, at])}
        for row in worst
        for at in [int(share[row].argmax())]
    ]
    return {"targets": targets, "left_out": max(0, len(names) - MOST), "mistakes": mistakes}


def of_labels(outputs: np.ndarray, true: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Logits (rows, labels), labels of 0 and 1. Of each label its scores, and its ROC where there are both kinds."""
    truth, said, probability = true > 0.5, outputs > 0, probabilities(outputs, "multilabel")
    found = scores(truth, said)
    labels = []
    for at, name in enumerate(names):
        curve = roc_of(outputs[:, at], truth[:, at])
        labels.append(
            {
                "name": name,
                **{metric: float(values[at]) for metric, values in found.items()},
                "support": int(found["support"][at]),
                "area": curve and curve["area"],
                "roc": curve if at < MOST else None,
            }
        )
    wrong = (said != truth).sum(1)
    of_truth = np.where(truth, probability, 1 - probability).min(1)
    rows = np.flatnonzero(wrong)
    worst = rows[np.lexsort((of_truth[rows], -wrong[rows]))][:WORST]
    mistakes = [
        {
            "row": int(row),
            "true": [n for n, there in zip(names, truth[row], strict=True) if there],
            "predicted": [n for n, there in zip(names, said[row], strict=True) if there],
            "wrong": int(wrong[row]),
        }
        for row in worst
    ]
    return {
        "accuracy": float((said == truth).all(1).mean()),
        "label_accuracy": float(found["accuracy"].mean()),
        "labels": labels,
        "left_out": max(0, len(names) - MOST),
        "mistakes": mistakes,
    }


def _short(values: np.ndarray) -> list[float]:
    return [_one(value) for value in values]


def _one(value: float) -> float:
    return float(f"{value:.6g}")
