"""What is reached without a network: the most frequent class or the mean, and a linear model of the same features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnnrun.data.dataset import Dataset
from dnnrun.data.scale import Scaling

if TYPE_CHECKING:
    import numpy as np

CELLS = 4_000_000  # of rows x features that a linear model is fitted to: some seconds
CONSTANT = {"classification": "majority_class", "multilabel": "majority_label", "regression": "mean"}
LINEAR = {
    "classification": "logistic_regression",
    "multilabel": "logistic_regression",
    "regression": "linear_regression",
}


@dataclass(frozen=True)
class Baseline:
    """One of them: its name, on how many training rows it was fitted, its metrics by split."""

    name: str
    rows: int
    metrics: Mapping[str, Mapping[str, float]]


def baselines(dataset: Dataset, scaling: Scaling, splits: Iterable[str]) -> list[Baseline]:
    """Two baselines on these splits: accuracy and log loss, or RMSE, MAE and R2 in the targets' units.

    Fitted by scikit-learn with its defaults (logistic regression with up to 1,000 iterations) on the training rows,
    the first ones of them where rows x features are more than 4 million.
    """
    train, splits = dataset.rows("train"), list(splits)
    rows = min(len(train.features), max(1000, CELLS // dataset.width))
    x, y = scaling.apply(train.features[:rows]), train.labels[:rows]
    weights = None if train.weights is None else train.weights[:rows]
    found = []
    for name, model in (
        (CONSTANT[dataset.task], _constant(dataset.task)),
        (LINEAR[dataset.task], _linear(dataset.task)),
    ):
        told = _fitted(model, x, y, weights)
        metrics = {}
        for split in splits:
            there = dataset.rows(split)
            metrics[split] = _measured(dataset, told(scaling.apply(there.features)), there.labels)
        found.append(Baseline(name, rows, metrics))
    return found


def as_json(found: Iterable[Baseline]) -> dict[str, Any]:
    """What `--json` has under `baseline`."""
    return {entry.name: {"rows": entry.rows, "metrics": entry.metrics} for entry in found}


def _constant(task: str) -> Any:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return DummyRegressor() if task == "regression" else DummyClassifier(strategy="prior")


def _linear(task: str) -> Any:
    from sklearn.linear_model import LinearRegression, LogisticRegression

    return LinearRegression() if task == "regression" else LogisticRegression(max_iter=1000)


def _fitted(model: Any, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> Any:
    """A function from features to what `_measured` takes. Labels are fitted one by one."""
    import warnings

    import numpy as np
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning

    def fit(y: np.ndarray) -> Any:
        if hasattr(model, "predict_proba") and (y == y[0]).all():  # a label that is the same in every row
            from sklearn.dummy import DummyClassifier

            return DummyClassifier(strategy="prior").fit(x, y)
        own: Any = clone(model)
        return own.fit(x, y, sample_weight=weights)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if not hasattr(model, "predict_proba"):
            fitted = fit(y)
            return lambda x: fitted.predict(x).reshape(len(x), -1)
        if y.ndim == 1:
            classes = fit(y)
            return lambda x: _over(classes, x)
        labels = [fit(y[:, k]) for k in range(y.shape[1])]
    return lambda x: np.stack([_over(label, x, 2)[:, 1] for label in labels], axis=1)


def _over(model: Any, x: np.ndarray, count: int | None = None) -> np.ndarray:
    """Probabilities (rows, classes) of all classes: one that no fitted row has gets 0."""
    import numpy as np

    numbers = np.asarray(model.classes_, np.int64)
    whole = np.zeros((len(x), max(count or 0, numbers.max() + 1)))
    whole[:, numbers] = model.predict_proba(x)
    return whole


def _measured(dataset: Dataset, told: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    import numpy as np

    rows = np.arange(len(labels))
    if dataset.task == "regression":
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

        r2 = float(r2_score(labels, told)) if len(labels) > 1 else 0.0
        rmse, mae = root_mean_squared_error(labels, told), mean_absolute_error(labels, told)
        return {"rmse": float(rmse), "mae": float(mae), "r2": r2}
    smallest = np.finfo(np.float64).eps
    if dataset.task == "multilabel":
        own = np.where(labels > 0.5, told, 1 - told)
        right = ((told > 0.5) == (labels > 0.5)).all(1)
        return {"accuracy": float(right.mean()), "log_loss": float(-np.log(np.maximum(own, smallest)).mean())}
    whole = np.zeros((len(labels), len(dataset.classes)))
    whole[:, : told.shape[1]] = told
    right, own = whole.argmax(1) == labels, whole[rows, labels]
    return {"accuracy": float(right.mean()), "log_loss": float(-np.log(np.maximum(own, smallest)).mean())}
