"""Areas under the ROC curve and the precision-recall curve, of all resamples at once."""

from __future__ import annotations

import numpy as np


def areas(scores: np.ndarray, hits: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and average precision, (resamples,) float64 each; NaN where a resample has rows of one kind alone.

    scores (rows,), hits (rows,) bool, counts (resamples, rows) how often each row is there. As scikit-learn's
    roc_auc_score (trapezoids, ties shared) and average_precision_score (precision times the gain of recall, summed).
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    drawn = counts[:, order]
    right = np.cumsum(drawn * hits[order].astype(np.float32), axis=1)[:, ends].astype(np.float64)
    both = np.cumsum(drawn, axis=1)[:, ends].astype(np.float64)
    wrong = both - right
    positives, negatives = right[:, -1], wrong[:, -1]
    gained = np.diff(right, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        trapezoids = (np.diff(wrong, axis=1, prepend=0) * (right - gained / 2)).sum(1)
        roc = np.where(positives * negatives > 0, trapezoids / (positives * negatives), np.nan)
        precision = np.where(both > 0, right / both, 0)
        average = np.where(positives * negatives > 0, (gained * precision).sum(1) / positives, np.nan)
    return roc, average


def macro(values: np.ndarray) -> np.ndarray:
    """The mean over the classes (axis 0) that have a value; NaN where none has."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)
