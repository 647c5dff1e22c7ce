"""Tables: what `dnnrun new` and `dnnrun train` make of a CSV, against scikit-learn's MLP and linear models.

    python benchmarks/tabular.py [--seeds 5] [--only wine] [--write]

Each seed holds a fifth of the rows out (stratified), and does what a user does with the two files:

    dnnrun new train.csv --target T --test test.csv > my.yaml
    dnnrun train my.yaml seed=S
    dnnrun eval runs/my --data test.csv --json

scikit-learn's models, with their defaults, learn from all rows of train.csv, prepared by its own means: median and
indicator for missing numbers, standardized; dates as days; one-hot categories. `--write` writes
benchmarks/results/tabular.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dnnrun.sweep.statistics import Estimate, estimate

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "tabular.md"
METRIC = {"classification": "accuracy", "regression": "r2"}


@dataclass(frozen=True)
class Table:
    """A table to learn from: how it is made, its target, and columns that no one may learn from."""

    make: Callable[[], pl.DataFrame]
    target: str
    task: str
    ignore: tuple[str, ...] = ()
    id: str | None = None


def bundled(name: str) -> pl.DataFrame:
    """A table inside scikit-learn, its classes by their names."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    target = found.target
    if hasattr(found, "target_names"):
        target = np.array([str(one) for one in found.target_names])[target]
    names = [str(one) for one in found.feature_names]
    return pl.DataFrame({**{one: found.data[:, at] for at, one in enumerate(names)}, "target": target})


def california(rows: int = 20_640) -> pl.DataFrame:
    """A table like California housing, which scikit-learn downloads and does not bring along: columns, ranges, tails.

    Prices follow income, a surface over the map (a coast, two cities), people a household and age, with noise of a
    quarter; they are capped at 5, as there.
    """
    rng = np.random.default_rng(1990)
    along = np.where(rng.random(rows) < 0.6, rng.normal(0.25, 0.1, rows), rng.normal(0.7, 0.15, rows)).clip(0, 1)
    inland = rng.gamma(1.3, 0.9, rows).clip(0, 6)
    latitude = (32.5 + 9.4 * along + rng.normal(0, 0.2, rows)).clip(32.5, 42)
    longitude = (-117.2 - 6.8 * along + inland + rng.normal(0, 0.1, rows)).clip(-124.4, -114.3)
    coast = -117.2 - 6.8 * (latitude - 32.5) / 9.4
    near = np.exp(-np.abs(longitude - coast) / 0.7)
    cities = sum(
        height * np.exp(-((latitude - north) ** 2 + (longitude - west) ** 2) / wide)
        for height, north, west, wide in (
            (0.9, 34.05, -118.3, 0.3),
            (1.2, 37.75, -122.3, 0.4),
            (0.5, 32.8, -117.1, 0.1),
        )
    )
    income = (np.exp(rng.normal(1.25, 0.45, rows)) * (0.9 + 0.25 * near)).clip(0.5, 15)
    age = rng.integers(1, 53, rows).astype(float)
    rooms = (5.1 + 0.35 * (income - 3.9) + rng.standard_t(3, rows)).clip(0.85, 140)
    bedrooms = (0.21 * rooms * np.exp(rng.normal(0, 0.15, rows))).clip(0.33, 34)
    population = np.exp(rng.normal(7.05, 0.75, rows)).round().clip(3, 35_682)
    people = (2.9 * np.exp(rng.normal(0, 0.22, rows)) * np.where(rng.random(rows) < 0.002, 30, 1)).clip(0.7, 1243)
    worth = np.log(income) * 0.75 + 0.7 * near + cities - 0.35 * np.log(people / 2.9) + 0.004 * age * near
    worth = worth + 0.3 * np.log(bedrooms / (0.21 * rooms)) * (income < 3) + 0.15 * np.sin(3 * (latitude - 34))
    price = np.exp(worth - 0.68 + rng.normal(0, 0.25, rows)).clip(0.15, 5.00001)
    columns = (income, age, rooms, bedrooms, population, people, latitude, longitude, price)
    names = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude", "value")
    return pl.DataFrame(dict(zip(names, columns, strict=True))).with_columns(pl.all().round(5))


