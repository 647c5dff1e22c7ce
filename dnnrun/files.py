"""The one seam through which anything is written to disk.

Every elementary operation is announced to `observe` before it happens, so that a test can end the process, or fail the
disk, at any point. What the system refuses becomes a typed error that names the path: RunDirectoryError where another
path or other permissions help, RunFailed where the disk itself is at fault. POSIX only (flock, directory fsync).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from dnnrun.errors import DnnrunError, RunDirectoryError, RunFailed

Result = TypeVar("Result")
StrPath = str | os.PathLike[str]
Data = bytes | bytearray | memoryview | Iterable[bytes | bytearray | memoryview]

TEMPORARY = ".tmp-"  # how the name of anything unfinished begins

# Called as observe(operation, path) before each open, write, fsync, rename, link, unlink, rmdir, mkdir, symlink,
# truncate.
observe: Callable[[str, Path], None] | None = None

_DISK = {
    errno.ENOSPC: "free some space, then try again",
    errno.EDQUOT: "your quota is used up: free some space, then try again",
    errno.EFBIG: "the file system takes no larger files: write to another one",
    errno.EIO: "the disk or its connection failed: check it before you go on",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine: close some programs",
}
_PATH = {
    errno.EACCES: "change its permissions or choose another folder",
    errno.EPERM: "change its permissions or choose another folder",
    errno.EROFS: "choose a folder on a file system that can be written",
    errno.ENOTDIR: "a part of this path is a file: choose another path",
    errno.EISDIR: "a folder is in the way: remove it or choose another path",
    errno.EEXIST: "remove it or choose another name",
    errno.ENOTEMPTY: "remove it or choose another name",
    errno.ENOENT: "create the folder first or correct the path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its symbolic links run in a circle: remove them or choose another path",
    errno.ENOLCK: "this file system has no locks: choose a folder on another one",
    errno.ENOTSUP: "this file system cannot do that: choose a folder on another one",
}
_VERBS = {"mkdir": "create", "symlink": "link", "fsync": "flush to disk", "unlink": "remove", "rmdir": "remove"}


def _typed(operation: str, path: StrPath, error: OSError) -> DnnrunError:
    number = error.errno or 0
    name = errno.errorcode.get(number, "no errno")
    text = f"cannot {_VERBS.get(operation, operation)} {os.fspath(path)}: {error.strerror or error} ({name})"
    if number in _PATH and operation != "fsync":
        return RunDirectoryError(f"{text}; {_PATH[number]}")
    return RunFailed(f"{text}; {_DISK.get(number, 'see whether the disk works and the path is right')}")


def _do(operation: str, path: StrPath, shown: StrPath, call: Callable[..., Result], *arguments: Any) -> Result:
    """One elementary operation on `path`; an OSError becomes a typed error that names `shown`."""
    try:
        if observe is not None:
            observe(operation, Path(path))
        return call(*arguments)
    except OSError as error:
        raise _typed(operation, shown, error) from error


def _close(descriptor: int, shown: StrPath) -> None:
    try:
        os.close(descriptor)
    except OSError as error:
        raise _typed("write", shown, error) from error


def _write(descriptor: int, path: StrPath, shown: StrPath, data: Data) -> None:
    chunks = (data,) if isinstance(data, bytes | bytearray | memoryview) else data
    for chunk in chunks:  # an OSError of the iterable's own (a network's) is not the disk's, and passes unchanged
        view = memoryview(chunk).cast("B")
        while len(view):
            view = view[_do("write", path, shown, os.write, descriptor, view) :]


def _create(path: StrPath, shown: StrPath, data: Data) -> None:
    """Open a file that is not there yet, write, fsync."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = _do("open", path, shown, os.open, path, flags, 0o666)
    try:
        _write(descriptor, path, shown, data)
        _do("fsync", path, shown, os.fsync, descriptor)
    finally:
        _close(descriptor, shown)


def _fsync_folder(path: StrPath, shown: StrPath) -> None:
    def flush() -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that have no such thing
                raise
        finally:
            os.close(descriptor)

    _do("fsync", path, shown, flush)


def _beside(path: StrPath) -> Path:
    return Path(path).parent / f"{TEMPORARY}{os.urandom(8).hex()}"


def _discard(path: Path) -> None:
    """Remove what is unfinished after a failure; that this fails too must not hide the first failure."""
    with suppress(DnnrunError, OSError):
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        elif os.path.lexists(path):
            unlink(path)


