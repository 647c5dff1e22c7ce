"""What the line of `dnnrun sweep` refuses, before anything runs."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from dnnrun.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "train.batch_size"], "wanted KEY=VALUES, as train.batch_size=[50, 100]"),
        (["--grid", "train.batch_size=50"], "--grid train.batch_size: found 50 (a whole number), wanted a list"),
        (["--grid", "train.batch_size=[50,"], "--grid train.batch_size: not YAML: the text ends before the bracket"),
        (
            ["--range", "train.l2=log(0.1,1)"],
            "--range train.l2: found 'log(0.1,1)' (a text), wanted {log: [0.001, 0.1]}",
        ),
        (["--zip", "train.l2=[.1], model.hidden=[[9]]"], "--zip train.l2: not YAML"),
        (["--time", "2 days"], "--time 2 days: wanted a duration, as 90s, 30m or 2h"),
    ],
)
def test_bad_lines_are_refused(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["sweep", "digits", *arguments], env={"COLUMNS": "200"})
    text = result.output + (str(result.exception) if result.exception else "")
    assert message in text
    assert result.exit_code != 0
    assert "engine:" not in text
