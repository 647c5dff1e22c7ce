"""The spec that `dnnrun new` writes: what is found in a table, that it loads, and that it trains untouched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from dnnrun.cli.app import app
from dnnrun.data.source import Places
from dnnrun.errors import DataError
from dnnrun.proposal import propose
from dnnrun.spec.load import load
from dnnrun.spec.sections import Spec
from tests.smallruns import trained

ROWS = 200


def loaded(text: str, folder: Path) -> Spec:
    file = folder / "new.yaml"
    file.write_text(text)
    return load(file)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    size = rng.normal(size=ROWS)
    path = tmp_path / "of houses: 1.csv"
    pl.DataFrame(
        {
            "house id": np.arange(ROWS) + 7,
            "size": size,
            "town": rng.choice(["Rome", "Oslo, West", 'the "old"'], ROWS),
            "sold": rng.random(ROWS) < 0.5,
            "note": [f"text {number} of its own" for number in range(ROWS)],
            "gaps": [None if number % 3 else float(number) for number in range(ROWS)],
            "same": ["x"] * ROWS,
            "dear: true?": np.where(size > 0.3, "yes", "no"),
            "tax": np.where(size > 0.3, 9, 1),
        }
    ).write_csv(path)
    return path


def test_a_spec_says_what_was_found_and_loads(table: Path, tmp_path: Path) -> None:
    found = propose(str(table), ["dear: true?"])
    assert (found.name, found.task, found.rows) == ("of-houses-1", "classification", ROWS)
    assert found.ignored == ("note",)
    assert found.suspicious == ("tax",)
    assert found.features == ("size", "town", "sold", "gaps", "same", "tax")
    spec = loaded(found.text, tmp_path)
    source = spec.data.source.model_dump()
    assert (source["target"], source["id"], source["ignore"]) == (("dear: true?",), "house id", ("note",))
    assert spec.eval.baseline
    for comment in (
        "# numbers: size, gaps, tax",
        "# categories: town",
        "# true and false: sold",
        "# missing values, share of rows: gaps (0.67)",
        "    # empty, or the same in every row: left out by itself: same",
        "    # tells the target all by itself; ignore it if it is known only afterwards: tax",
    ):
        assert comment in found.text.splitlines()


@pytest.mark.parametrize(
    ("targets", "task"),
    [(["size"], "regression"), (["sold"], "classification"), (["size", "tax"], "regression")],
)
def test_the_task_is_read_off_the_target(targets: list[str], task: str, table: Path, tmp_path: Path) -> None:
    found = propose(str(table), targets, ignore=["gaps"])
    spec = loaded(found.text, tmp_path)
    assert (found.task, spec.data.task) == (task, task)
    assert spec.data.source.model_dump()["target"] == tuple(targets)
    assert "gaps" not in found.features


def test_the_spec_trains_untouched(table: Path, tmp_path: Path, compiled: Path) -> None:
    found = propose(str(table), ["dear: true?"], ignore=["tax"])
    spec = loaded(found.text, tmp_path)
    result = trained(spec, tmp_path, compiled, places=Places())
    assert result.metrics["test"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("targets", "ignore", "message"),
    [
        ([], [], "say which column is to be predicted, as --target 'tax'; it has house id, size, town, sold"),
        (["siez"], [], "has no column 'siez'; did you mean 'size'?"),
        (["same"], [], "the target 'same' is 'x' in every row, one class"),
        (["gaps"], [], "the target 'gaps' is missing; rows like it: 133; fill it in, or drop them"),
        (["note"], [], "has 200 different values in 200 rows, too many for classes"),
        (["size"], ["twon"], "has no column 'twon'; did you mean 'town'?"),
        (["size"], ["town", "sold", "gaps", "tax", "dear: true?"], "no column is left to learn from beside size"),
    ],
)
def test_what_cannot_be_proposed(targets: list[str], ignore: list[str], message: str, table: Path) -> None:
    with pytest.raises(DataError) as caught:
        propose(str(table), targets, ignore=ignore)
    assert message in str(caught.value)


def test_the_command_writes_once_and_tells_as_json(table: Path, tmp_path: Path) -> None:
    spec = tmp_path / "my.yaml"
    line = ["new", str(table), "--target", "dear: true?", "-o", str(spec)]
    first = CliRunner().invoke(app, [*line, "--json"])
    told = json.loads(first.stdout)
    assert told["spec"] == spec.read_text()
    assert told["output"] == str(spec)
    assert told["suspicious"] == ["tax"]
    again = CliRunner().invoke(app, line)
    assert again.exit_code == 2
    assert "is there already; choose another name, or --force to replace it" in " ".join(again.output.split())
    assert CliRunner().invoke(app, [*line, "--force"]).exit_code == 0