def write_new(path: StrPath, data: Data) -> None:
    """Write a file that must not exist yet, and fsync it and its folder. After a failure it is gone again.

    `data` is bytes, or chunks of them. Raises RunDirectoryError or RunFailed; what an iterable raises passes unchanged.
    """
    if os.path.lexists(path):
        raise _typed("write", path, FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)))
    try:
        _create(path, path, data)
        _fsync_folder(Path(path).parent, path)
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error.__cause__, FileExistsError):  # another process was faster: the file is not ours
            _discard(Path(path))
        raise


def write_atomic(path: StrPath, data: Data) -> None:
    """Replace or create a file: its old content or its new one is there at any moment, never a mixture.

    `data` is bytes, or chunks of them. Raises RunDirectoryError or RunFailed; what an iterable raises passes unchanged.
    """
    temporary = _beside(path)
    try:
        _create(temporary, path, data)
        _do("rename", path, path, os.replace, temporary, path)
    except (Exception, KeyboardInterrupt):
        _discard(temporary)
        raise
    _fsync_folder(Path(path).parent, path)


def write_once(path: StrPath, data: Data) -> bool:
    """Create a file, whole at any moment that it is there; False, and nothing done, where it is there already.

    Of processes that do so at the same time one wins. `data` is bytes, or chunks of them. Raises RunDirectoryError or
    RunFailed; what an iterable raises passes unchanged.
    """
    if os.path.lexists(path):
        return False
    temporary = _beside(path)
    try:
        _create(temporary, path, data)
        _do("link", path, path, os.link, temporary, path)
        _do("unlink", temporary, path, os.unlink, temporary)
    except (Exception, KeyboardInterrupt) as error:
        _discard(temporary)
        if isinstance(error.__cause__, FileExistsError):  # another process was faster
            return False
        raise
    _fsync_folder(Path(path).parent, path)
    return True


def append(path: StrPath, data: Data, *, sync: bool = False) -> None:
    """Add to the end of a file, created if absent; with `sync`, fsync it (and the folder of a new file).

    After a failed write the file is cut back to its former size, as far as the disk still lets us. Raises
    RunDirectoryError or RunFailed.
    """
    new = not os.path.lexists(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = _do("open", path, path, os.open, path, flags, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        try:
            _write(descriptor, path, path, data)
        except (Exception, KeyboardInterrupt):
            with suppress(DnnrunError):
                _do("truncate", path, path, os.ftruncate, descriptor, size)
            raise
        if sync:
            _do("fsync", path, path, os.fsync, descriptor)
    finally:
        _close(descriptor, path)
    if sync and new:
        _fsync_folder(Path(path).parent, path)


def truncate(path: StrPath, size: int) -> None:
    """Cut an existing file to `size` bytes and fsync it. Raises RunDirectoryError or RunFailed."""
    descriptor = _do("open", path, path, os.open, path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        _do("truncate", path, path, os.ftruncate, descriptor, size)
        _do("fsync", path, path, os.fsync, descriptor)
    finally:
        _close(descriptor, path)


def make_folder(path: StrPath, *, exist_ok: bool = False) -> None:
    """Create a folder and its parents, each fsynced into the one above.

    Raises RunDirectoryError where it exists already (unless `exist_ok`) or cannot be created, RunFailed else.
    """
    path = Path(path)
    if path.is_dir() and exist_ok:
        return
    if not os.path.lexists(path.parent):
        make_folder(path.parent, exist_ok=True)
    try:
        _do("mkdir", path, path, os.mkdir, path)
    except RunDirectoryError:
        if exist_ok and path.is_dir():  # another process was faster
            return
        raise
    _fsync_folder(path.parent, path)


def rename(source: StrPath, target: StrPath) -> None:
    """Move within one file system and fsync both parents. A file replaces a file; a folder only an empty folder.

    Raises RunDirectoryError or RunFailed.
    """
    folder = os.path.isdir(source) and not os.path.islink(source)
    _do("rename", target, target, os.rename if folder else os.replace, source, target)
    _fsync_folder(Path(target).parent, target)
    if Path(source).parent != Path(target).parent:
        _fsync_folder(Path(source).parent, source)


def point(link: StrPath, target: StrPath) -> None:
    """Let the symbolic link `link` point to `target` (kept as written: relative to the link's folder), atomically.

    Raises RunDirectoryError where something other than a file or a link is in the way, RunFailed for a failing disk.
    """
    temporary = _beside(link)
    try:
        _do("symlink", temporary, link, os.symlink, target, temporary)
        _do("rename", link, link, os.replace, temporary, link)
    except (Exception, KeyboardInterrupt):
        _discard(temporary)
        raise
    _fsync_folder(Path(link).parent, link)


def unlink(path: StrPath, *, missing_ok: bool = False) -> None:
    """Remove a file or a link. Raises RunDirectoryError or RunFailed."""
    if missing_ok and not os.path.lexists(path):
        return
    _do("unlink", path, path, os.unlink, path)


def remove_tree(path: StrPath, *, missing_ok: bool = False) -> None:
    """Remove a folder and all in it; links are removed, never followed. Raises RunDirectoryError or RunFailed."""
    if missing_ok and not os.path.lexists(path):
        return
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise _typed("rmdir", path, error) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            unlink(entry.path)
    _do("rmdir", path, path, os.rmdir, path)


def remove_temporaries(folder: StrPath, older_than: float = 0.0) -> list[Path]:
    """Remove what killed writers left in `folder`, and return it. Only for who holds the folder's lock.

    Without a lock, `older_than` seconds spare what another process is writing.
    """
    found = sorted(Path(folder).glob(f"{TEMPORARY}*"))
    if older_than:
        found = [path for path in found if os.path.lexists(path) and time.time() - path.lstat().st_mtime > older_than]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            unlink(path)
    return found


def publish_folder(target: StrPath, files: Mapping[str, Data]) -> None:
    """Write a folder of files that appears whole or not at all, and is durable when this returns.

    A temporary folder beside the target is filled, its files and itself fsynced, then renamed, then the parent fsynced.
    `files` maps plain names to contents. Raises RunDirectoryError where the target exists or cannot be written,
    RunFailed for a failing disk; ValueError for a name that is a path.
    """
    for name in files:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"a file name without a folder was wanted, not {name!r}")
    if os.path.lexists(target):
        raise _typed("write", target, FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)))
    temporary = _beside(target)
    try:
        _do("mkdir", temporary, target, os.mkdir, temporary)
        for name, data in files.items():
            _create(temporary / name, Path(target) / name, data)
        _fsync_folder(temporary, target)
        _do("rename", target, target, os.rename, temporary, target)
    except (Exception, KeyboardInterrupt):
        _discard(temporary)
        raise
    _fsync_folder(Path(target).parent, target)


