"""Whether rows show that what is predicted bends: a linear model against smooth functions, by cross-validation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dnnrun.data.advice import CHANCE, FEW, LARGE, SURE, straight
from dnnrun.data.source import Raw, TaskName

if TYPE_CHECKING:
    import numpy as np

FOLDS = 5
FEWEST = 30  # rows
WIDEST = 100  # features of 1,000 rows and more; others take too long
COMPONENTS = 200  # of the kernel
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)  # of the penalty, up to a constant; the best one counts
NETWORK: dict[str, Any] = {"hidden_layer_sizes": (50,), "learning_rate_init": 0.003, "max_iter": 150, "random_state": 0}
ALPHAS = (1.0, 10.0)  # the network's penalties


@dataclass(frozen=True)
class Bending:
    """Mean losses of rows that were not learned from: `linear`, `smooth`; `error`: of their difference, one standard
    error. Losses are squared errors over the target's variance, or log losses, summed over targets or labels. `of` is
    how many rows there are, where 1,000 drawn by lot were asked in place of all."""

    linear: float
    smooth: float
    error: float
    loss: str
    of: int | None = None

    @property
    def gain(self) -> float:
        """Of the smooth functions, in standard errors."""
        return (self.linear - self.smooth) / self.error if self.error else 0.0

    def __str__(self) -> str:
        asked = f"5-fold, {FEW:,} rows" if self.of else "5-fold"
        losses = f"{self.loss} {self.linear:.3g} linear, {self.smooth:.3g} smooth"
        numbers = f"{losses}; difference +-{2 * self.error:.2g}; {asked}"
        if self.gain > SURE:
            return f"smooth functions tell more than linear ones here ({numbers})"
        if self.gain > CHANCE:
            return f"smooth functions may tell more than linear ones here ({numbers})"
        if not straight(self.of or 0, self.gain):
            return f"smooth functions tell about as much as linear ones here ({numbers})"
        less = "less" if self.gain < -CHANCE else "no more"
        return f"smooth functions tell {less} than linear ones here ({numbers}), so held back hard"


def shown(raw: Raw) -> Bending | None:
    """What the training rows of a source show; None where they are too few to say, or too many to ask."""
    from dnnrun.data.select import Selection, select

    if len(raw.train.labels) >= LARGE:
        return None
    train = select(raw, Selection(validation=0), 0).rows("train")
    return asked(train.features, train.labels, raw.task)


def gain_of(found: Bending | None) -> float:
    """The gain that a recipe goes by: none where nothing is shown."""
    return found.gain if found else 0.0


def asked(x: np.ndarray, y: np.ndarray, task: TaskName) -> Bending | None:
    """What `bending` says of these rows, from 1,000 on of so many drawn by lot; None too where they are wide."""
    import numpy as np

    rows, width = x.shape
    if rows < FEW:
        return bending(x, y, task)
    if width > WIDEST:
        return None
    drawn = np.sort(np.random.default_rng(0).choice(rows, FEW, replace=False))
    found = bending(x[drawn], y[drawn], task)
    return found and replace(found, of=rows)


def bending(x: np.ndarray, y: np.ndarray, task: TaskName) -> Bending | None:
    """How much better smooth functions of the features tell the labels than linear ones; None: too few rows to say.

    `x` is (rows, features), `y` class numbers (rows,), or (rows, targets). Linear: ridge or logistic regression.
    Smooth: the same with the first 200 principal components of an RBF kernel beside the features, its width that of
    the features' spread (scikit-learn's default gamma); or, where these show no bend, a network of 50 units, if it is
    better. All by 5-fold cross-validation, each with its best penalty; rows weigh the same. Classes of fewer than five
    rows are left out, and labels that hold in fewer than ten, or do not.
    """
    import numpy as np
    from sklearn.decomposition import KernelPCA
    from sklearn.model_selection import KFold, StratifiedKFold
    from threadpoolctl import threadpool_limits

    if task == "classification":
        kept = np.bincount(y)[y] >= FOLDS
        x, y = x[kept], np.unique(y[kept], return_inverse=True)[1]
        if len(y) and y.max() < 1:
            return None
    if task == "multilabel":
        often = y.sum(0)
        y = y[:, np.minimum(often, len(y) - often) >= 2 * FOLDS].astype(int)
        y = y[:, 0] if y.shape[1] == 1 else y
    if len(y) < FEWEST or not y.size:
        return None
    if task == "regression":
        spread = y.std(0)
        y = (y - y.mean(0)) / np.where(spread > 0, spread, 1)
    deviation = x.std(0)
    x = ((x - x.mean(0)) / np.where(deviation > 0, deviation, 1)).astype(np.float64)
    folds = (StratifiedKFold if task == "classification" else KFold)(FOLDS, shuffle=True, random_state=0)
    trial = _Trial(y, task, list(folds.split(x, y)))
    with warnings.catch_warnings(), threadpool_limits(1):  # such small products are slower on several cores
        warnings.simplefilter("ignore")  # of fits that end before they are exact
        kernel: Any = KernelPCA(min(COMPONENTS, len(x) - 1), kernel="rbf", random_state=0)
        components, width = kernel.fit_transform(x), x.shape[1]
        if width > len(x):  # the same rows and distances in as many dimensions as there are rows
            left, spread, _ = np.linalg.svd(x, full_matrices=False)
            x = left * spread
        features = x / math.sqrt(width)
        linear = _best(trial.linear(features, strength) for strength in STRENGTHS)
        beside = np.concatenate([features, components], 1)
        smooth = _best(trial.linear(beside, strength) for strength in STRENGTHS)
        if (found := _compared(linear, smooth, task)).gain > SURE:
            return found
        return _compared(linear, _best([smooth, *(trial.network(x, alpha) for alpha in ALPHAS)]), task)


def _compared(linear: np.ndarray, smooth: np.ndarray, task: TaskName) -> Bending:
    """Losses of the same rows, (rows,) each."""
    gain = linear - smooth
    error = float(gain.std(ddof=1)) / math.sqrt(len(gain))
    loss = "squared error" if task == "regression" else "log loss"
    return Bending(float(linear.mean()), float(smooth.mean()), error, loss)


def _best(losses: Iterable[np.ndarray]) -> np.ndarray:
    """The losses of rows, (rows,), of the least mean."""
    return min(losses, key=lambda rows: float(rows.mean()))


@dataclass(frozen=True)
class _Trial:
    """Labels, and the folds that a model's losses are measured by."""

    y: np.ndarray
    task: TaskName
    folds: Any

    def linear(self, x: np.ndarray, strength: float) -> np.ndarray:
        """The loss of each row, (rows,), by ridge or logistic regression."""
        from sklearn.linear_model import LogisticRegression, Ridge

        if self.task == "regression":
            return self._losses(Ridge(alpha=strength), x, self.y)
        model = LogisticRegression(C=1 / strength, max_iter=300)
        if self.y.ndim == 1:
            return self._losses(model, x, self.y)
        return sum(self._losses(model, x, label) for label in self.y.T)  # type: ignore[return-value]

    def network(self, x: np.ndarray, alpha: float) -> np.ndarray:
        """The same by a network."""
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        kind: Any = MLPRegressor if self.task == "regression" else MLPClassifier
        model = kind(alpha=alpha, batch_size=max(1, min(32, len(x) // 4)), **NETWORK)
        return self._losses(model, x, self.y)

    def _losses(self, model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        import numpy as np
        from sklearn.model_selection import cross_val_predict

        if self.task == "regression":
            found: Any = cross_val_predict(model, x, y, cv=self.folds)
            return ((found.reshape(y.shape) - y) ** 2).sum(1)
        told: Any = cross_val_predict(model, x, y, cv=self.folds, method="predict_proba")
        told = np.maximum(told, 1 / len(x) ** 2)
        if y.ndim == 1:
            return -np.log(told[np.arange(len(x)), y])
        return -np.log(np.where(y > 0, told, np.maximum(1 - told, 1 / len(x) ** 2))).sum(1)
