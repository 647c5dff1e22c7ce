"""How a trained network predicts: confusion, calibration, ROC, its worst mistakes, its first layer's filters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from dnnrun.assemble import read_data
from dnnrun.data.dataset import Dataset
from dnnrun.data.picture import as_filter, as_image, data_url
from dnnrun.data.source import Places
from dnnrun.evaluation import SPLITS
from dnnrun.measure.classes import BINS, calibration, confusion
from dnnrun.report.curves import roc_of
from dnnrun.report.gather import Run
from dnnrun.report.predicted import of_labels, of_numbers
from dnnrun.trained import Trained, probabilities

WORST, FILTERS = 24, 64  # pictures shown
MOST_CLASSES = 40  # beyond which no confusion matrix or ROC can be read


def score(run: Run, places: Places, datasets: dict[str, Dataset]) -> dict[str, Any] | None:
    """The predictions of a run's last checkpoint on its test rows, else validation, else train; None before the first.

    `datasets` keeps what was read, for runs on the same data. Raises DataError where the data is not to be had.
    """
    if run.checkpoint is None:
        return None
    trained = Trained(run.checkpoint)
    columns = trained.columns
    key = json.dumps([run.spec.data.model_dump(mode="json"), run.spec.seed, columns and columns.to_json()])
    if key not in datasets:
        datasets[key] = read_data(run.spec, places, columns)
    dataset = datasets[key]
    split = next(name for name in SPLITS if name in dataset.splits)
    start, stop = dataset.splits[split]
    features, labels = dataset.features[start:stop], dataset.labels[start:stop]
    outputs = trained.outputs(features)  # which takes the columns of a table as the dataset has them
    found: dict[str, Any] = {
        "task": dataset.task,
        "split": split,
        "examples": int(stop - start),
        "filters": _filters(trained),
    }
    if dataset.task == "regression":
        return found | of_numbers(trained.in_units(outputs), labels, trained.targets)
    if dataset.task == "multilabel":
        return found | of_labels(outputs, labels, trained.targets)
    probability = probabilities(outputs, dataset.task)
    found |= {
        "classes": list(trained.classes),
        "accuracy": float((probability.argmax(1) == labels).mean()),
        "calibration": calibrated(probability, labels),
        "mistakes": _mistakes(probability, labels, features, dataset),
    }
    if len(trained.classes) <= MOST_CLASSES:
        found["confusion"] = confusion(labels, probability.argmax(1), probability.shape[1]).tolist()
        found["roc"] = roc(probability, labels)
    return found


def calibrated(probability: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy and mean confidence in equal bins of confidence, and the calibration error that eval tells.

    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (2017), equation 2.
    """
    confidence, right = probability.max(1), probability.argmax(1) == labels
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins: list[dict[str, Any] | None] = []
    for at in range(BINS):
        here = number == at
        if not here.any():
            bins.append(None)
            continue
        accuracy, mean = float(right[here].mean()), float(confidence[here].mean())
        bins.append({"confidence": mean, "accuracy": accuracy, "count": int(here.sum())})
    return {"bins": bins, "error": float(calibration(confidence, right, np.ones((1, len(right))))[0])}


def roc(probability: np.ndarray, labels: np.ndarray) -> list[dict[str, Any] | None]:
    """Of each class against the rest."""
    return [roc_of(probability[:, kind], labels == kind) for kind in range(probability.shape[1])]


def _mistakes(
    probability: np.ndarray, labels: np.ndarray, features: np.ndarray, dataset: Dataset
) -> list[dict[str, Any]]:
    """The wrong predictions, the least probable truth first; with a picture where the rows are images."""
    predicted, rows = probability.argmax(1), np.arange(len(labels))
    truth = probability[rows, labels]
    wrong = rows[predicted != labels]
    worst = wrong[np.argsort(truth[wrong], kind="stable")][:WORST]
    names = dataset.classes
    found = []
    for row in worst:
        entry: dict[str, Any] = {
            "row": int(row),
            "true": names[labels[row]],
            "predicted": names[predicted[row]],
            "probability": float(probability[row, predicted[row]]),
            "of_truth": float(truth[row]),
        }
        if dataset.image and dataset.image[2] in (1, 3):
            entry["picture"] = data_url(as_image(features[row], dataset.image, dataset.largest))
        found.append(entry)
    return found


def _filters(trained: Trained) -> list[str]:
    """The first layer's kernel, a picture a unit, of those with the largest norm first; none for a table."""
    manifest: Mapping[str, Any] = trained.checkpoint.manifest
    image = (manifest.get("resize") or {}).get("to") or manifest.get("image")
    if not image:
        return []
    kernel = trained.tensors[f"{trained.architecture.names[0]}/kernel"]
    order = np.argsort(-np.linalg.norm(kernel, axis=0), kind="stable")[:FILTERS]
    return [data_url(as_filter(kernel[:, unit], tuple(image))) for unit in order]
