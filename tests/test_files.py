"""The seam to the disk: a crash or a failing disk at any operation leaves the old state or the new one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dnnrun import files
from dnnrun.errors import RunDirectoryError, RunFailed


class Crash(BaseException):
    """The end of the process, as far as the code under test can tell."""


class At:
    """A hook that raises at the k-th operation, and afterwards does not interfere."""

    def __init__(self, k: int, error: BaseException):
        self.k, self.error, self.seen = k, error, []

    def __call__(self, operation: str, path: Path) -> None:
        self.seen.append((operation, path))
        if len(self.seen) == self.k:
            raise self.error


@pytest.fixture(autouse=True)
def no_hook() -> Iterator[None]:
    files.observe = None
    yield
    files.observe = None


FOLDER = {"a": b"first", "b": b"second" * 1000}


def folder_state(root: Path) -> object:
    target = root / "target"
    return {p.name: p.read_bytes() for p in sorted(target.iterdir())} if target.is_dir() else None


def file_state(root: Path) -> object:
    return (root / "file").read_bytes()


def link_state(root: Path) -> object:
    return os.readlink(root / "link")


def old_file(root: Path) -> None:
    (root / "file").write_bytes(b"old")


def old_link(root: Path) -> None:
    (root / "link").symlink_to("one")


Step = Callable[[Path], object]
CASES: dict[str, tuple[Step, Step, Step, object, object]] = {  # prepare, act, look; what was, what is to be
    "publish_folder": (
        lambda root: None,
        lambda root: files.publish_folder(root / "target", FOLDER),
        folder_state,
        None,
        FOLDER,
    ),
    "write_atomic": (
        old_file,
        lambda root: files.write_atomic(root / "file", [b"ne", b"w"]),
        file_state,
        b"old",
        b"new",
    ),
    "write_once": (
        lambda root: None,
        lambda root: files.write_once(root / "file", [b"ne", b"w"]),
        lambda root: file_state(root) if (root / "file").exists() else None,
        None,
        b"new",
    ),
    "point": (old_link, lambda root: files.point(root / "link", "two"), link_state, "one", "two"),
}


def operations(name: str, root: Path) -> list[str]:
    prepare, act, *_ = CASES[name]
    prepare(root)
    hook = At(0, Crash())
    files.observe = hook
    act(root)
    files.observe = None
    return [operation for operation, _ in hook.seen]


def test_the_order_of_operations(tmp_path: Path) -> None:
    wanted = {
        "publish_folder": ["mkdir", *["open", "write", "fsync"] * 2, "fsync", "rename", "fsync"],
        "write_atomic": ["open", "write", "write", "fsync", "rename", "fsync"],
        "write_once": ["open", "write", "write", "fsync", "link", "unlink", "fsync"],
        "point": ["symlink", "rename", "fsync"],
    }
    for name in CASES:
        (tmp_path / name).mkdir()
        assert operations(name, tmp_path / name) == wanted[name]


@pytest.mark.parametrize("name", CASES)
def test_a_crash_at_any_operation_leaves_old_or_new(name: str, tmp_path: Path) -> None:
    (tmp_path / "count").mkdir()
    steps = operations(name, tmp_path / "count")
    prepare, act, state, old, new = CASES[name]
    for k in range(1, len(steps) + 1):
        root = tmp_path / str(k)
        root.mkdir()
        prepare(root)
        files.observe = At(k, Crash())
        with pytest.raises(Crash):
            act(root)
        files.observe = None
        assert state(root) == (new if {"rename", "link"} & set(steps[: k - 1]) else old)
        left = [p for p in root.iterdir() if p.name.startswith(files.TEMPORARY)]
        assert files.remove_temporaries(root) == left
        if state(root) == old:  # the next attempt is not in the way of the last one
            act(root)
        assert state(root) == new
        assert not [p for p in root.iterdir() if p.name.startswith(files.TEMPORARY)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("number", "kind", "code", "advice"),
    [
        (errno.ENOSPC, RunFailed, 1, "No space left on device (ENOSPC); free some space, then try again"),
        (
            errno.EIO,
            RunFailed,
            1,
            "Input/output error (EIO); the disk or its connection failed: check it before you go on",
        ),
        (
            errno.EACCES,
            RunDirectoryError,
            2,
            "Permission denied (EACCES); change its permissions or choose another folder",
        ),
        (
            errno.EROFS,
            RunDirectoryError,
            2,
            "Read-only file system (EROFS); choose a folder on a file system that can be written",
        ),
    ],
)
def test_a_failure_at_any_operation_is_typed_and_leaves_nothing_behind(
    name: str, number: int, kind: type[Exception], code: int, advice: str, tmp_path: Path
) -> None:
    (tmp_path / "count").mkdir()
    steps = operations(name, tmp_path / "count")
    prepare, act, state, old, new = CASES[name]
    for k, step in enumerate(steps, start=1):
        root = tmp_path / str(k)
        root.mkdir()
        prepare(root)
        cause = OSError(number, os.strerror(number))
        files.observe = At(k, cause)
        with pytest.raises(RunFailed if step == "fsync" else kind) as caught:
            act(root)
        files.observe = None
        assert str(root) in str(caught.value)
        assert caught.value.__cause__ is cause
        assert files.TEMPORARY not in str(caught.value)
        if step != "fsync":
            assert str(caught.value).endswith(advice)
            assert caught.value.exit_code == code  # pyright: ignore[reportAttributeAccessIssue]
        assert state(root) == (new if {"rename", "link"} & set(steps[: k - 1]) else old)
        assert not [p for p in root.iterdir() if p.name.startswith(files.TEMPORARY)]


def test_real_refusals_have_exact_messages(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    below, new, missing = tmp_path / "file" / "below", tmp_path / "file", tmp_path / "no" / "file"
    table = [
        (
            lambda: files.make_folder(below),
            f"cannot create {below}: Not a directory (ENOTDIR); a part of this path is a file: choose another path",
        ),
        (
            lambda: files.write_new(new, b""),
            f"cannot write {new}: File exists (EEXIST); remove it or choose another name",
        ),
        (
            lambda: files.publish_folder(new, {}),
            f"cannot write {new}: File exists (EEXIST); remove it or choose another name",
        ),
        (
            lambda: files.make_folder(new, exist_ok=True),
            f"cannot create {new}: File exists (EEXIST); remove it or choose another name",
        ),
        (
            lambda: files.write_atomic(missing, b""),
            f"cannot open {missing}: No such file or directory (ENOENT); create the folder first or correct the path",
        ),
        (
            lambda: files.point(tmp_path / "folder", "x"),
            f"cannot rename {tmp_path / 'folder'}: Is a directory (EISDIR); "
            "a folder is in the way: remove it or choose another path",
        ),
        (
            lambda: files.unlink(missing),
            f"cannot remove {missing}: No such file or directory (ENOENT); create the folder first or correct the path",
        ),
    ]
    for act, message in table:
        with pytest.raises(RunDirectoryError) as caught:
            act()
        assert str(caught.value) == message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert new.read_bytes() == b"x"


def test_what_the_data_raises_is_not_the_disk(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError("the network")

    for write in (files.write_atomic, files.write_new, files.write_once):
        with pytest.raises(ConnectionResetError):
            write(tmp_path / "x", broken())
        assert list(tmp_path.iterdir()) == []


def test_a_file_written_once_is_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def slowly() -> Iterator[bytes]:
        assert files.write_once(path, b"first")
        yield b"second"

    assert not files.write_once(path, slowly())
    assert not files.write_once(path, b"third")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_append_and_truncate(tmp_path: Path) -> None:
    path = tmp_path / "events"
    files.append(path, b"one\n")
    files.append(path, [b"two", b"\n"], sync=True)
    assert path.read_bytes() == b"one\ntwo\n"
    files.observe = At(3, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(RunFailed):
        files.append(path, [b"thr", b"ee\n"])
    assert path.read_bytes() == b"one\ntwo\n"
    files.truncate(path, 4)
    assert path.read_bytes() == b"one\n"


def test_folders(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b", exist_ok=True)
    files.write_new(tmp_path / "a" / "b" / "file", memoryview(b"x"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_bytes(b"")
    files.point(tmp_path / "a" / "link", tmp_path / "outside")
    files.rename(tmp_path / "a", tmp_path / "c")
    seen: list[str] = []
    files.observe = lambda operation, path: seen.append(f"{operation} {path.name}")
    files.remove_tree(tmp_path / "c")
    files.remove_tree(tmp_path / "c", missing_ok=True)
    assert seen == ["unlink file", "rmdir b", "unlink link", "rmdir c"]
    assert (tmp_path / "outside" / "kept").exists()
    with pytest.raises(ValueError, match="without a folder"):
        files.publish_folder(tmp_path / "d", {"../x": b""})


HOLD = """
import sys, time
from dnnrun import files
lock = files.lock(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunDirectoryError) as caught:
            files.lock(path)
        wanted = f"{tmp_path} is in use by process {process.pid}; wait until it ends, or stop it"
        assert str(caught.value) == wanted
    finally:
        process.kill()
        process.wait()
    with files.lock(path) as held:
        assert files.holder(path) == os.getpid()
        with pytest.raises(RunDirectoryError, match=rf"process {os.getpid()} \(this one\)"):
            files.lock(path)
    held.release()
    files.lock(path).release()


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    script = f"""
import os, time
from dnnrun import files
lock = files.lock({str(tmp_path / "lock")!r})
if os.fork() == 0:
    print(os.getpid(), flush=True)
    os.close(1)
    time.sleep(60)
    os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    child = int(done.stdout)
    try:
        time.sleep(0.05)
        files.lock(tmp_path / "lock").release()
    finally:
        os.kill(child, 9)
