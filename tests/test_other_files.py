"""Files beside the training file: their columns are read as its own, whatever they would pass for by themselves."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dnnrun.assemble import read_data
from dnnrun.data.source import Places
from dnnrun.data.table.columns import Columns
from dnnrun.errors import DataError
from dnnrun.evaluation import evaluate
from dnnrun.predictions import predict_files
from dnnrun.spec.load import load_mapping
from dnnrun.trained import Trained, load
from tests.smallruns import trained

ROWS = 60
DAYS = [date(2024, 1, 1) + timedelta(days=5 * number) for number in range(ROWS)]
TRAINING = pl.DataFrame(
    {
        "when": [f"{day:%m/%d/%Y}" for day in DAYS],
        "seconds": [1_700_000_000 + 60 * number for number in range(ROWS)],
        "code": ["01234", "77777", "A5"] * 20,
        "sold": [number % 3 == 0 for number in range(ROWS)],
        "kind": [("late" if day.month > 6 else "early") for day in DAYS],
    }
)
SPEC = {
    "name": "other",
    "data": {"source": {"type": "csv", "path": "training.csv", "target": "kind"}, "validation": 0},
    "model": {"hidden": [8]},
    "train": {"epochs": 2, "batch_size": 20},
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Trained:
    folder = tmp_path_factory.mktemp("other")
    TRAINING.write_csv(folder / "training.csv")
    spec = load_mapping(SPEC, [f"data.source.path={folder / 'training.csv'}"])
    trained(spec, folder / "runs", compiled)
    return load(folder / "runs" / "other")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def predicted(network: Trained, frame: pl.DataFrame, name: str = "rows.csv") -> pl.DataFrame:
    """Probabilities of the rows, as `predict` writes them of a file of this name."""
    (frame.write_csv if name.endswith("csv") else frame.write_parquet)(name)
    return pl.concat(predict_files(network, [name], proba=True)).drop("prediction")


def test_of_few_days_the_month_comes_first_as_in_training(network: Trained) -> None:
    few = TRAINING.filter(pl.Series([day.day <= 12 for day in DAYS]))
    typed = few.with_columns(when=pl.Series([day for day in DAYS if day.day <= 12]))
    assert predicted(network, few).equals(predicted(network, typed, "rows.parquet"))
    assert predicted(network, few.with_columns(typed["when"].cast(str))).equals(predicted(network, typed, "a.parquet"))
    assert np.array_equal(network.predict_proba(few), network.predict_proba(typed))


def test_times_of_seconds_are_told_apart(network: Trained) -> None:
    assert np.array_equal(predicted(network, TRAINING).to_numpy(), network.predict_proba(TRAINING))
    assert predicted(network, TRAINING.head(1)).equals(predicted(network, TRAINING).head(1))


def test_codes_of_digits_alone_are_no_numbers(network: Trained, tmp_path: Path) -> None:
    digits = TRAINING.filter(pl.col("code") != "A5")
    digits.write_csv("digits.csv")
    found = evaluate(network.checkpoint.folder, data="digits.csv")
    chosen = network.predict(digits)
    assert found.metrics["accuracy"] == (chosen == digits["kind"].to_numpy()).mean()
    told = network.predict_proba(digits)[np.arange(len(digits)), [("early", "late").index(k) for k in digits["kind"]]]
    assert found.metrics["log_loss"] == pytest.approx(-np.log(told).mean(), rel=1e-5)


def test_columns_without_a_value_are_missing_whatever_their_type(network: Trained) -> None:
    none = TRAINING.with_columns(when=pl.lit(None), seconds=pl.lit(None), code=pl.lit(None), sold=pl.lit(None))
    assert predicted(network, none, "rows.parquet").equals(predicted(network, none))


BAD = {
    "the day comes first": (
        TRAINING.with_columns(when=pl.lit("31/12/2024")),
        "the column 'when' holds '31/12/2024', and not all its values are dates of one form; write them as "
        "2024-12-31, or with the month first, as elsewhere",
    ),
    "numbers": (TRAINING.with_columns(when=5), "the column 'when' holds Int32, and it was of kind date in training"),
    "lists": (
        TRAINING.with_columns(pl.concat_list("seconds")),
        "the column 'seconds' holds List(Int64), wanted numbers, text, dates, or true and false",
    ),
    "neither": (
        TRAINING.with_columns(sold=pl.Series([0, 7] * 30)),
        "row 2, column 'sold': 7 is neither true nor false (1, 0); correct it",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_was_otherwise_in_training_is_told(case: str, network: Trained) -> None:
    frame, message = BAD[case]
    with pytest.raises(DataError, match=re.escape(message)):
        predicted(network, frame, "rows.csv" if case == "the day comes first" else "rows.parquet")


@pytest.mark.parametrize("line", ["01/02/2024,1700000000,New York, NY,true,early", "01/02/2024,1700000000,A5,true"])
def test_a_row_of_another_length_is_told_though_its_last_columns_are_not_read(line: str, network: Trained) -> None:
    lines = TRAINING.write_csv().splitlines()
    Path("rows.csv").write_text("\n".join([*lines[:30], line, *lines[30:]]) + "\n")
    with pytest.raises(
        DataError, match=rf"rows.csv:31: row 30 has {line.count(',') + 1} values, and the header names 5"
    ):
        list(predict_files(network, ["rows.csv"]))


@pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
def test_no_rows_are_nothing_to_predict(name: str, network: Trained) -> None:
    with pytest.raises(DataError, match=f"{name}: there are no rows to predict"):
        predicted(network, TRAINING.head(0), name)


NAMING: dict[str, tuple[pl.Expr, object]] = {
    "dates": (pl.lit(date(2024, 2, 29)), "2024-02-29"),
    "moments": (pl.lit(datetime(2024, 2, 29, 12)), "2024-02-29 12:00:00.000000"),
    "decimals": (pl.lit("1.50").cast(pl.Decimal(10, 2)), "1.50"),
    "no numbers": (pl.lit(float("nan")), None),
    "categories": (pl.col("code").cast(pl.Categorical), "01234"),
}


@pytest.mark.parametrize("kind", NAMING)
def test_whatever_names_a_row_can_be_told_as_json(kind: str, network: Trained) -> None:
    names, told = NAMING[kind]
    TRAINING.with_columns(key=names).write_parquet("rows.parquet")
    rows = predict_files(network, ["rows.parquet"], id="key").json_rows()
    assert json.loads(json.dumps(rows, allow_nan=False))[0]["key"] == told


@pytest.mark.parametrize(
    ("names", "called", "message"),
    [
        (
            pl.concat_list("code"),
            "key",
            "the column 'key', which names the rows, holds List(String), wanted text, numbers",
        ),
        (pl.lit(b"\xff"), "key", "the column 'key', which names the rows, holds Binary, wanted text, numbers or dates"),
        (
            pl.col("code"),
            "probability_late",
            "the column 'probability_late', which names the rows, is called like one of",
        ),
    ],
)
def test_what_cannot_name_rows(names: pl.Expr, called: str, message: str, network: Trained) -> None:
    TRAINING.with_columns(names.alias(called)).write_parquet("rows.parquet")
    with pytest.raises(DataError, match=re.escape(message)):
        list(predict_files(network, ["rows.parquet"], proba=True, id=called))


def test_the_order_of_dates_stays_in_the_checkpoint(network: Trained) -> None:
    columns = network.columns
    assert columns is not None
    assert [column.name for column in columns.used if getattr(column, "order", None) == "month"] == ["when"]
    assert Columns.from_json(columns.to_json()) == columns
    assert [entry.get("order") for entry in columns.to_json()["columns"]] == ["month", None, None, None]
    assert "order" not in columns.to_json()["columns"][1]


def dataset(**source: object):
    return read_data(
        load_mapping({**SPEC, "data": {**SPEC["data"], "source": {**SPEC["data"]["source"], **source}}}), Places()
    )


def test_a_test_file_is_read_as_the_training_file() -> None:
    TRAINING.write_csv("training.csv")
    rows = TRAINING.filter((pl.col("code") != "A5") & pl.Series([day.day <= 12 for day in DAYS]))
    rows.write_csv("test.csv")
    rows.with_columns(pl.col("seconds").cast(float)).write_parquet("test.parquet")
    whole = dataset()
    at = [number for number in range(ROWS) if DAYS[number].day <= 12 and number % 3 != 2]
    wanted = whole.rows("train").features[np.argsort(whole.origin)][at]
    for name in ("test.csv", "test.parquet"):
        assert np.array_equal(dataset(test=name).rows("test").features, wanted)
    rows.with_columns(seconds=pl.lit("?!")).write_csv("test.csv")
    with pytest.raises(DataError, match=r"test.csv: row 1, column 'seconds': '\?!' is no number"):
        dataset(test="test.csv")


@pytest.mark.parametrize("streamed", [False, True])
def test_files_of_few_days_are_read_as_the_others(streamed: bool, tmp_path: Path) -> None:
    TRAINING.write_csv("training.csv")
    few = pl.Series([day.day <= 12 for day in DAYS])
    TRAINING.filter(few).write_csv("part-1.csv")
    TRAINING.filter(~few).write_csv("part-2.csv")
    spec = {**SPEC, "data": {**SPEC["data"], "stream": 20}} if streamed else SPEC
    found = read_data(load_mapping(spec, ["data.source.path=part-*.csv"]), Places(cache=tmp_path / "cache"))
    days = np.asarray(found.features)[:, 0][np.argsort(found.origin)]
    order = [day.toordinal() for day in DAYS if day.day <= 12] + [day.toordinal() for day in DAYS if day.day > 12]
    assert np.array_equal(np.argsort(days, kind="stable"), np.argsort(order, kind="stable"))


def test_days_that_could_be_months_are_said() -> None:
    TRAINING.filter(pl.Series([day.day <= 12 for day in DAYS])).write_csv("training.csv")
    told = "dates read as day/month/year, though month/day/year fits them too: when"
    assert told in read_data(load_mapping(SPEC), Places()).notes
    TRAINING.write_csv("training.csv")
    assert told not in read_data(load_mapping(SPEC), Places()).notes
