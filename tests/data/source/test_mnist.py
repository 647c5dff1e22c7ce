"""MNIST and Fashion-MNIST: the published files, wherever they lie; other ones are refused."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from dnnrun.data.source import Places, Raw, Source, mnist
from dnnrun.errors import DataError, DownloadError
from tests.data.idxfile import idx_bytes
from tests.data.server import Server

REAL = os.environ.get("DNNRUN_DATA_DIR")
real = pytest.mark.skipif(REAL is None, reason="DNNRUN_DATA_DIR names no folder with mnist/ and fashion-mnist/")

RNG = np.random.default_rng(0)
ARRAYS = {
    "train-images-idx3-ubyte": RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte": np.arange(20, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": RNG.integers(0, 256, (10, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte": np.arange(10, dtype=np.uint8),
}
SMALL = {name: idx_bytes(array) for name, array in ARRAYS.items()}
CLOTHES = {name: idx_bytes(array[::-1].copy()) for name, array in ARRAYS.items()}


def digests(files: dict[str, bytes]) -> tuple[str, ...]:
    return tuple(hashlib.sha256(content).hexdigest() for content in files.values())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Pretends that SMALL and CLOTHES are what was published, so that no test needs the real files."""
    if "real" in request.node.name:
        return
    monkeypatch.setattr(mnist, "NAMES", {name: len(content) for name, content in SMALL.items()})
    monkeypatch.setattr(mnist.Mnist, "published", digests(SMALL))
    monkeypatch.setattr(mnist.FashionMnist, "published", digests(CLOTHES))
    monkeypatch.setenv("DNNRUN_MIRROR", "http://127.0.0.1:9")  # nothing answers there


def put(folder: Path, files: dict[str, bytes], *, packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content, 1) if packed else content)


def read(source: str, cache: Path, *folders: Path) -> Raw:
    return Source.parse(source).read(Places(folders, cache))


def same(raw: Raw, files: dict[str, bytes]) -> bool:
    assert raw.test is not None
    assert raw.train.labels.dtype == raw.test.labels.dtype == np.int32
    found = [raw.train.features, raw.train.labels, raw.test.features, raw.test.labels]
    return all(
        content.endswith(array.astype(np.uint8).tobytes()) and array.size
        for array, content in zip(found, files.values(), strict=True)
    )


@pytest.mark.parametrize(
    ("source", "files", "subfolder"),
    [
        ("mnist", SMALL, "mnist"),
        ("mnist", SMALL, ""),
        ("fashion_mnist", CLOTHES, "fashion-mnist"),
        ("fashion_mnist", CLOTHES, "fashion_mnist"),
        ("fashion_mnist", CLOTHES, ""),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_found_in_a_folder(source: str, files: dict[str, bytes], subfolder: str, packed: bool, tmp_path: Path) -> None:
    put(tmp_path / "second" / subfolder, files, packed=packed)
    raw = read(source, tmp_path / "cache", tmp_path / "first", tmp_path / "second")
    assert same(raw, files)
    assert raw.train.features.shape == (20, 784)
    assert raw.train.features.dtype == np.uint8
    assert (raw.image, raw.largest, len(raw.classes)) == ((28, 28, 1), 255, 10)
    assert not (tmp_path / "cache").exists()


def test_one_of_the_sets_does_not_pass_for_the_other(tmp_path: Path) -> None:
    put(tmp_path / "flat", CLOTHES)
    put(tmp_path / "second" / "mnist", SMALL)
    assert same(read("mnist", tmp_path / "cache", tmp_path / "flat", tmp_path / "second"), SMALL)
    assert same(read("fashion_mnist", tmp_path / "cache", tmp_path / "second", tmp_path / "flat"), CLOTHES)


def test_other_content_is_refused(tmp_path: Path) -> None:
    name = "train-labels-idx1-ubyte"
    own = idx_bytes(np.zeros(20, np.uint8))
    put(tmp_path / "mnist", {**SMALL, name: own})
    with pytest.raises(DataError) as caught:
        read("mnist", tmp_path / "cache", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'mnist' / name}.gz: not the published MNIST (sha256 of its content "
        f"{hashlib.sha256(own).hexdigest()}, wanted {hashlib.sha256(SMALL[name]).hexdigest()}); "
        "replace the file or move it away"
    )


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    put(tmp_path / "mnist", SMALL)
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=rf"{path}: its gzip data is cut off; replace the file with a whole copy"):
        read("mnist", tmp_path / "cache", tmp_path)


def test_downloaded_once_and_mended(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNRUN_MIRROR", server.url("/"))
    for name, content in CLOTHES.items():
        server.good[f"/fashion-mnist/{name}.gz"] = gzip.compress(content)
    cache = tmp_path / "cache"
    assert same(read("fashion_mnist", cache), CLOTHES)
    assert same(read("fashion_mnist", cache), CLOTHES)
    assert sorted(server.asked) == sorted(server.good)
    damaged = cache / "fashion-mnist" / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(b"")
    assert same(read("fashion_mnist", cache), CLOTHES)
    assert server.asked[4:] == ["/fashion-mnist/train-images-idx3-ubyte.gz"]


def test_not_to_be_had(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNRUN_MIRROR", server.url())
    with pytest.raises(DownloadError) as caught:
        read("mnist", tmp_path / "cache", tmp_path)
    assert str(caught.value) == (
        "train-images-idx3-ubyte.gz could not be downloaded:\n"
        f"  {server.url('/mnist/train-images-idx3-ubyte.gz')}: answered 404 Not Found\n"
        f"put the file into {tmp_path / 'cache' / 'mnist'} by hand, or name a folder that has it in DNNRUN_DATA_DIR, "
        "or another mirror in DNNRUN_MIRROR"
    )


WRONG = [
    ("train-labels-idx1-ubyte", np.full(20, 10, np.uint8), "MNIST: train labels go from 10 to 10, wanted 0 to 9"),
    ("t10k-labels-idx1-ubyte", np.zeros(9, np.uint8), "MNIST: 10 test images and 9 labels; wanted as many"),
    (
        "train-images-idx3-ubyte",
        np.zeros((20, 14, 56), np.uint8),
        "MNIST: its train images are 14 x 56 uint8, wanted 28 x 28 uint8",
    ),
]


@pytest.mark.parametrize(("name", "array", "message"), WRONG)
def test_what_does_not_fit(
    name: str, array: np.ndarray, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**SMALL, name: idx_bytes(array)}
    monkeypatch.setattr(mnist.Mnist, "published", digests(files))
    put(tmp_path, files)
    with pytest.raises(DataError) as caught:
        read("mnist", tmp_path / "cache", tmp_path)
    assert str(caught.value) == message


@real
@pytest.mark.parametrize("source", ["mnist", "fashion_mnist"])
def test_the_real_files(source: str, tmp_path: Path) -> None:
    raw = read(source, tmp_path / "cache", Path(REAL or ""))
    assert raw.test is not None
    assert raw.train.features.shape == (60_000, 784)
    assert raw.test.features.shape == (10_000, 784)
    assert np.bincount(raw.test.labels).sum() == 10_000
    assert list(raw.train.labels[:5]) == {"mnist": [5, 0, 4, 1, 9], "fashion_mnist": [9, 0, 0, 3, 0]}[source]
    assert len(raw.fingerprint) == 64
