"""The recipes that `dnnrun new` could write, compared on made-up tables: none of those of benchmarks/tabular.py.

    python benchmarks/advice.py {small,large,straight} [--seeds 3] [--only NAME] [--write]

Each seed makes another table of a family (another function, not only other rows), draws other weights, and trains every
recipe and scikit-learn's MLP and linear model on the same rows; scores are of 4,000 fresh rows. `dnnrun/data/advice.py`
holds what was chosen by it. `--write` writes benchmarks/results/advice-small.md, advice-large.md or advice-straight.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dnnrun
from dnnrun.data.advice import FEW, advised
from dnnrun.proposal.bending import asked, gain_of
from dnnrun.sweep.statistics import estimate

RESULTS = Path(__file__).parent / "results"
TEST = 4_000
TITLES = {"small": "tables of few rows", "large": "tables of many rows", "straight": "sums of 1,000 rows and more"}
Arrays = tuple[Any, Any]
Family = Callable[[int, int], Arrays]


def classes(features: int, informative: int, count: int, apart: float, flip: float) -> Family:
    """Clusters at the corners of a cube, of several classes, some labels wrong; scikit-learn's make_classification."""

    def make(rows: int, seed: int) -> Arrays:
        from sklearn.datasets import make_classification

        found: Any = make_classification(
            rows, features, n_informative=informative, n_redundant=min(2, features - informative), n_classes=count,
            n_clusters_per_class=2, class_sep=apart, flip_y=flip, random_state=seed,
        )  # fmt: skip
        return found

    return make


def blobs(features: int, count: int, spread: float) -> Family:
    """One normal cluster a class, each of its own shape."""

    def make(rows: int, seed: int) -> Arrays:
        rng = np.random.default_rng([1, seed])
        y = rng.integers(0, count, rows)
        centre = rng.normal(0, 2, (count, features))
        shape = rng.normal(0, spread / np.sqrt(features), (count, features, features))
        return centre[y] + np.einsum("ni,nij->nj", rng.normal(size=(rows, features)), shape[y]), y

    return make


def linear(features: int, share: float, bend: float, wide: int = 0) -> Family:
    """A sum of features that are correlated, bent a little, and noise; `share` of the variance can be told.

    With `wide`, classes: whether the sum is above its median.
    """

    def make(rows: int, seed: int) -> Any:
        rng = np.random.default_rng([2, seed])
        common = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, features))
        x = common * 0.6 + rng.normal(size=(rows, features))
        x = (x - x.mean(0)) / x.std(0)
        told = x @ rng.normal(size=features) + bend * np.tanh(x @ rng.normal(size=(features, 3))).sum(1)
        told = told / told.std()
        y = np.sqrt(share) * told + np.sqrt(1 - share) * rng.normal(size=rows)
        told = (y > np.median(y)).astype(int) if wide else y * 50 + 100
        return x, told

    return make


def friedman(number: int, noise: float) -> Family:
    """The functions of Friedman (1991), as scikit-learn makes them; noise in standard deviations of the function."""

    def make(rows: int, seed: int) -> Arrays:
        from sklearn import datasets

        x, y = getattr(datasets, f"make_friedman{number}")(rows, random_state=seed)
        return x, y + noise * y.std() * np.random.default_rng([3, seed]).normal(size=rows)

    return make


def teacher(features: int, noise: float, count: int = 0) -> Family:
    """Heavy-tailed features and 12 categories through a random network of ten units, plus jumps; `count` classes."""

    def make(rows: int, seed: int) -> Any:
        rng = np.random.default_rng([4, seed])
        x = rng.normal(size=(rows, features))
        skewed = x.copy()
        skewed[:, ::3] = np.exp(x[:, ::3])
        kind = rng.integers(0, 12, rows)
        told = np.tanh(x @ rng.normal(0, 1.5 / np.sqrt(features), (features, 10))) @ rng.normal(size=10)
        told = told + rng.normal(size=12)[kind] * np.where(x[:, 0] > 0, 1, -0.5) + 1.5 * (x[:, 1] * x[:, 2] > 0.5)
        told = told / told.std() + noise * rng.normal(size=rows)
        x = np.concatenate([skewed, np.eye(12)[kind]], 1)
        return x, np.searchsorted(np.quantile(told, np.arange(1, count) / count), told) if count else told * 10

    return make


