from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dnnrun import files
from dnnrun.errors import DnnrunError, RunDirectoryError
from dnnrun.store import choose, index
from tests.listed import make


def test_a_row_is_what_meta_says(tmp_path: Path) -> None:
    run = make(tmp_path, "a", started="2026-01-02T03:04:05+0000")
    (row,) = index.rows(tmp_path)
    assert row == {
        "run": str(run.path),
        "name": "a",
        "status": "done",
        "started": "2026-01-02T03:04:05+0000",
        "seconds": 2.0,
        "epochs": 3,
        "steps": 30,
        "metrics": {"validation": {"loss": pytest.approx(0.1), "accuracy": 0.9}},
        "examples_per_s": 1000.0,
        "parameters": 12,
    }


def test_the_second_listing_reads_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        make(tmp_path, name)
    first = index.rows(tmp_path)
    monkeypatch.setattr(index, "read_row", lambda run: pytest.fail(f"{run.path} was read"))
    assert index.rows(tmp_path) == first


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 0, "runs": {}}', b'{"version": 1, "runs": {"a": 3}}']
)
def test_a_damaged_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    make(tmp_path, "a")
    first = index.rows(tmp_path)
    (tmp_path / index.INDEX).write_bytes(content)
    assert index.rows(tmp_path) == first
    assert json.loads((tmp_path / index.INDEX).read_bytes())["version"] == index.VERSION


def test_it_follows_what_happens_to_runs(tmp_path: Path) -> None:
    run, other = make(tmp_path, "a"), make(tmp_path, "b")
    index.rows(tmp_path)
    run.write_meta({**run.meta(), "status": "failed"})
    choose.remove(other.path)
    make(tmp_path, "c", status="interrupted")
    assert [(row["name"], row["status"]) for row in index.rows(tmp_path)] == [("a", "failed"), ("c", "interrupted")]


def test_what_still_runs_is_read_each_time(tmp_path: Path) -> None:
    run = make(tmp_path, "a", status="running")
    with run.lock():
        assert index.rows(tmp_path)[0]["status"] == "running"
    os.unlink(run.path / ".lock")
    assert index.rows(tmp_path)[0]["status"] == "killed"


def test_a_moved_folder_of_runs_has_its_new_paths(tmp_path: Path) -> None:
    make(tmp_path / "old", "a")
    index.rows(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert index.rows(tmp_path / "new")[0]["run"].startswith(str(tmp_path / "new"))


def test_without_the_right_to_write_it_lists_all_the_same(tmp_path: Path) -> None:
    make(tmp_path, "a")

    def refuse(operation: str, path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    files.observe = refuse
    assert len(index.rows(tmp_path)) == 1
    assert not (tmp_path / index.INDEX).exists()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("status=done", "ab"),
        ("status!=done", "c"),
        ("name=[ab]", "ab"),
        ("validation.accuracy>0.85", "b"),
        ("validation.accuracy>=0.8", "ab"),
        ("validation.loss<0.15", "b"),
        ("epochs=3", "ab"),
        ("test.loss<1", ""),
        ("test.loss!=1", "abc"),
    ],
)
def test_conditions(tmp_path: Path, text: str, names: str) -> None:
    make(tmp_path, "a", accuracy=0.8)
    make(tmp_path, "b", accuracy=0.9)
    make(tmp_path, "c", status="failed")
    found = [row["name"] for row in index.rows(tmp_path) if choose.condition(text).holds(row)]
    assert found == list(names)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("status", "filter 'status': wanted KEY=VALUE, as status=done or 'validation.accuracy>0.97'"),
        ("stats=done", "filter 'stats=done': no key 'stats'; did you mean 'status'?"),
        ("validation.acc>1", "filter 'validation.acc>1': no key 'validation.acc'; did you mean 'validation.accuracy'?"),
        ("epochs>many", "filter 'epochs>many': epochs is a number, and 'many' is none"),
        (
            "status=nope",
            "filter 'status=nope': no run is ever 'nope'; wanted done, running, interrupted, failed, killed",
        ),
        ("=3", "filter '=3': wanted KEY=VALUE, as status=done or 'validation.accuracy>0.97'"),
    ],
)
def test_wrong_conditions(text: str, told: str) -> None:
    with pytest.raises(DnnrunError) as caught:
        choose.condition(text)
    assert str(caught.value) == told


def test_order(tmp_path: Path) -> None:
    for name, accuracy in (("a", 0.8), ("b", 0.9)):
        make(tmp_path, name, accuracy=accuracy)
    make(tmp_path, "c", status="failed")
    rows = index.rows(tmp_path)
    assert [row["name"] for row in choose.ordered(rows, "validation.accuracy")] == ["b", "a", "c"]
    assert [row["name"] for row in choose.ordered(rows, "validation.loss")] == ["b", "a", "c"]
    assert [row["name"] for row in choose.ordered(rows, "name")] == ["a", "b", "c"]


def test_pruning_keeps_the_newest_finished(tmp_path: Path) -> None:
    old, failed, new = make(tmp_path, "a"), make(tmp_path, "a", status="failed"), make(tmp_path, "a")
    make(tmp_path, "b")
    rows = index.rows(tmp_path)
    assert [row["run"] for row in choose.prunable(rows, 1)] == [str(old.path), str(failed.path)]
    assert [row["run"] for row in choose.prunable(rows, 2)] == [str(failed.path)]
    assert str(new.path) in [row["run"] for row in choose.prunable(rows, 0)]


def test_removal(tmp_path: Path) -> None:
    old, new = make(tmp_path, "a"), make(tmp_path, "a")
    with new.lock(), pytest.raises(RunDirectoryError, match="is in use by process"):
        choose.remove(new.path)
    choose.remove(new.path)
    assert (tmp_path / "a" / "latest").resolve() == old.path.resolve()
    assert not new.path.exists()
    choose.remove(old.path)
    assert not (tmp_path / "a").exists()