def mixed() -> pl.DataFrame:
    """20,000 rows of numbers, categories, dates, booleans and what is missing, as the tests' script writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mixed.csv"
        subprocess.run([sys.executable, str(ROOT / "tests" / "mixedtable.py"), str(path)], check=True)
        return pl.read_csv(path, try_parse_dates=True)


TABLES = {
    "breast_cancer": Table(lambda: bundled("breast_cancer"), "target", "classification"),
    "wine": Table(lambda: bundled("wine"), "target", "classification"),
    "diabetes": Table(lambda: bundled("diabetes"), "target", "regression"),
    "california_like": Table(california, "value", "regression"),
    "mixed_churn": Table(mixed, "churn", "classification", ("spend",), "id"),
    "mixed_spend": Table(mixed, "spend", "regression", ("churn",), "id"),
    "iris": Table(lambda: bundled("iris"), "target", "classification"),
}


def ours(table: Table, seed: int, folder: Path) -> tuple[float, float]:
    """The test score of the untouched spec, and the seconds of `dnnrun train`, its start among them."""
    ignored = [part for column in table.ignore for part in ("--ignore", column)]
    spec = dnnrun("new", "train.csv", "--target", table.target, "--test", "test.csv", *ignored, folder=folder)
    (folder / "my.yaml").write_text(spec)
    began = time.perf_counter()
    run = json.loads(dnnrun("train", "my.yaml", f"seed={seed}", "--json", folder=folder))
    seconds = time.perf_counter() - began
    found = json.loads(dnnrun("eval", run["run"], "--data", "test.csv", "--json", folder=folder))
    return found["metrics"][METRIC[table.task]], seconds


def dnnrun(*arguments: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "dnnrun", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"dnnrun {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def theirs(table: Table, train: pl.DataFrame, test: pl.DataFrame, seed: int) -> dict[str, float]:
    """The test scores of scikit-learn's models, of a regression also of the MLP with its target standardized."""
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def features(frame: pl.DataFrame) -> tuple[np.ndarray, list[int], list[int]]:
        """Columns as an array of objects, and which are numbers, and which categories; without empty ones."""
        used = frame.drop([table.target, *table.ignore, *([table.id] if table.id else [])]).get_columns()
        used = [s for s in used if train[s.name].null_count() < len(train)]
        used = [s.dt.epoch("d") if s.dtype == pl.Date else s for s in used]
        texts = [at for at, s in enumerate(used) if s.dtype in (pl.String, pl.Boolean)]
        array = np.empty((len(frame), len(used)), object)
        for at, series in enumerate(used):
            whole = series.cast(pl.String).fill_null("missing") if at in texts else series.cast(pl.Float64)
            array[:, at] = whole.to_numpy()
        return array, [at for at in range(len(used)) if at not in texts], texts

    (x, numbers, texts), (x_test, _, _) = features(train), features(test)
    y, y_test = train[table.target].to_numpy(), test[table.target].to_numpy()
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ]
    )
    if table.task == "regression":
        mlp = MLPRegressor(random_state=seed)
        models: dict[str, Any] = {
            "MLP": mlp,
            "MLP, target standardized": TransformedTargetRegressor(mlp, transformer=StandardScaler()),
            "linear": LinearRegression(),
        }
    else:
        models = {"MLP": MLPClassifier(random_state=seed), "linear": LogisticRegression()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 200 iterations were not enough
        return {
            name: float(make_pipeline(prepare, model).fit(x, y).score(x_test, y_test)) for name, model in models.items()
        }


def measured(table: Table, seeds: int) -> tuple[dict[str, list[float]], list[float]]:
    """The scores by contender, one for each seed, and the seconds that dnnrun took."""
    from sklearn.model_selection import train_test_split

    frame, scores, seconds = table.make(), dict[str, list[float]](), list[float]()
    for seed in range(seeds):
        kinds = frame[table.target].to_numpy() if table.task == "classification" else None
        rows = train_test_split(np.arange(len(frame)), test_size=0.2, random_state=seed, stratify=kinds)
        train, test = (frame[part] for part in rows)
        with tempfile.TemporaryDirectory() as folder:
            train.write_csv(Path(folder) / "train.csv")
            test.write_csv(Path(folder) / "test.csv")
            score, took = ours(table, seed, Path(folder))
        seconds.append(took)
        for name, value in {"dnnrun": score, **theirs(table, train, test, seed)}.items():
            scores.setdefault(name, []).append(value)
    return scores, seconds


def row(name: str, scores: dict[str, list[float]], seconds: list[float]) -> list[str]:
    """A line of the table, and one below it for the MLP with a standardized target."""

    def told(of: list[float]) -> Estimate:
        return estimate(of)

    def less(contender: str) -> Estimate:
        return estimate([a - b for a, b in zip(scores["dnnrun"], scores[contender], strict=True)])

    score = METRIC[TABLES[name].task]
    lines = []
    for contender in scores:
        if contender == "dnnrun":
            lines.append(f"| {name} | {score} | dnnrun | {told(scores[contender])} | | {np.median(seconds):.1f} |")
        else:
            lines.append(f"| | | {contender} | {told(scores[contender])} | {less(contender)} | |")
    return lines


def verdict(name: str, scores: dict[str, list[float]]) -> str:
    """Which contenders dnnrun's mean reaches."""
    mine = np.mean(scores["dnnrun"])
    above = [one for one in scores if one != "dnnrun" and np.mean(scores[one]) > mine]
    return f"- {name}: " + (f"below {' and '.join(above)}" if above else "reaches or beats every one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=TABLES, action="append")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    head = "| table | score | | mean | dnnrun minus it | s a run |"
    lines, verdicts = [head, f"|{'---|' * 6}"], []
    for name in options.only or TABLES:
        scores, seconds = measured(TABLES[name], options.seeds)
        new = row(name, scores, seconds)
        lines += new
        verdicts.append(verdict(name, scores))
        print("\n".join([*new, verdicts[-1]]), flush=True)
    if options.write:
        RESULT.write_text(page(lines, verdicts, options.seeds, options.only))


def page(lines: list[str], verdicts: list[str], seeds: int, only: list[str] | None) -> str:
    chosen = "".join(f" --only {name}" for name in only or ())
    head = [
        "# Tables against scikit-learn",
        "",
        f"`python benchmarks/tabular.py --seeds {seeds}{chosen} --write`, on {platform.machine()}, beside other work.",
        "",
        "What a user does, with the commands: `dnnrun new train.csv --target T --test test.csv > my.yaml`, `dnnrun",
        "train my.yaml seed=S`, `dnnrun eval RUN --data test.csv --json`; nothing but the seed differs. A fifth of the",
        "rows is held out, other ones each seed. Mean over seeds with its 95% interval (Student's t); differences are",
        "paired by seed; seconds are those of `dnnrun train`, start and compilation among them.",
        "",
        "MLP: MLPClassifier and MLPRegressor with their defaults; linear: LogisticRegression and LinearRegression.",
        "They learn from all rows of train.csv, by a pipeline of scikit-learn's own (missing numbers: median and",
        "indicator, standardized; dates as days; categories one-hot). MLPRegressor leaves targets as they are, and its",
        "200 iterations do not reach those of diabetes: a weak opponent, so a standardized target is shown too.",
        "",
        "The advice of `new` was chosen on other, made-up tables (`python benchmarks/advice.py`, results beside this",
        "file); what these tables had a say in is told in docs/decisions/0096-advice.md. california_like is made up:",
        "as California housing in its columns, ranges, tails and cap, not in its rows. The mixed tables are those of",
        "`python tests/mixedtable.py`: 20,000 rows of numbers, categories, dates, booleans, missing values.",
        "",
    ]
    return "\n".join([*head, *lines, "", *verdicts, ""])


if __name__ == "__main__":
    main()
