"""What a person types, and the checkpoint it means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnnrun.errors import CheckpointError
from dnnrun.report.gather import find_run
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import RunDirectory
from tests.store.test_checkpoint import save


def a_run(parent: Path, name: str, status: str, steps: tuple[int, ...] = (3, 10)) -> Path:
    """A run with checkpoints, the first of them the best."""
    run = parent / name
    (run / "checkpoints").mkdir(parents=True)
    (run / "meta.json").write_text(json.dumps({"status": status}))
    folders = [save(run / "checkpoints", step) for step in steps]
    if folders:
        checkpoints.point(run / "checkpoints", "best", folders[0])
        checkpoints.point(run / "checkpoints", "last", folders[-1])
    latest = parent / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(name)
    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """runs/mnist with an old and a new finished run, and one under way."""
    parent = tmp_path / "runs" / "mnist"
    a_run(parent, "20260101T000000-aaaaaa", "done", (7,))
    a_run(parent, "20260102T000000-bbbbbb", "done", (3, 10))
    a_run(parent, "20260103T000000-cccccc", "running", (4, 12))
    return tmp_path / "runs"


DONE, UNDER_WAY = "20260102T000000-bbbbbb", "20260103T000000-cccccc"
FORMS = {
    "mnist": (DONE, 10),
    "mnist/": (DONE, 10),
    "mnist/best": (DONE, 3),
    "mnist/last": (DONE, 10),
    "mnist/step-3": (DONE, 3),
    "mnist/step-00000003": (DONE, 3),
    "mnist/latest": (UNDER_WAY, 12),
    "mnist/latest/best": (UNDER_WAY, 4),
    f"mnist/{DONE}": (DONE, 10),
    f"mnist/{DONE}/best": (DONE, 3),
    f"mnist/{DONE}/step-10": (DONE, 10),
    f"mnist/{DONE}/checkpoints/best": (DONE, 3),
    f"mnist/{DONE}/checkpoints/last": (DONE, 10),
    f"mnist/{DONE}/checkpoints/step-00000003": (DONE, 3),
    f"mnist/{DONE}/checkpoints/step-3": (DONE, 3),
    f"mnist/{UNDER_WAY}": (UNDER_WAY, 12),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_argument(form: str, runs: Path) -> None:
    run, step = FORMS[form]
    found = find_checkpoint(f"{runs}/{form}")
    assert found.step == step
    assert found.folder.resolve() == runs / "mnist" / run / "checkpoints" / f"step-{step:08d}"


def test_latest_is_told_as_the_run_that_it_is_now(runs: Path) -> None:
    assert find_checkpoint(runs / "mnist" / "latest" / "best").folder.parent.parent == runs / "mnist" / UNDER_WAY


def test_relative_arguments_and_other_working_folders(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    assert find_checkpoint("runs/mnist").step == 10
    monkeypatch.chdir(runs / "mnist" / DONE)
    assert find_checkpoint(".").step == 10
    assert find_checkpoint("best").step == 3
    assert find_checkpoint("checkpoints/best").step == 3


def test_a_second_save_of_a_step_is_named_with_its_number(runs: Path) -> None:
    folder = runs / "mnist" / DONE / "checkpoints"
    save(folder, 10)
    assert find_checkpoint(runs / "mnist" / "step-10").folder.name == "step-00000010"
    assert find_checkpoint(runs / "mnist" / "step-10-2").folder.name == "step-00000010-2"


def test_a_checkpoint_folder_alone_is_enough(runs: Path, tmp_path: Path) -> None:
    moved = (runs / "mnist" / DONE / "checkpoints" / "step-00000003").rename(tmp_path / "mine")
    assert find_checkpoint(moved).step == 3


def test_what_is_not_there_has_its_message(runs: Path, tmp_path: Path) -> None:
    mnist, run = runs / "mnist", runs / "mnist" / DONE
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    started = a_run(tmp_path / "runs" / "begun", "20260101T000000-aaaaaa", "running", ())
    stopped = a_run(tmp_path / "runs" / "stopped", "20260101T000000-aaaaaa", "interrupted")
    table = [
        (
            runs / "minst",
            f"{runs / 'minst'}: not found; wanted a run or a checkpoint folder; {runs} has begun, mnist, stopped; "
            f"did you mean {mnist}?",
        ),
        (
            runs / "minst" / "best",
            f"{runs / 'minst' / 'best'}: not found; wanted a run or a checkpoint folder; {runs} has begun, mnist, "
            f"stopped; did you mean {mnist}?",
        ),
        (tmp_path / "a" / "b", f"{tmp_path / 'a' / 'b'}: not found; wanted a run or a checkpoint folder"),
        (tmp_path / "file", f"{tmp_path / 'file'}: a file; wanted a run, or a checkpoint folder"),
        (
            tmp_path / "empty",
            f"{tmp_path / 'empty'}: no run and no checkpoint here; wanted a run or a checkpoint folder",
        ),
        (
            run / "checkpoints",
            f"{run / 'checkpoints'}: no run and no checkpoint here; wanted a run or a checkpoint folder; "
            f"{run / 'checkpoints'} has best, last, step-00000003, step-00000010",
        ),
        (mnist / "step-5", f"{run}: no checkpoint step-5; there: step-00000003, step-00000010"),
        (started, f"{started}: no checkpoint last; there: none yet"),
        (
            started.parent,
            f"{started.parent}: no finished run (the newest, {started.name}, is killed); resume it",
        ),
        (
            stopped.parent,
            f"{stopped.parent}: no finished run (the newest, {stopped.name}, is interrupted); "
            f"resume it, or name its checkpoint: {stopped / 'checkpoints' / 'last'}",
        ),
    ]
    for argument, message in table:
        with pytest.raises(CheckpointError) as caught:
            find_checkpoint(argument)
        assert str(caught.value) == message


def test_a_run_that_goes_on_is_waited_for(tmp_path: Path) -> None:
    begun = a_run(tmp_path / "begun", "20260101T000000-aaaaaa", "running", ())
    under_way = a_run(tmp_path / "small", "20260101T000000-aaaaaa", "running")
    kept = under_way / "checkpoints"
    told = "no finished run (the newest, 20260101T000000-aaaaaa, is running); wait for its end"
    with RunDirectory(begun).lock(), RunDirectory(under_way).lock():
        table = {
            begun.parent: f"{begun.parent}: {told}",
            begun: f"{begun}: no checkpoint last; there: none yet; it is running, wait for the next one",
            under_way.parent: f"{under_way.parent}: {told}, or name its checkpoint: {kept / 'last'}",
            under_way.parent / "best": f"{under_way.parent}: {told}, or name its checkpoint: {kept / 'best'}",
        }
        for argument, message in table.items():
            with pytest.raises(CheckpointError) as caught:
                find_checkpoint(argument)
            assert str(caught.value) == message
        with pytest.raises(CheckpointError) as caught:
            find_run(under_way.parent)
        assert str(caught.value) == f"{under_way.parent}: {told}, or name it: {under_way}"


def test_a_name_that_no_file_can_have_is_an_error() -> None:
    with pytest.raises(CheckpointError):
        find_checkpoint("x" * 5000)