def rings(features: int) -> Family:
    """Shells around the middle, as scikit-learn's make_gaussian_quantiles, one label in twenty wrong."""

    def make(rows: int, seed: int) -> Arrays:
        from sklearn.datasets import make_gaussian_quantiles

        x, y = make_gaussian_quantiles(n_samples=rows, n_features=features, n_classes=3, random_state=seed)
        rng = np.random.default_rng([5, seed])
        return x, np.where(rng.random(rows) < 0.05, rng.integers(0, 3, rows), y)

    return make


# family -> training rows, how it is made
SMALL: dict[str, tuple[int, Family]] = {
    "clusters, 120 x 5": (120, classes(5, 4, 3, 1.5, 0.02)),
    "shapes, 120 x 4": (120, blobs(4, 3, 1.2)),
    "shapes, 150 x 12": (150, blobs(12, 3, 2.5)),
    "sum above its median, 450 x 30": (450, linear(30, 0.92, 0.5, 1)),
    "clusters, 800 x 20": (800, classes(20, 8, 3, 1.0, 0.02)),
    "teacher, 600 x 20, classes": (600, teacher(8, 0.3, 3)),
    "teacher, 2000 x 20, classes": (2000, teacher(8, 0.3, 3)),
    "sum, 350 x 10": (350, linear(10, 0.5, 0.5)),
    "sum, 150 x 10": (150, linear(10, 0.7, 1.0)),
    "line, 250 x 15": (250, linear(15, 0.9, 0.0)),
    "sum, 900 x 6": (900, linear(6, 0.8, 0.25)),
    "sum, 3000 x 15": (3000, linear(15, 0.6, 0.25)),
    "sum above its median, 2000 x 20": (2000, linear(20, 0.8, 0.25, 1)),
    "sum above its median, 150 x 10": (150, linear(10, 0.9, 0.25, 1)),
    "line above its median, 350 x 15": (350, linear(15, 0.6, 0.0, 1)),
    "friedman1, 400": (400, friedman(1, 0.3)),
    "friedman2, 1000": (1000, friedman(2, 0.2)),
    "teacher, 2000 x 20, number": (2000, teacher(8, 0.3)),
}
LARGE: dict[str, tuple[int, Family]] = {
    "clusters, 8000 x 30": (8000, classes(30, 15, 5, 0.8, 0.02)),
    "rings, 8000 x 10": (8000, rings(10)),
    "teacher, 16000 x 20, classes": (16000, teacher(8, 0.5, 2)),
    "sum above its median, 8000 x 30": (8000, linear(30, 0.7, 0.5, 1)),
    "friedman1, 8000": (8000, friedman(1, 0.3)),
    "friedman3, 16000": (16000, friedman(3, 0.2)),
    "teacher, 16000 x 20, number": (16000, teacher(8, 0.3)),
    "sum, 8000 x 30": (8000, linear(30, 0.5, 0.5)),
}


STRAIGHT: dict[str, tuple[int, Family]] = {
    "sum, 1500 x 10": (1500, linear(10, 0.5, 0.5)),
    "sum, 3000 x 15": (3000, linear(15, 0.6, 0.25)),
    "line, 3000 x 10": (3000, linear(10, 0.95, 0.0)),
    "sum above its median, 2000 x 20": (2000, linear(20, 0.8, 0.25, 1)),
    "teacher, 2000 x 20, classes": (2000, teacher(8, 0.3, 3)),
    "sum, 8000 x 30": (8000, linear(30, 0.5, 0.5)),
    "line, 8000 x 20": (8000, linear(20, 0.95, 0.0)),
    "sum above its median, 8000 x 30": (8000, linear(30, 0.7, 0.5, 1)),
    "teacher, 16000 x 20, classes": (16000, teacher(8, 0.5, 2)),
    "sum, 30000 x 20": (30000, linear(20, 0.5, 0.5)),
}


def net(hidden: list[int], dropout: float, **train: Any) -> dict[str, Any]:
    """A recipe: sections of a spec, and `validation`."""
    validation = train.pop("validation", 0.1)
    rate = train.pop("rate", 0.001)
    activation = train.pop("activation", "relu")
    optimizer = {"type": train.pop("optimizer", "adam"), "learning_rate": rate}
    if decay := train.pop("decay", 0.0):
        optimizer["weight_decay"] = decay
    model = {"hidden": hidden, "dropout": dropout, "activation": activation}
    return {"model": model, "train": {"optimizer": optimizer, **train}, "validation": validation}


