"""Streamed rows of two processes: prepared once where both see the disk, by each where not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

from dnnrun import prepared
from dnnrun.assemble import read_data
from dnnrun.data.dataset import Dataset
from dnnrun.data.source import Places
from dnnrun.prepared import reader
from dnnrun.spec.sections import Spec
from dnnrun.train.team import Team
from tests.smallruns import small


class Half(Team):
    """One of two threads that stand for processes."""

    def __init__(self, index: int, said: Queue[str], numbers: list[int], barrier: threading.Barrier):
        super().__init__()
        self.index, self.count = index, 2
        self.said, self.numbers, self.barrier = said, numbers, barrier

    def first(self, value: str) -> str:
        if self.lead:
            self.said.put(self.between(value))
        return value if self.lead else self.said.get(timeout=60)

    def highest(self, value: int) -> int:
        self.numbers.append(value)
        self.barrier.wait()
        return max(self.numbers)

    def between(self, value: str) -> str:
        """What process 0 says, as the other hears it."""
        return value


@pytest.fixture
def teams() -> list[Half]:
    shared: Any = (Queue(), [], threading.Barrier(2, timeout=60))
    return [Half(index, *shared) for index in (0, 1)]


def both(teams: list[Half], spec: Spec, folder: Path) -> list[Dataset]:
    """What the two read, each with a cache of its own."""
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(reader(team), spec, Places(cache=folder / str(team.index))) for team in teams]
        return [one.result(timeout=60) for one in asked]


def same(one: Dataset, other: Dataset) -> None:
    for name in ("features", "labels", "origin"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("hash", "splits", "classes", "image", "largest", "fingerprint", "task", "targets", "columns"):
        assert getattr(one, name) == getattr(other, name), name


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


SPECS = {
    "images": ("data.stream=50",),
    "a table": (
        "data.source={type: csv, path: PLACE/a.csv, target: t, weights: w}",
        "data.limit=null",
        "data.stream=20",
    ),
    "numbers": ("data.source=diabetes", "data.stream=50"),
}


@pytest.mark.parametrize("kind", SPECS)
def test_rows_are_prepared_once(kind: str, teams: list[Half], tmp_path: Path) -> None:
    lines = [f"{at % 90},{'ab'[at % 2]},{at % 3}.5,{'xy'[at % 5 // 3]}\n" for at in range(100)]
    (tmp_path / "a.csv").write_text("n,c,w,t\n" + "".join(lines))
    spec = small(*(option.replace("PLACE", str(tmp_path)) for option in SPECS[kind]))
    first, second = both(teams, spec, tmp_path)
    same(first, second)
    same(first, read_data(spec, Places(cache=tmp_path / "0")))
    assert isinstance(second.features, np.memmap)
    assert (first.weights is None) == (second.weights is None) == (kind != "a table")
    assert not (tmp_path / "1").exists()
    assert files(tmp_path / "0") == []  # mapped, and gone with the processes


def test_from_another_machine_the_files_are_there_to_the_end(
    teams: list[Half], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "_machine", lambda: threading.current_thread().name)
    same(*both(teams, small("data.stream=50"), tmp_path))
    assert {path.name for path in files(tmp_path)} >= {"features.npy", "labels.npy", "token"}
    (leave,) = teams[0].leavings
    leave()
    assert files(tmp_path) == []


def unseen(value: str) -> str:
    return value.replace("rows", "elsewhere")


def another_token(value: str) -> str:
    return value[:-2] + "x" + value[-2:]


@pytest.mark.parametrize("heard", [unseen, another_token])
def test_who_does_not_see_the_disk_prepares_rows_of_its_own(heard: Any, teams: list[Half], tmp_path: Path) -> None:
    teams[0].between = heard
    first, second = both(teams, small("data.stream=50"), tmp_path)
    same(first, second)
    assert (tmp_path / "1").exists()
    told = f"not every process sees {tmp_path / '0' / 'rows'}: who does not has prepared rows of its own"
    assert (first.notes, second.notes) == ((told,), ())


def test_rows_that_cannot_be_mapped_are_prepared_anew(
    teams: list[Half], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(folder: Path) -> Any:
        raise FileNotFoundError(folder)

    monkeypatch.setattr(prepared, "opened", gone)
    first, second = both(teams, small("data.stream=50"), tmp_path)
    same(first, second)
    assert len(first.notes) == 1


def test_rows_in_memory_are_read_by_each(teams: list[Half], tmp_path: Path) -> None:
    first, second = both(teams, small(), tmp_path)
    same(first, second)
    assert teams[0].numbers == []
