from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dnnrun.cli.app import app
from tests.listed import make
from tests.smallruns import finished


def invoke(*arguments: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return found.exit_code, found.output


def test_filters_and_order(tmp_path: Path) -> None:
    for name, accuracy in (("a", 0.8), ("b", 0.9), ("c", 0.7)):
        make(tmp_path, name, accuracy=accuracy)
    code, said = invoke(
        "runs", "validation.accuracy>0.75", "--sort", "validation.accuracy", "--json", "--runs-dir", tmp_path
    )
    assert code == 0
    assert [row["name"] for row in json.loads(said)] == ["b", "a"]


def test_nothing_is_deleted_without_yes(tmp_path: Path, compiled: Path) -> None:
    run = make(tmp_path, "a", status="failed")
    found = finished(compiled, "runs", "status=failed", "--delete", "--runs-dir", tmp_path, cwd=tmp_path)
    assert found.stdout == f"would remove {run.path} (failed, 0.0 MiB)\n"
    assert run.path.exists()
    assert found.stderr == "1 runs, 0.0 MiB; nothing was removed, --yes removes them\n"
    found = finished(compiled, "runs", "status=failed", "--delete", "--yes", "--runs-dir", tmp_path, cwd=tmp_path)
    assert found.returncode == 0
    assert not run.path.exists()


def test_prune_with_a_dry_run(tmp_path: Path) -> None:
    old, new = make(tmp_path, "a"), make(tmp_path, "a")
    code, said = invoke("runs", "--prune", "--dry-run", "--yes", "--json", "--runs-dir", tmp_path)
    assert code == 0
    assert json.loads(said)["chosen"] == [str(old.path)]
    assert json.loads(said)["removed"] == []
    assert old.path.exists()
    assert new.path.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--delete"], "--delete wants a filter, as status=failed; name='*' for every run"),
        (["--delete", "--prune", "name=a"], "--delete and --prune exclude each other"),
        (["--yes"], "--dry-run and --yes go with --delete or --prune"),
    ],
)
def test_wrong_options(tmp_path: Path, arguments: list[str], told: str) -> None:
    code, said = invoke("runs", *arguments, "--runs-dir", tmp_path)
    assert code == 2
    assert told in " ".join(said.split())
