"""The end of the process, or a failing disk, at any operation of a save or of a run."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnnrun import files
from dnnrun.errors import DnnrunError, ResumeError, RunDirectoryError, RunFailed
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store.find import find_checkpoint
from tests.smallruns import RICH, Collected, outcome, small, trained
from tests.store.test_find import a_run


class Crash(BaseException):
    """The end of the process, as far as the code under test can tell."""


def at(k: int, error: BaseException, last: int | None = None) -> list[str]:
    """Raise `error` at the k-th operation from now on (and at those up to `last`). The operations seen so far."""
    seen: list[str] = []

    def observe(operation: str, path: Path) -> None:
        seen.append(operation)
        if k <= len(seen) <= (last or k):
            raise error

    files.observe = observe
    return seen


def save(run: Path, step: int) -> None:
    """What a run does to save: a checkpoint, both pointers, and the old ones removed."""
    folder = run / "checkpoints"
    model = {"outputs/kernel": np.full((2, 3), step, np.float32)}
    train = {"state/step": np.asarray(np.int32(step))}
    said = {"layers": [], "spec": {}, "features": 2, "classes": [], "preprocessing": {}}
    there = checkpoints.save(folder, step, model, train, said)
    checkpoints.point(folder, "last", there)
    checkpoints.point(folder, "best", there)
    checkpoints.clean(folder)


def prepared(root: Path) -> Path:
    """A finished run with the checkpoints of steps 1, 2 and 3 saved, of which 1 is gone again."""
    run = a_run(root / "runs" / "a", "20260101T000000-aaaaaa", "done", ())
    for step in (1, 2, 3):
        save(run, step)
    return run


def loaded(run: Path, which: str) -> int:
    """The step of a checkpoint, all of whose tensors are of that step."""
    found = find_checkpoint(run / which)
    assert (found.model()["outputs/kernel"] == found.step).all()
    assert found.train()["state/step"] == found.step
    return found.step


def operations(tmp_path: Path) -> list[str]:
    run = prepared(tmp_path / "count")
    seen = at(0, Crash())
    save(run, 4)
    files.observe = None
    return seen


FAILURES: dict[str, tuple[Callable[[], BaseException], type[BaseException], int]] = {
    "crash": (Crash, Crash, 0),
    "ENOSPC": (lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RunFailed, 1),
    "EIO": (lambda: OSError(errno.EIO, os.strerror(errno.EIO)), RunFailed, 1),
    "EACCES": (lambda: OSError(errno.EACCES, os.strerror(errno.EACCES)), RunDirectoryError, 2),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_save_that_fails_anywhere_leaves_the_old_or_the_new(failure: str, tmp_path: Path) -> None:
    steps = operations(tmp_path)
    assert {"mkdir", "open", "write", "fsync", "rename", "symlink", "unlink", "rmdir"} <= set(steps)
    make, kind, code = FAILURES[failure]
    for k in range(1, len(steps) + 1):
        run = prepared(tmp_path / str(k))
        at(k, make())
        with pytest.raises((kind, RunFailed) if steps[k - 1] == "fsync" else kind) as caught:
            save(run, 4)
        files.observe = None
        if isinstance(caught.value, DnnrunError) and steps[k - 1] != "fsync":
            assert caught.value.exit_code == code
        assert loaded(run, "last") in (3, 4)
        assert loaded(run, "best") in (3, 4)
        assert loaded(run, "best") <= loaded(run, "last")
        checkpoints.clean(run / "checkpoints")  # as the next run does
        save(run, 5)
        assert loaded(run, "last") == loaded(run, "best") == 5
        left = sorted(path.name for path in (run / "checkpoints").iterdir())
        assert not [name for name in left if name.startswith(files.TEMPORARY)]
        assert len(left) == 4  # the newest two, and the pointers


def test_a_disk_that_stays_full_is_one_error(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    at(1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), last=10**6)
    with pytest.raises(RunFailed, match=r"No space left on device \(ENOSPC\); free some space, then try again"):
        save(run, 4)
    files.observe = None
    assert loaded(run, "last") == 3


def crashing_run(k: int, tmp_path: Path, compiled: Path) -> Path:
    """A run that ends at its k-th operation, and is resumed."""
    runs = tmp_path / str(k)
    at(k, Crash())
    with pytest.raises(Crash):
        trained(small(*RICH), runs, compiled)
    files.observe = None
    try:
        return trained(small(*RICH), runs, compiled, resume=True).run
    except ResumeError:  # nothing was there yet
        return trained(small(*RICH), runs, compiled).run


def whole_run(tmp_path: Path, compiled: Path) -> tuple[Path, int]:
    """The same run without a crash, and how many operations it takes."""
    seen = at(0, Crash())
    run = trained(small(*RICH), tmp_path / "whole", compiled).run
    files.observe = None
    return run, len(seen)


def check_crash(k: int, whole: Path, tmp_path: Path, compiled: Path) -> None:
    run = crashing_run(k, tmp_path, compiled)
    assert outcome(run) == outcome(whole), f"crash at operation {k}"
    assert not list(run.rglob(f"{files.TEMPORARY}*"))
    assert sum(1 for path in run.parent.iterdir() if not path.is_symlink() and path.name[0] != ".") == 1


def test_a_run_that_ends_anywhere_comes_to_the_same_when_resumed(tmp_path: Path, compiled: Path) -> None:
    whole, count = whole_run(tmp_path, compiled)
    beginning = range(8, 20, 3)  # the run's folder appears, its checkpoints' folder, the pointer, the lock, meta.json
    rest = np.random.default_rng(0).choice(np.arange(20, count + 1), 4, replace=False)
    for k in (*beginning, *(int(k) for k in rest)):
        check_crash(k, whole, tmp_path, compiled)


def test_a_run_that_ends_before_its_first_checkpoint_begins_again(tmp_path: Path, compiled: Path) -> None:
    at_first_save = "train.checkpoint_every={steps: 1}"
    whole = trained(small(at_first_save), tmp_path / "whole", compiled)

    def observe(operation: str, path: Path) -> None:
        if path.parent.name == "checkpoints":
            raise Crash

    files.observe = observe
    with pytest.raises(Crash):
        trained(small(at_first_save), tmp_path / "runs", compiled)
    files.observe = None
    watcher = Collected()
    again = trained(small(at_first_save), tmp_path / "runs", compiled, resume=True, watcher=watcher)
    assert "no checkpoint yet: beginning again at step 0" in watcher.said
    assert outcome(again.run) == outcome(whole.run)


@pytest.mark.slow
def test_a_run_that_ends_at_every_operation(tmp_path: Path, compiled: Path) -> None:
    whole, count = whole_run(tmp_path, compiled)
    for k in range(1, count + 1):
        check_crash(k, whole, tmp_path, compiled)


def test_a_run_whose_disk_fails_says_so_and_resumes(tmp_path: Path, compiled: Path) -> None:
    whole, count = whole_run(tmp_path, compiled)
    for number, kind in {errno.ENOSPC: RunFailed, errno.EACCES: RunDirectoryError}.items():
        runs = tmp_path / str(number)
        at(count // 2, OSError(number, os.strerror(number)))
        with pytest.raises((kind, RunFailed)):
            trained(small(*RICH), runs, compiled)
        files.observe = None
        assert outcome(trained(small(*RICH), runs, compiled, resume=True).run) == outcome(whole)
