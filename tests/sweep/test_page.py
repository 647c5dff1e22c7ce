from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import polars
import pytest

from dnnrun.spec.load import load_mapping
from dnnrun.sweep.importance import importance
from dnnrun.sweep.results import parquet_of
from dnnrun.sweep.run import run_sweep
from tests.sweep.pretend import Pretend

GRID = {"model.activation": ["relu", "elu", {"type": "leaky_relu", "slope": 0.2}], "train.batch_size": [20, 50, 100]}
BASE: dict[str, Any] = {
    "name": "small",
    "data": {"source": "digits"},
    "model": {"hidden": [8]},
    "sweep": {"grid": GRID, "seeds": 2, "confirm": 0},
}


def score(spec: dict[str, Any]) -> float | str:
    """The activation is nearly all that counts; one setting fails."""
    if spec["model"]["activation"]["type"] == "elu" and spec["train"]["batch_size"] == 20:
        return "</script><b>it broke"
    return {"relu": 0.5, "elu": 0.9, "leaky_relu": 0.7}[spec["model"]["activation"]["type"]] + spec["seed"] / 1000


def test_the_page_needs_nothing_else_and_holds_every_trial(tmp_path: Path) -> None:
    found = run_sweep(load_mapping(BASE), Pretend(score), runs=tmp_path)
    page = found.page.read_text()
    assert not re.search(r"(src|href)=\"?http", page)
    assert "</script><b>" not in page
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert block
    content = json.loads(block[1])
    assert len(content["trials"]) == 18
    assert content["trials"][0].keys() >= {"model.activation", "train.batch_size", "validation.accuracy"}
    assert content["keys"] == ["model.activation", "train.batch_size"]
    assert content["importance"]["model.activation"] > 0.9
    assert sum(setting["whole"] for setting in content["settings"]) == 8


def test_the_parquet_file_has_the_rows_of_the_csv(tmp_path: Path) -> None:
    found = run_sweep(load_mapping(BASE), Pretend(score), runs=tmp_path)
    parquet = polars.read_parquet(found.folder / "results.parquet")
    text = polars.read_csv(found.folder / "results.csv")
    assert parquet.columns == text.columns
    assert parquet.height == text.height == 18
    assert parquet["validation.accuracy"].to_list() == pytest.approx(text["validation.accuracy"].to_list(), nan_ok=True)
    assert parquet.schema["seed"] == polars.Int64


def test_a_column_of_several_kinds_is_text() -> None:
    rows = [{"a": 1, "b": True}, {"a": 0.5, "b": 0.5}, {"a": None}]
    found = polars.read_parquet(io.BytesIO(parquet_of(rows)))
    assert found["a"].to_list() == [1.0, 0.5, None]
    assert found["b"].to_list() == ["True", "0.5", None]


def test_too_few_settings_say_nothing_of_importance(tmp_path: Path) -> None:
    few = {**BASE, "sweep": {**BASE["sweep"], "grid": {"model.activation": ["relu", "elu"]}}}
    found = run_sweep(load_mapping(few), Pretend(score), runs=tmp_path)
    assert importance(found.ranked()) == {}
