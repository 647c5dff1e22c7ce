"""Arrays and images that are streamed: the rows of those that are read whole, and never all of them in memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnnrun.assemble import read_data
from dnnrun.data import idx, image, npy, room, stacked
from dnnrun.data.room import Room
from dnnrun.data.scale import fit
from dnnrun.data.source import Places, Source
from dnnrun.data.stacked import Stacked, pieces
from dnnrun.errors import DataError, Interrupted
from dnnrun.spec.load import load_mapping
from tests.data.idxfile import idx_bytes
from tests.smallruns import outcome, small, trained
from tests.test_resume import stop_after

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (40, 12)).astype(np.uint8)
Y = np.arange(40) % 3


@pytest.fixture(autouse=True)
def _small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module, name, value in (
        (stacked, "CELLS", 50), (npy, "CHUNK", 100), (idx, "CHUNK", 100), (image, "FILES", 5), (room, "BUCKET", 200),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


def npz(save: Callable[..., None] = np.savez, **arrays: Any) -> dict[str, Any]:
    save("a.npz", **{"x": X, "y": Y, **arrays})
    return {"type": "npz", "path": "a.npz"}


def own_splits(save: Callable[..., None]) -> dict[str, Any]:
    held = {"a": X[:9] * 2.5, "b": Y[:9]}
    names = {
        f"{split}_{what}": name
        for split in ("validation", "test")
        for what, name in (("features", "a"), ("labels", "b"))
    }
    return {**npz(save, **held), **names}


def parts(*arrays: np.ndarray) -> dict[str, Any]:
    for number, array in enumerate(arrays):
        np.savez(f"part-{number}.npz", x=array, y=Y)
        np.save(f"x-{number}.npy", array)
        np.save(f"y-{number}.npy", Y)
    return {"type": "npz", "path": "part-*.npz"}


def idx_files(array: np.ndarray, packed: bool) -> dict[str, Any]:
    for name, values in (("x", array), ("y", Y.astype(np.uint8))):
        Path(name).write_bytes(gzip.compress(idx_bytes(values)) if packed else idx_bytes(values))
    return {"type": "idx", "features": "x", "labels": "y"}


def pictures(channels: tuple[int, ...], *splits: str) -> dict[str, Any]:
    for split in splits or ("",):
        for name in "ab":
            folder = Path("images", split, name)
            folder.mkdir(parents=True)
            for number in range(13):
                Image.fromarray(RNG.integers(0, 256, (4, 3, *channels)).astype(np.uint8)).save(folder / f"{number}.png")
    return {"type": "images", "path": "images"}


SOURCES: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": npz,
    "packed": lambda: npz(np.savez_compressed),
    "larger": lambda: npz(x=np.tile(X, (30, 1)), y=np.tile(Y, 30)),
    "packed larger": lambda: npz(np.savez_compressed, x=RNG.random((800, 12)), y=np.tile(Y, 20)),
    "small whole numbers": lambda: npz(x=X.astype(np.int64)),
    "larger whole numbers": lambda: npz(np.savez_compressed, x=X.astype(np.int64) * 300),
    "truth": lambda: npz(x=X > 99),
    "float32": lambda: npz(x=(X / 7).astype(np.float32)),
    "float64": lambda: npz(np.savez_compressed, x=X / 7),
    "by columns": lambda: npz(x=np.asfortranarray(X / 7)),
    "packed by columns": lambda: npz(np.savez_compressed, x=np.asfortranarray(X / 7)),
    "images by columns": lambda: npz(np.savez_compressed, x=np.asfortranarray(X.reshape(40, 2, 2, 3))),
    "images of fractions": lambda: npz(x=X.reshape(40, 3, 4) / 255),
    "own splits": lambda: own_splits(np.savez),
    "packed own splits": lambda: own_splits(np.savez_compressed),
    "numbers to tell": lambda: npz(y=np.arange(40) / 3),
    "parts": lambda: parts(X, X // 2),
    "parts of other types": lambda: parts(X, X * np.int64(2**53 + 1), (X / 7).astype(np.float32)),
    "npy": lambda: {**parts(X / 3, X), "type": "npy", "features": "x-*.npy", "labels": "y-*.npy", "path": None},
    "idx": lambda: idx_files(X.reshape(40, 4, 3), False),
    "packed idx": lambda: idx_files(X.reshape(40, 4, 3), True),
    "idx of larger numbers": lambda: idx_files(X.astype(np.int16) * 100 - 30_000, False),
    "packed idx of fractions": lambda: idx_files(X / 7, True),
    "grey images": lambda: pictures(()),
    "images in colour": lambda: {**pictures((3,), "train", "val", "test"), "size": [5, 6]},
}  # fmt: skip


def data(source: dict[str, Any], stream: bool, **section: Any) -> Any:
    section = {"validation": 0.2, **section, **({"stream": 10} if stream else {})}
    source = {key: value for key, value in source.items() if value is not None}
    spec = load_mapping({"data": {"source": source, **section}, "model": {"hidden": [2]}})
    return read_data(spec, Places(cache=Path("cache")))


@pytest.mark.parametrize("name", SOURCES)
def test_streamed_rows_are_those_read_whole(name: str) -> None:
    source = SOURCES[name]()
    whole, streamed = data(source, False), data(source, True)
    assert isinstance(streamed.features, np.memmap)
    assert not isinstance(whole.features, np.memmap)
    assert (streamed.features.dtype, streamed.hash) == (whole.features.dtype, whole.hash)
    for name in ("features", "labels", "origin"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(whole, name))
    for name in ("splits", "classes", "image", "largest", "task", "targets", "fingerprint"):
        assert getattr(streamed, name) == getattr(whole, name), name
    assert fit("standardize", streamed) == fit("standardize", whole)
    assert not [path for path in Path("cache/rows").rglob("*") if path.is_file()]


def test_no_more_than_a_piece_is_read_at_a_time() -> None:
    places = Places(room=Room(Path("rows")))
    for name in ("bytes", "packed idx of fractions", "npy", "grey images"):
        features: Any = (
            Source.parse({k: v for k, v in SOURCES[name]().items() if v is not None}).read(places).train.features
        )
        assert isinstance(features, Stacked)
        found = [(first, rows) for first, rows in pieces(features)]
        assert [first for first, _ in found] == list(range(0, len(features), 50 // 12))
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in found]), features[:])


def spoiled(path: str, at: int) -> None:
    content = bytearray(Path(path).read_bytes())
    content[at] ^= 255
    Path(path).write_bytes(content)


def cut(path: str, to: int) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:to])


DAMAGE: dict[str, tuple[str, Callable[[], None], str]] = {
    "a value of a stored array": ("larger", lambda: spoiled("a.npz", 8000), "a.npz: not a whole .npz file (Bad CRC-32"),
    "a value of a packed array": ("packed larger", lambda: spoiled("a.npz", 8000), "a.npz: not a whole .npz file ("),
    "an end": ("npy", lambda: cut("x-0.npy", 1000), "x-0.npy: declares 3,840 bytes of values (40x12) and the file has"),
    "an IDX file's end": ("idx", lambda: cut("x", 300), "x: its header declares 40 x 4 x 3 uint8, 496 bytes in all"),
    "a packed IDX file's end": ("packed idx", lambda: cut("x", 300), "x: its gzip data is cut off; replace the file"),
    "an image": ("grey images", lambda: cut("images/b/12.png", 50), "images/b/12.png: cannot be read as an image"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_whether_streamed_or_not(name: str) -> None:
    kind, damage, message = DAMAGE[name]
    source = SOURCES[kind]()
    damage()
    for stream in (False, True):
        with pytest.raises(DataError) as caught:
            data(source, stream)
        assert str(caught.value).startswith(message)
    assert not [path for path in Path("cache/rows").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["packed", "packed idx", "grey images"])
def test_a_disk_that_is_too_small_is_told_before_it_is_full(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SOURCES[name]()
    usage = room.shutil.disk_usage(".")._replace(free=100)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"cache/rows: the rows take 0.0 MiB on disk, and 0.0 MiB are free; name"):
        data(source, True)


def test_a_disk_that_fills_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, mode: str) -> Any:
        raise OSError(28, "No space left on device")

    source = SOURCES["packed"]()
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", **more: (full if mode == "ab" else real)(path, mode, **more)
    )
    with pytest.raises(DataError, match=r"cache/rows: rows cannot be kept there \(No space left on device\); name"):
        data(source, True)


@pytest.mark.parametrize("stream", [False, True])
def test_images_that_take_their_time_tell_how_far_they_are(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    source, told = pictures((3,)), []
    places = Places(reading=lambda *what: told.append(what), room=Room(Path("rows")) if stream else None)
    Source.parse(source).read(places)
    assert told == [("images", 0, 26)]  # it took no second
    monkeypatch.setattr(image, "SOON", 0.0)
    Source.parse(source).read(places)
    assert told[1:] == [("images", done, 26) for done in range(27)]


@pytest.mark.parametrize("name", ["packed", "images in colour"])
def test_a_resumed_run_comes_to_the_same_bits(name: str, tmp_path: Path, compiled: Path) -> None:
    source = (
        {**SOURCES[name](), "path": str(tmp_path / SOURCES[name]()["path"])} if name == "packed" else SOURCES[name]()
    )
    spec = small(f"data.source={json.dumps(source)}", "data.limit=null", "data.stream=10", "train.batch_size=5")
    places = Places(cache=tmp_path / "cache")
    whole = trained(spec, tmp_path / "a", compiled, places=places)
    with pytest.raises(Interrupted):
        trained(spec, tmp_path / "b", compiled, places=places, stop=stop_after(2))
    resumed = trained(spec, tmp_path / "b", compiled, places=places, resume=True)
    assert outcome(resumed.run) == outcome(whole.run)


PEAK = """
import json, sys
from pathlib import Path
from dnnrun.assemble import read_data
from dnnrun.data.scale import fit
from dnnrun.data.source import Places
from dnnrun.spec.load import load_mapping

