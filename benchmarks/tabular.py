"""Tables: dnnrun's advised spec against scikit-learn's MLP and linear models with their defaults, over draws and seeds.

    python benchmarks/tabular.py [--seeds 5] [--only wine] [--write]

Each seed draws other test rows (a fifth, stratified), other weights and another order; all contenders get the same
training rows, standardized by them. dnnrun takes a tenth of these for validation, scikit-learn learns from all.
`--write` writes benchmarks/results/tabular.md.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.advice import advised
from dnnrun.data.places import compile_cache
from dnnrun.data.source import Places, Source
from dnnrun.experiment import train
from dnnrun.spec.load import load_mapping
from dnnrun.sweep.statistics import estimate

SETS = ("breast_cancer", "wine", "iris", "diabetes")
METRIC = {"classification": "accuracy", "regression": "r2"}
RESULT = Path(__file__).parent / "results" / "tabular.md"


def ours(name: str, seed: int, folder: Path) -> tuple[float, float]:
    """The test score of the advised spec, and the seconds that it took."""
    source = {"type": name, "draw": seed}
    raw = Source.parse(source).read(Places())
    rows = round(len(raw.train.features) * 0.9)
    spec: dict[str, Any] = {
        "name": f"{name}-{seed}",
        "seed": seed,
        "data": {"source": source},
        **advised(rows, raw.task),
    }
    spec["eval"] = {"baseline": False}
    began = time.perf_counter()
    result = train(load_mapping(spec), runs=folder, cache=compile_cache())
    return result.metrics["test"][METRIC[raw.task]], time.perf_counter() - began


def theirs(name: str, seed: int) -> tuple[float, float]:
    """The test scores of scikit-learn's MLP and linear model."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    raw = Source.parse({"type": name, "draw": seed}).read(Places())
    assert raw.test is not None
    scaler = StandardScaler().fit(raw.train.features)
    x, there = scaler.transform(raw.train.features), scaler.transform(raw.test.features)
    y, told = raw.train.labels.squeeze(), raw.test.labels.squeeze()
    if raw.task == "regression":
        models = [MLPRegressor(random_state=seed), LinearRegression()]
    else:
        models = [MLPClassifier(random_state=seed), LogisticRegression()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 200 iterations were not enough
        scores = [float(model.fit(x, y).score(there, told)) for model in models]
    return scores[0], scores[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=SETS, action="append")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = ["| set | score | dnnrun | MLP | linear | dnnrun - MLP | dnnrun - linear | s a run |", f"|{'---|' * 8}"]
    for name in options.only or SETS:
        task = Source.parse(name).task or "classification"
        with tempfile.TemporaryDirectory() as folder:
            mine = [ours(name, seed, Path(folder)) for seed in range(options.seeds)]
        others = np.array([theirs(name, seed) for seed in range(options.seeds)])
        scores = np.array([score for score, _ in mine])
        columns = [scores, others[:, 0], others[:, 1], scores - others[:, 0], scores - others[:, 1]]
        told = " | ".join(str(estimate(column.tolist())) for column in columns)
        lines.append(f"| {name} | {METRIC[task]} | {told} | {np.median([s for _, s in mine]):.1f} |")
        print(lines[-1], flush=True)
    if options.write:
        RESULT.write_text(page(lines, options.seeds))


def page(lines: list[str], seeds: int) -> str:
    head = [
        "# Tables against scikit-learn",
        "",
        f"`python benchmarks/tabular.py --seeds {seeds} --write`, on {platform.machine()}, beside other work.",
        "",
        "Mean over seeds with its 95% interval (Student's t), on test rows. dnnrun: the spec of `dnnrun.data.advice`.",
        "MLP: MLPClassifier and MLPRegressor with their defaults. linear: LogisticRegression and LinearRegression.",
        "Differences are paired by seed. All on the same standardized features; dnnrun gives a tenth of the training",
        "rows to validation, the others learn from all.",
        "",
    ]
    return "\n".join([*head, *lines, ""])


if __name__ == "__main__":
    main()
