"""Archives, member by member: regular files only, inside the folder, of bounded size. Nothing else is unpacked."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from dnnrun import files
from dnnrun.errors import ZooError
from dnnrun.interop.readers.damage import DAMAGED

CHUNK = 1 << 20
MEMBERS = 1000
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


def is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path, largest: int) -> Path:
    """Unpack into the empty `folder`; returns it, or the one folder that everything is in.

    Raises ZooError for a member that is a link, a device or outside, too many or too large ones, or a damaged archive.
    """
    left = largest

    def write(name: str, file: IO[bytes]) -> None:
        nonlocal left

        def chunks() -> Iterator[bytes]:
            nonlocal left
            while chunk := file.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ZooError(f"{archive.name}: unpacks to more than {largest:,} bytes; not taken")
                yield chunk

        target = folder / _inside(archive, name)
        files.make_folder(target.parent, exist_ok=True)
        if target.exists():
            raise ZooError(f"{archive.name}: has {name} twice; not taken")
        files.write_new(target, chunks())

    try:
        (_zip if zipfile.is_zipfile(archive) else _tar)(archive, write, largest)
    except DAMAGED as error:
        raise ZooError(f"{archive.name}: not a whole archive ({error}); fetch it again") from None
    inner = list(folder.iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else folder


def _tar(archive: Path, write: Callable[[str, IO[bytes]], None], largest: int) -> None:
    with tarfile.open(archive) as whole:
        look, members = _Look(archive, largest), []
        for member in whole:
            look.at(member.name, member.size, member.isdir() or member.isreg())
            members += [] if member.isdir() else [member]
        for member in members:
            content = whole.extractfile(member)
            assert content is not None
            write(member.name, content)


def _zip(archive: Path, write: Callable[[str, IO[bytes]], None], largest: int) -> None:
    with zipfile.ZipFile(archive) as whole:
        look, members = _Look(archive, largest), []
        for member in whole.infolist():
            kind = member.external_attr >> 28  # of a Unix mode: 8 a regular file, 4 a folder, 0 not said, 10 a link
            look.at(member.filename, member.file_size, kind in (0, 4, 8))
            members += [] if member.is_dir() else [member]
        for member in members:
            with whole.open(member) as content:
                write(member.filename, content)


class _Look:
    """Looks at every member before the first one is unpacked. Raises ZooError."""

    def __init__(self, archive: Path, largest: int):
        self.archive, self.largest, self.left, self.count = archive, largest, largest, 0

    def at(self, name: str, size: int, plain: bool) -> None:
        self.count += 1
        self.left -= size
        if self.count > MEMBERS:
            raise ZooError(f"{self.archive.name}: more than {MEMBERS:,} members; not taken")
        _inside(self.archive, name)
        if not plain:
            raise ZooError(f"{self.archive.name}: {name} is a link or a device, wanted plain files; not taken")
        if self.left < 0:
            raise ZooError(f"{self.archive.name}: unpacks to more than {self.largest:,} bytes; not taken")


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise ZooError(f"{archive.name}: {name!r} lies outside of its folder; not taken")
    return path