class Lock:
    """An exclusive lock, held until `release`, the end of a `with`, or the death of the process.

    The file stays when the lock goes: removing it would let two processes hold locks on two files of one name.
    """

    def __init__(self, path: StrPath, descriptor: int):
        self.path = Path(path)
        self._descriptor: int | None = descriptor
        _held.add(self)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        _held.discard(self)
        if descriptor is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _forget(self) -> None:
        """In a forked child: close the copy without unlocking, so that a child that lives on holds nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_all() -> None:
    for held in list(_held):
        held._forget()
    _held.clear()


os.register_at_fork(after_in_child=_forget_all)


def holder(path: StrPath) -> int | None:
    """The PID that a lock file names: its holder while it is locked, else its last one. None if it names none."""
    try:
        return int(Path(path).read_text("ascii"))
    except (OSError, ValueError):
        return None


def lock(path: StrPath, *, wait: bool = False) -> Lock:
    """Take the lock at `path`, or raise RunDirectoryError at once, naming the process that holds it.

    With `wait`, wait until that process lets go instead.
    """
    descriptor = _do("open", path, path, os.open, path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RunDirectoryError(f"cannot lock {os.fspath(path)}: it is no plain file; remove it")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = holder(path)
            for _ in range(20):  # the other process may have the lock and not yet have written its PID
                if pid is not None:
                    break
                time.sleep(0.01)
                pid = holder(path)
            who = f"process {pid}" if pid is not None else "another process"
            who += " (this one)" if pid == os.getpid() else ""
            folder = Path(path).absolute().parent
            raise RunDirectoryError(f"{folder} is in use by {who}; wait until it ends, or stop it") from error
        except OSError as error:
            raise _typed("lock", path, error) from error
        _do("truncate", path, path, os.ftruncate, descriptor, 0)
        _do("write", path, path, os.pwrite, descriptor, b"%d\n" % os.getpid(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(path, descriptor)


def sync(path: StrPath) -> None:
    """Fsync a file that was appended to, so that what is written after this never outlives it."""
    descriptor = _do("open", path, path, os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _do("fsync", path, path, os.fsync, descriptor)
    finally:
        _close(descriptor, path)
