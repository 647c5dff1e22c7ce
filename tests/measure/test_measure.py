from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics

from dnnrun.measure import bootstrap, measure
from dnnrun.measure.curves import areas


def classified(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (rows, classes) that know something of the labels (rows,); some rows tie."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(0, 1.5, (rows, classes)) + 2.0 * np.eye(classes)[labels]
    return logits.round(1).astype(np.float32) + np.arange(classes, dtype=np.float32) * 1e-4, labels


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_classification_is_as_scikit_learn_defines_it(classes: int) -> None:
    logits, true = classified(400, classes)
    found = measure("classification", logits, true, [f"c{k}" for k in range(classes)], np.zeros(400)).metrics
    p, said = softmax(logits.astype(np.float64), axis=1), logits.argmax(1)
    scores = p[:, 1] if classes == 2 else p
    wanted = {
        "accuracy": metrics.accuracy_score(true, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(true, said),
        "log_loss": metrics.log_loss(true, p),
        "brier": np.square(p - np.eye(classes)[true]).sum(1).mean() / (2 if classes == 2 else 1),
        "roc_auc": metrics.roc_auc_score(true, scores, multi_class="ovr"),
        "pr_auc": metrics.average_precision_score(true if classes == 2 else np.eye(classes)[true], scores),
    }
    for average in ("macro", "weighted"):
        of = metrics.precision_recall_fscore_support(true, said, average=average)
        wanted |= {f"{n}_{average}": v for n, v in zip(("precision", "recall", "f1"), of[:3], strict=True)}
    wanted |= {f"top_{k}_accuracy": metrics.top_k_accuracy_score(true, p, k=k) for k in (2, 5) if classes > k}
    assert found.keys() - {"calibration_error"} == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
    if classes == 2:
        assert found["brier"] == pytest.approx(metrics.brier_score_loss(true, p[:, 1]), abs=1e-9)


def test_each_class_and_the_confusion_matrix() -> None:
    logits, true = classified(300, 4)
    true[true == 3] = 0  # the last class is predicted, and true of no row
    found = measure("classification", logits, true, "abcd", np.zeros(300))
    said = logits.argmax(1)
    assert found.confusion is not None
    assert found.confusion.tolist() == metrics.confusion_matrix(true, said, labels=range(4)).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted: Any = metrics.precision_recall_fscore_support(true, said, labels=range(4))
        balanced = metrics.balanced_accuracy_score(true, said)
    for k, entry in enumerate(found.each):
        values = [entry[name] for name in ("precision", "recall", "f1", "support")]
        assert values == pytest.approx([column[k] for column in wanted])
    assert found.metrics["balanced_accuracy"] == pytest.approx(balanced)
    assert "roc_auc" not in found.each[3]


def test_one_logit_is_measured_as_two_are() -> None:
    true = np.arange(200) % 2
    logits = np.random.default_rng(5).normal(0, 1, (200, 2)) + np.eye(2)[true]
    one = measure("classification", logits[:, 1:] - logits[:, :1], true, "ab", np.zeros(200))
    two = measure("classification", logits, true, "ab", np.zeros(200))
    assert one.metrics == pytest.approx(two.metrics, abs=1e-6)


def test_calibration_by_hand() -> None:
    p = np.array([0.9, 0.92, 0.6, 0.7])
    logits = np.stack([np.log(p), np.log(1 - p)], axis=1)
    found = measure("classification", logits, np.array([0, 1, 0, 0]), "ab", np.zeros(4)).metrics
    # bins of 1/15: 0.9 and 0.92 share the 14th, 0.6 is in the 10th, 0.7 in the 11th
    assert found["calibration_error"] == pytest.approx((abs(0.9 + 0.92 - 1) + abs(0.6 - 1) + abs(0.7 - 1)) / 4)


def test_several_labels_are_as_scikit_learn_defines_them() -> None:
    rng = np.random.default_rng(1)
    true = (rng.random((300, 3)) < [0.5, 0.2, 0.1]).astype(np.float32)
    logits = (rng.normal(0, 1, true.shape) + 1.5 * true - 0.5).astype(np.float32)
    found = measure("multilabel", logits, true, "abc", np.zeros(300)).metrics
    p, said = expit(logits.astype(np.float64)), logits > 0
    wanted = {
        "accuracy": metrics.accuracy_score(true, said),
        "label_accuracy": 1 - metrics.hamming_loss(true, said),
        "roc_auc": metrics.roc_auc_score(true, p),
        "pr_auc": metrics.average_precision_score(true, p),
        "log_loss": np.mean([metrics.log_loss(true[:, k], p[:, k]) for k in range(3)]),
        "brier": np.mean([metrics.brier_score_loss(true[:, k], p[:, k]) for k in range(3)]),
    }
    for average in ("macro", "weighted"):
        of = metrics.precision_recall_fscore_support(true, said, average=average)
        wanted |= {f"{n}_{average}": v for n, v in zip(("precision", "recall", "f1"), of[:3], strict=True)}
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("targets", [1, 3])
def test_regression_is_as_scikit_learn_defines_it(targets: int) -> None:
    rng = np.random.default_rng(2)
    true = (rng.normal(1e4, 50, (250, targets))).astype(np.float32)
    said = (true + rng.normal(0, 20, true.shape)).astype(np.float32)
    found = measure("regression", said, true, "abc"[:targets], np.zeros(250))
    assert found.metrics["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, said), rel=1e-5)
    assert found.metrics["mae"] == pytest.approx(metrics.mean_absolute_error(true, said), rel=1e-5)
    assert found.metrics["r2"] == pytest.approx(metrics.r2_score(true, said), rel=1e-5)
    assert [entry["target"] for entry in found.each] == list("abc"[:targets])


def test_areas_of_resamples_are_those_of_their_rows() -> None:
    rng = np.random.default_rng(3)
    scores, hits = rng.normal(0, 1, 80).round(1), rng.random(80) < 0.4
    counts = bootstrap.draws(80, 20)
    roc, average = areas(scores, hits, counts)
    for b in range(20):
        rows = np.repeat(np.arange(80), counts[b].astype(int))
        assert roc[b] == pytest.approx(metrics.roc_auc_score(hits[rows], scores[rows]))
        assert average[b] == pytest.approx(metrics.average_precision_score(hits[rows], scores[rows]))


def test_intervals_hold_the_value_and_are_the_same_again() -> None:
    logits, true = classified(300, 3)
    one, two = (measure("classification", logits, true, "abc", np.ones(300)) for _ in range(2))
    assert one.intervals == two.intervals
    assert one.intervals.keys() == {*one.metrics, "loss"}
    for name, value in one.metrics.items():
        low, high = one.intervals[name]
        assert low < high
        if name != "calibration_error":  # a resample's is larger: it takes chance for error
            assert low <= value <= high, name


def test_intervals_of_a_mean_are_those_of_its_standard_error() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0, 1, 2000)
    low, high = bootstrap.interval(bootstrap.mean(bootstrap.draws(2000), values)) or (0, 0)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 2000**0.5, rel=0.1)


def test_rows_of_one_class_alone_have_no_area() -> None:
    logits, _ = classified(50, 3)
    found = measure("classification", logits, np.zeros(50, np.int64), "abc", np.ones(50))
    assert "roc_auc" not in found.metrics
    assert "roc_auc" not in found.intervals


def test_ten_thousand_rows_of_ten_classes_take_about_a_second() -> None:
    logits, true = classified(10_000, 10)
    began = time.process_time()
    measure("classification", logits, true, [str(k) for k in range(10)], np.ones(10_000))
    assert time.process_time() - began < 4  # of all threads, on a machine that does other things too
