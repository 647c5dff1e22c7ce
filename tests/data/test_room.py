"""Rows on disk: each at its place, whatever order they come in; nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dnnrun.data import room as module
from dnnrun.data.room import InMemory, OnDisk, Room, release
from dnnrun.errors import DataError


@pytest.mark.parametrize("bucket", [40, 100, 1 << 20])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_rows_are_at_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: int, dtype: type) -> None:
    monkeypatch.setattr(module, "BUCKET", bucket)
    rng = np.random.default_rng(0)
    rows, places = rng.integers(0, 255, (203, 3)).astype(dtype), rng.permutation(203)
    room = Room(tmp_path)
    for out in (InMemory(203, 3, dtype), OnDisk(room, 203, 3, dtype)):
        for start in range(0, 203, 50):
            out.put(places[start : start + 50], rows[start : start + 50])
        found = out.done()
        assert found.dtype == dtype
        np.testing.assert_array_equal(found[places], rows)
        release(found)
        np.testing.assert_array_equal(found[places], rows)
    assert list(room.folder.iterdir()) == []


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.file().write_bytes(b"rows")
    del room
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from dnnrun.data.room import Room; room = Room(Path(sys.argv[1])); "
    )
    subprocess.run([sys.executable, "-c", code + "os._exit(9)", str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    other = tmp_path / f"elsewhere-{left.name.split('-')[-2]}-x"
    mine = tmp_path / f"{socket.gethostname()}-{os.getpid()}-y"
    for folder in (other, mine):
        folder.mkdir()
    room = Room(tmp_path)
    assert set(tmp_path.iterdir()) == {room.folder, other, mine}


def test_too_little_room(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r": the rows take 8,589,934,592.0 MiB on disk, and .* are free; name another folder"
    ):
        OnDisk(Room(tmp_path), 1 << 40, 1 << 10, np.float32)


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="rows cannot be kept there"):
        Room(tmp_path / "file" / "rows")