def small(rows: int, task: str, gain: float) -> dict[str, dict[str, Any]]:
    batch = max(1, min(32, rows // 2))
    epochs = max(100, 600 // max(1, rows // batch))
    rate = {"type": "cosine", "initial": 0.003}
    kept: dict[str, Any] = {"batch_size": batch, "epochs": epochs, "validation": 0.0, "rate": rate}
    relu = net([100, 100], 0.2, l2=0.01, **kept)

    def elu(l2: float) -> dict[str, Any]:
        return net([100, 100], 0.2, l2=l2, activation="elu", **kept)

    def by(sure: float, chance: float, l2: float) -> dict[str, Any]:
        return relu if gain > sure or rows >= FEW else elu(0.01) if gain > chance else elu(l2)

    return {
        "before": elu(0.01) if rows < FEW else relu,
        "relu": relu,
        "relu, l2 .03": net([100, 100], 0.2, l2=0.03, **kept),
        "elu, l2 .03": elu(0.03),
        "by a gain of 1: relu, else elu .03": by(1, 1, 0.03),
        "by a gain of 2: relu, else elu .03": by(2, 2, 0.03),
        "of 2: relu, of 1: elu .01, else elu .03": by(2, 1, 0.03),
        "of 2: relu, of 1: elu .01, else elu .05": by(2, 1, 0.05),
    }


def large(rows: int, task: str, gain: float) -> dict[str, dict[str, Any]]:
    rate: dict[str, Any] = {"type": "cosine", "initial": 0.003}

    def kept(hidden: list[int], dropout: float, l2: float, batch: int = 64, epochs: int = 50, patience: int = 25):
        stopping = {"patience": patience}
        return net(hidden, dropout, l2=l2, batch_size=batch, epochs=epochs, early_stopping=stopping, rate=rate)

    return {
        "before": kept([256, 128], 0.1, 0.001, epochs=30, patience=8),
        "50 epochs, patience 8": kept([256, 128], 0.1, 0.001, patience=8),
        "50 epochs, patience 25": kept([256, 128], 0.1, 0.001),
        "80 epochs, patience 25": kept([256, 128], 0.1, 0.001, epochs=80),
        "50 epochs, l2 .0005": kept([256, 128], 0.1, 0.0005),
        "50 epochs, three layers": kept([256, 128, 64], 0.1, 0.001),
        "50 epochs, no dropout": kept([256, 128], 0.0, 0.001),
        "50 epochs, batch 128": kept([256, 128], 0.1, 0.001, batch=128),
    }


def straight(rows: int, task: str, gain: float) -> dict[str, dict[str, Any]]:
    """What may be written from 1,000 rows on where smooth functions tell less than linear ones; first, what is."""
    now = advised(rows)

    def recipe(sections: dict[str, Any], l2: float | None = None, **model: Any) -> dict[str, Any]:
        train = sections["train"] if l2 is None else {**sections["train"], "l2": l2}
        return {"model": {**sections["model"], **model}, "train": train, "validation": sections["data"]["validation"]}

    return {
        "before": recipe(now),
        "by the gain": recipe(advised(rows, gain)),
        "elu": recipe(now, activation="elu"),
        **{f"elu, l2 {l2}": recipe(now, l2, activation="elu") for l2 in (0.003, 0.01, 0.03, 0.1)},
    }


def ours(recipe: dict[str, Any], path: Path, task: str, seed: int, folder: Path) -> float:
    """The test score of a recipe."""
    spec = {
        "name": "advice",
        "seed": seed,
        "data": {
            "source": {"type": "npz", "path": str(path), "test_features": "x_test", "test_labels": "y_test"},
            "task": task,
            "scale": "standardize",
            "validation": recipe["validation"],
        },
        "model": recipe["model"],
        "train": recipe["train"],
    }
    found = dnnrun.train(spec, runs_dir=folder / "runs")
    return found.metrics["test"]["r2" if task == "regression" else "accuracy"]


def theirs(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, task: str, seed: int):
    """The test scores of scikit-learn's, an MLP of a regression with the target standardized."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if task == "regression":
        mlp = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
        models: list[Any] = [mlp, LinearRegression()]
    else:
        models = [MLPClassifier(random_state=seed), LogisticRegression()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 200 iterations were not enough
        return [float(make_pipeline(StandardScaler(), m).fit(x, y).score(x_test, y_test)) for m in models]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=("small", "large", "straight"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", metavar="RECIPE", action="append")
    parser.add_argument("--family", metavar="FAMILY", action="append")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    families, recipes = {"small": (SMALL, small), "large": (LARGE, large), "straight": (STRAIGHT, straight)}[
        options.size
    ]
    table: dict[str, dict[str, list[float]]] = {}
    seconds: dict[str, float] = {}
    gains: dict[str, list[float]] = {}
    for family, (rows, make) in families.items():
        if options.family and family not in options.family:
            continue
        scores = table.setdefault(family, {})
        for seed in range(options.seeds):
            x, y = make(rows + TEST, seed)
            task = "regression" if y.dtype.kind == "f" else "classification"
            x, y = x.astype(np.float32), y.astype(np.float32 if task == "regression" else np.int32)
            parts = x[:rows], y[:rows], x[rows:], y[rows:]
            for name, score in zip(("MLP", "linear"), theirs(*parts, task, seed), strict=True):
                scores.setdefault(name, []).append(score)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "made.npz"
                np.savez(path, **dict(zip(("x", "y", "x_test", "y_test"), parts, strict=True)))
                labels = y[:rows].reshape(rows, -1) if task == "regression" else y[:rows]
                found = asked(x[:rows], labels, task)
                gain = gain_of(found)
                gains.setdefault(family, []).append(gain)
                done: dict[str, tuple[float, float]] = {}
                for name, recipe in recipes(rows, task, gain).items():
                    if options.only and name not in options.only:
                        continue
                    if (key := json.dumps(recipe)) not in done:
                        began = time.perf_counter()
                        done[key] = ours(recipe, path, task, seed, Path(folder)), time.perf_counter() - began
                    scores.setdefault(name, []).append(done[key][0])
                    seconds[name] = seconds.get(name, 0.0) + done[key][1]
        print(family, {name: round(float(np.mean(of)), 4) for name, of in scores.items()}, flush=True)
    text = page(options, table, seconds, gains)
    print(text)
    if options.write:
        (RESULTS / f"advice-{options.size}.md").write_text(text)


def page(
    options: argparse.Namespace,
    table: dict[str, dict[str, list[float]]],
    seconds: dict[str, float],
    gains: dict[str, list[float]],
) -> str:
    """Families by recipes, and of each recipe the mean difference to the first one and to scikit-learn's better."""
    names = list(next(iter(table.values())))
    first = names[2]
    runs = len(table) * options.seeds
    lines = [
        f"# Recipes for {TITLES[options.size]}",
        "",
        f"`python benchmarks/advice.py {options.size} --seeds {options.seeds} --write`, on {platform.machine()}, beside"
        " other work.",
        "",
        "Accuracy or R2 on 4,000 fresh rows of made-up tables, mean over seeds. Differences, paired, are means over",
        "all tables with their 95% intervals, to the first recipe and to the better of scikit-learn's two; worst: that",
        "of the table where it is least. s: seconds a run.",
        "Gain: what smooth functions tell more than linear ones, in standard errors, as `dnnrun new` measures it.",
        "",
        "| | " + " | ".join(table) + f" | minus {first} | minus the better of MLP and linear | worst | s |",
        f"|{'---|' * (len(table) + 5)}",
    ]
    told = [", ".join(f"{gain:.1f}" for gain in of) for of in gains.values()]
    lines.append(f"| gain | {' | '.join(told)} | | | | |")
    better = [np.maximum(scores["MLP"], scores["linear"]) for scores in table.values()]
    for name in names:
        found = [np.array(scores[name]) for scores in table.values()]
        to_first = estimate(np.concatenate([a - table[f][first] for a, f in zip(found, table, strict=True)]).tolist())
        to_better = estimate(np.concatenate([a - b for a, b in zip(found, better, strict=True)]).tolist())
        worst = min(float((a - b).mean()) for a, b in zip(found, better, strict=True))
        means = " | ".join(f"{of.mean():.3f}" for of in found)
        lines.append(
            f"| {name} | {means} | {to_first} | {to_better} | {worst:.3f} | "
            f"{f'{seconds[name] / runs:.1f}' if name in seconds else ''} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
