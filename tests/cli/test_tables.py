"""A person's table: train, eval and predict at the command line, and the same in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import dnnrun
from tests.mixedtable import mixed
from tests.smallruns import finished

SPEC: dict[str, Any] = {
    "name": "mixed",
    "data": {
        "source": {"type": "csv", "path": "mixed.csv", "target": "churn", "ignore": ["spend"], "id": "id", "test": 0.2},
        "validation": 0.2,
    },
    "model": {"hidden": [16]},
    "train": {"optimizer": {"type": "adam", "learning_rate": 0.01}, "batch_size": 50, "epochs": 8},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    """A folder with mixed.csv and a run trained on it."""
    folder = tmp_path_factory.mktemp("tables")
    mixed(2000).write_csv(folder / "mixed.csv")
    (folder / "mixed.yaml").write_text(json.dumps(SPEC))
    done = finished(compiled, "train", "mixed.yaml", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "data: churn: classification, since it holds text" in done.stderr
    assert "data: left out, as no training row has a value: empty" in done.stderr
    assert json.loads(done.stdout)["metrics"]["test"]["accuracy"] > 0.7
    return folder


def test_predictions_do_not_depend_on_the_order_of_columns(place: Path, compiled: Path) -> None:
    frame = polars.read_csv(place / "mixed.csv", infer_schema=False)
    frame.select(sorted(frame.columns)).with_columns(polars.lit("?").alias("more")).write_csv(place / "other.csv")
    for name in ("mixed", "other"):
        done = finished(compiled, "predict", "runs/mixed", f"{name}.csv", "-o", f"{name}.out.csv", "--proba", cwd=place)
        assert done.returncode == 0, done.stderr
        assert "2,000 predictions in" in done.stderr
    assert "warning: column that training has not seen, not used: more" in done.stderr  # pyright: ignore[reportPossiblyUnboundVariable]
    assert (place / "mixed.out.csv").read_bytes() == (place / "other.out.csv").read_bytes()
    found = polars.read_csv(place / "mixed.out.csv")
    assert found.columns == ["id", "prediction", "probability_no", "probability_yes"]
    assert found["id"].to_list() == frame["id"].to_list()
    assert np.allclose(found["probability_no"] + found["probability_yes"], 1, atol=1e-6)
    assert (found["prediction"] == frame["churn"]).mean() > 0.7  # type: ignore[operator]


def test_parquet_json_and_unknown_categories(place: Path, compiled: Path) -> None:
    frame = polars.read_csv(place / "mixed.csv").head(20)
    cities = ["Oslo"] * 3 + frame["city"].to_list()[3:]
    frame = frame.with_columns(polars.Series("city", cities)).drop("id", "churn", "spend", "empty", "constant")
    frame.write_parquet(place / "new.parquet")
    done = finished(compiled, "predict", "runs/mixed", "new.parquet", "-o", "new.out.parquet", "--json", cwd=place)
    told = json.loads(done.stdout)
    assert (told["rows"], told["unknown"], told["extra"], told["output"]) == (20, {"city": 3}, [], "new.out.parquet")
    assert "warning: city: 3 values that training has not seen, taken as unknown ('Oslo')" in done.stderr
    assert "no column 'id', which names the rows" in done.stderr
    written = polars.read_parquet(place / "new.out.parquet")
    shown = json.loads(finished(compiled, "predict", "runs/mixed", "new.parquet", "--json", cwd=place).stdout)
    assert shown["predictions"] == written.to_dicts()
    printed = finished(compiled, "predict", "runs/mixed", "new.parquet", cwd=place).stdout.splitlines()
    assert printed == ["prediction", *written["prediction"]]


@pytest.mark.filterwarnings("ignore::dnnrun.errors.UnseenCategory")  # a city that only other rows have
def test_eval_of_a_file(place: Path, compiled: Path) -> None:
    own = json.loads(finished(compiled, "eval", "runs/mixed", "--json", cwd=place).stdout)
    polars.read_csv(place / "mixed.csv").write_ipc(place / "all.arrow")
    done = finished(compiled, "eval", "runs/mixed", "--data", "all.arrow", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["examples"] == 2000
    assert found["metrics"].keys() == own["metrics"].keys()
    frame, network = polars.read_csv(place / "mixed.csv"), dnnrun.load(place / "runs/mixed")
    right = (network.predict(frame) == frame["churn"].to_numpy()).mean()
    assert found["metrics"]["accuracy"] == pytest.approx(right, abs=1e-6)
    other = polars.read_csv(place / "mixed.csv").with_columns(plan=polars.lit("free"))
    other.write_ipc(place / "other.arrow")
    warned = finished(compiled, "eval", "runs/mixed", "--data", "other.arrow", cwd=place).stderr
    assert f"warning: plan: {len(other):,} values that training has not seen, taken as unknown ('free')" in warned
    both = finished(compiled, "eval", "runs/mixed", "--data", "all.arrow", "--split", "test", cwd=place)
    assert both.stderr == "error: --split: --data has no splits; leave one of them out\n"


@pytest.mark.filterwarnings("ignore::dnnrun.errors.UnseenCategory")  # a city that only other rows have
def test_python_takes_frames_and_columns(place: Path) -> None:
    frame, network = polars.read_csv(place / "mixed.csv"), dnnrun.load(place / "runs/mixed")
    found = network.predict_proba(frame)
    assert found.shape == (2000, 2)
    assert np.array_equal(network.predict_proba(frame.select(reversed(frame.columns))), found)
    assert np.allclose(network.predict_proba(frame.to_dict(as_series=False)), found, atol=1e-6)
    assert set(network.predict(frame.head(50))) <= {"no", "yes"}


def test_numbers_are_predicted_in_their_units(place: Path, compiled: Path) -> None:
    words = ["name=spend", "data.source.target=[spend, visits]", "data.source.ignore=[churn]", "train.epochs=20"]
    trained = finished(compiled, "train", "mixed.yaml", *words, cwd=place)
    assert trained.returncode == 0, trained.stderr
    done = finished(compiled, "predict", "runs/spend", "mixed.csv", "-o", "spend.parquet", cwd=place)
    assert done.returncode == 0, done.stderr
    found, frame = polars.read_parquet(place / "spend.parquet"), polars.read_csv(place / "mixed.csv")
    assert found.columns == ["id", "prediction_spend", "prediction_visits"]
    errors = (found["prediction_spend"] - frame["spend"]).to_numpy()
    assert (errors**2).mean() < 0.6 * frame["spend"].to_numpy().var()
    told = finished(compiled, "eval", "runs/spend", "--data", "mixed.csv", "--json", cwd=place)
    rmse = next(entry["rmse"] for entry in json.loads(told.stdout)["per_target"] if entry["target"] == "spend")
    assert rmse == pytest.approx((errors**2).mean() ** 0.5, rel=1e-4)
    refused = finished(compiled, "predict", "runs/spend", "mixed.csv", "--proba", cwd=place)
    assert refused.returncode == 2
    assert "a regression has no probabilities; leave it out" in refused.stderr


PREDICT: dict[str, tuple[tuple[str, ...], str]] = {
    "missing column": (
        ("predict", "runs/mixed", "bad.csv"),
        "error: bad.csv: without the column 'age' (is it 'Age2'?), which the network was trained on; it has Age2, "
        "income, city, plan, member, joined, visits. Add what is missing; the order does not matter\n",
    ),
    "text for a number": (
        ("predict", "runs/mixed", "text.csv"),
        "error: text.csv: row 2, column 'age': 'old' is no number, and the column holds numbers; correct it, or leave "
        "it empty\n",
    ),
    "no rows": (
        ("predict", "runs/mixed", "none.csv", "-o", "p.csv"),
        "error: none.csv: there are no rows to predict; give it data\n",
    ),
    "no rows, as Parquet": (
        ("predict", "runs/mixed", "none.csv", "-o", "p.parquet"),
        "error: none.csv: there are no rows to predict; give it data\n",
    ),
    "arrays": (
        ("eval", "runs/mixed", "--data", "x.npy"),
        "error: x.npy: arrays and images have no columns; wanted a table with those of the training file, the target "
        "among them\n",
    ),
    "no such id": (
        ("predict", "runs/mixed", "text.csv", "--id", "name"),
        "error: --id: text.csv has no column 'name'; it has age, income, city, plan, member, joined, visits\n",
    ),
    "no such file": (
        ("eval", "runs/mixed", "--data", "none/rows.csv"),
        "error: none/rows.csv: not found; correct the path\n",
    ),
    "another kind of output": (
        ("predict", "runs/mixed", "mixed.csv", "-o", "out.xlsx"),
        "error: --output: out.xlsx: wanted a name that ends in .csv, .tsv or .parquet\n",
    ),
    "over the rows": (
        ("predict", "runs/mixed", "mixed.csv", "-o", "mixed.csv"),
        "error: --output: mixed.csv is the file with the rows; choose another name\n",
    ),
    "no target": (
        ("eval", "runs/mixed", "--data", "text.csv"),
        "error: data.source.target: text.csv has no column 'churn'; it has age, income, city, plan, member, joined, "
        "visits\n",
    ),
}


@pytest.mark.parametrize("case", PREDICT)
def test_what_does_not_fit_is_told(case: str, place: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNNRUN_DATA_DIR", raising=False)
    header, row = "age,income,city,plan,member,joined,visits\n", "40,30000,Fez,pro,true,2020-01-01,3\n"
    (place / "text.csv").write_text(header + row + row.replace("40,", "old,"))
    (place / "bad.csv").write_text(header.replace("age", "Age2") + row)
    (place / "none.csv").write_text(header)
    np.save(place / "x.npy", np.zeros((2, 7)))
    words, message = PREDICT[case]
    before = {path.name for path in place.iterdir()}
    done = finished(compiled, *words, cwd=place)
    assert (done.returncode, done.stderr) == (2, message)
    assert {path.name for path in place.iterdir()} == before
