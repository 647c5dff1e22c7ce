"""Run directories: created whole, found in order, one writer; events cut back to a step."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from dnnrun import files
from dnnrun.errors import ResumeError, RunDirectoryError
from dnnrun.store import events
from dnnrun.store.run import RunDirectory, create, newest, runs_of


def test_a_new_run_is_whole_and_latest(tmp_path: Path) -> None:
    run = create(tmp_path, "a", "name: a\n", {"status": "created"})
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "meta.json",
        "metrics.jsonl",
        "spec.yaml",
    ]
    assert run.meta() == {"status": "created"}
    assert newest(tmp_path, "a") == run
    assert (tmp_path / "a" / "latest").readlink() == Path(run.path.name)


def test_runs_made_in_one_second_are_in_order(tmp_path: Path) -> None:
    made = [create(tmp_path, "a", "", {}) for _ in range(6)]
    for run in made[::-1]:  # what a run writes later does not change its place
        run.write_meta({"status": "done"})
    assert runs_of(tmp_path / "a") == made
    assert newest(tmp_path, "a") == made[-1]
    (tmp_path / "a" / "latest").unlink()
    assert newest(tmp_path, "a") == made[-1]


def test_what_a_killed_creation_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    parent = tmp_path / "a"
    parent.mkdir()
    for name, age in {"old": 3600, "new": 0}.items():
        left = parent / f"{files.TEMPORARY}{name}"
        left.mkdir()
        then = time.time() - age
        os.utime(left, (then, then))
    create(tmp_path, "a", "", {})
    assert [path.name for path in parent.iterdir() if path.name.startswith(files.TEMPORARY)] == [".tmp-new"]


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ResumeError) as caught:
        newest(tmp_path, "a")
    assert str(caught.value) == (
        f"{tmp_path / 'a'}: nothing to resume (no run of this name); train without --resume to begin one"
    )


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    run = create(tmp_path, "a", "", {})
    with run.lock(), pytest.raises(RunDirectoryError, match=f"is in use by process {os.getpid()}"):
        run.lock()
    with run.lock():
        pass


def test_a_damaged_meta_is_an_error(tmp_path: Path) -> None:
    run = create(tmp_path, "a", "", {})
    (run.path / "meta.json").write_text("{")
    with pytest.raises(RunDirectoryError, match=r"meta\.json: cannot be read"):
        run.meta()


def test_events_are_lines_and_numbers_that_json_lacks_are_null(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    events.append(path, {"event": "epoch", "step": 1, "loss": float("nan"), "x": [float("inf"), 2.0]})
    assert path.read_text() == '{"event": "epoch", "step": 1, "loss": null, "x": [null, 2.0]}\n'


def test_a_cut_keeps_epochs_up_to_the_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (10, 20, 30):
        events.append(path, {"event": "epoch", "step": step, "loss": 1 / step})
    events.append(path, {"event": "final", "step": 30})
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])  # as a kill leaves it
    assert [event["step"] for event in events.read(path)] == [10, 20, 30]
    events.cut(path, 20)
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])
    events.cut(path, -1)
    assert path.read_bytes() == b""
    events.cut(tmp_path / "none", 3)


def test_a_broken_line_before_the_last_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "x"}\nx\n' + json.dumps({"b": 2}) + "\n")
    with pytest.raises(RunDirectoryError) as caught:
        events.read(path)
    assert str(caught.value) == f"{path}:2: not JSON; the file was changed by something else"


@pytest.mark.parametrize("content", ["[]", "3", '{"status": {}}'])
def test_a_meta_that_says_nothing_of_a_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory(tmp_path).status()
    place = tmp_path / "meta.json"
    assert str(caught.value) == f"{place}: says nothing of a run; the file was changed by something else"
