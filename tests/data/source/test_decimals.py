"""Numbers with a decimal comma: among features, as a target, and beside a value that is none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dnnrun.assemble import read_data
from dnnrun.data.dataset import Dataset
from dnnrun.data.source import Places
from dnnrun.errors import DataError
from dnnrun.spec.load import load_mapping

LINES = [f"{'Köln' if row % 3 else 'Bonn'};{50 + row},5;{1000 + 13 * row},25" for row in range(40)]


def data(*lines: str, task: str | None = None, decimal: str = ",") -> Dataset:
    Path("a.csv").write_text("\n".join(["ort;fläche;preis", *lines]) + "\n", "utf-8")
    source = {"type": "csv", "path": "a.csv", "target": "preis", "decimal": decimal}
    section = {"source": source, "validation": 0, "preprocessing": {"numeric": "none"}, "task": task}
    spec = {"data": section, "model": {"hidden": [2]}}
    return read_data(load_mapping(spec), Places())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_features_and_targets() -> None:
    found = data(*LINES)
    assert found.task == "regression"
    at = np.argsort(found.origin)
    assert found.labels[at, 0].tolist() == [1000.25 + 13 * row for row in range(40)]
    assert found.features[at, -1].tolist() == [50.5 + row for row in range(40)]


def test_beside_a_missing_value_and_dates() -> None:
    found = data(*(line.replace(";61,5;", ";?;") for line in LINES))
    assert found.columns is not None
    assert found.columns.feature_names() == ["ort=Bonn", "ort=Köln", "fläche", "fläche missing"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (";81,5;", ";groß;", "row 32, column 'fläche': 'groß' is no number, and 39 of 40 values of that column are"),
        (";81,5;1403,25", ";81,5;teuer", "row 32: the target 'preis' is 'teuer', wanted a number for regression"),
    ],
)
def test_the_value_that_is_none_is_told(old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        data(*(line.replace(old, new) for line in LINES), task="regression")


def test_a_comma_that_nothing_was_said_of_is_told() -> None:
    with pytest.raises(DataError, match=r"they are numbers with a decimal comma: say data\.source\.decimal: ','"):
        data(*LINES, *(line.replace(",25", ",75") for line in LINES), decimal=".")
    lines = [f"Bonn;{row},5;{row}" for row in range(60)]
    told = "the column 'fläche' holds numbers with a decimal comma, such as '0,5'; say data.source.decimal: ','"
    with pytest.raises(DataError, match=re.escape(told)):
        data(*lines, decimal=".")