data = {"source": json.loads(sys.argv[1]), "stream": 1000}
dataset = read_data(load_mapping({"data": data, "model": {"hidden": [2]}}), Places(cache=Path("cache")))
fit("standardize", dataset)
told = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(told.split()[1]) / 1e3)
"""


def peak(source: dict[str, Any]) -> float:
    """What a process that reads it takes at most, in MB."""
    line = [sys.executable, "-c", PEAK, json.dumps(source)]
    return float(subprocess.run(line, capture_output=True, text=True, check=True).stdout)


counted = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")


@counted
@pytest.mark.parametrize("kind", ["stored", "packed", "idx"])
def test_memory_does_not_grow_with_the_rows(kind: str) -> None:
    peaks = []
    for rows in (10_000, 60_000):  # 31 and 188 MB as float32
        x, y = np.zeros((rows, 784), np.float32), np.arange(rows) % 10
        x[:, 0] = np.arange(rows)
        if kind == "idx":
            with gzip.open("x", "wb", 1) as file:
                file.write(idx_bytes(x))
            Path("y").write_bytes(idx_bytes(y.astype(np.uint8)))
            peaks.append(peak({"type": "idx", "features": "x", "labels": "y"}))
        else:
            (np.savez if kind == "stored" else np.savez_compressed)("a.npz", x=x, y=y)
            peaks.append(peak({"type": "npz", "path": "a.npz"}))
    assert peaks[1] - peaks[0] < 40, peaks


@counted
def test_memory_does_not_grow_with_the_images() -> None:
    peaks = []
    for count in (600, 4800):  # 37 and 294 MB of pixels
        for name in "ab":
            folder = Path(str(count), name)
            folder.mkdir(parents=True)
            Image.fromarray(np.zeros((175, 175, 2), np.uint8)[..., 0]).save(folder / "0.png")
            for number in range(1, count):
                (folder / f"{number}.png").hardlink_to(folder / "0.png")
        peaks.append(peak({"type": "images", "path": str(count)}))
    assert peaks[1] - peaks[0] < 60, peaks
