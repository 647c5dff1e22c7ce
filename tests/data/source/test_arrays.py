"""Sources of arrays: what they read, and what they refuse in which words."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.data.check import check
from dnnrun.data.room import Room
from dnnrun.data.source import Places, Raw, Source
from dnnrun.errors import DataError
from tests.data.idxfile import idx_bytes

X = np.arange(24, dtype=np.uint8).reshape(6, 4)
Y = np.array([3, 7, 3, 7, 3, 7])


def read(source: dict[str, Any], folder: Path, room: Room | None = None) -> Raw:
    raw = Source.parse(source).read(Places(folders=(folder,), room=room))
    check(raw)
    return raw


def npz(folder: Path, name: str = "rows.npz", **arrays: Any) -> dict[str, Any]:
    np.savez(folder / name, **arrays)
    return {"type": "npz", "path": name}


def test_bytes_stay_bytes_and_labels_become_numbers(tmp_path: Path) -> None:
    raw = read(npz(tmp_path, x=X, y=Y), tmp_path)
    np.testing.assert_array_equal(raw.train.features, X)
    assert (raw.train.features.dtype, raw.train.labels.dtype) == (np.uint8, np.int32)
    assert (raw.classes, raw.train.labels.tolist(), raw.image, raw.test) == (("3", "7"), [0, 1, 0, 1, 0, 1], None, None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["b", "a"], ("a", "b")),
        ([b"b", "ä".encode()], ("b", "ä")),
        ([10, 9], ("9", "10")),
        ([-1, 1], ("-1", "1")),
        ([2.0, 0.0], ("0", "2")),
        (np.array([2, 0], np.float16), ("0", "2")),
        ([True, False], ("0", "1")),
    ],
)
def test_labels_of_any_kind(labels: list[Any], classes: tuple[str, ...], tmp_path: Path) -> None:
    raw = read(npz(tmp_path, x=X[:2], y=np.array(labels)), tmp_path)
    assert raw.classes == classes
    assert [classes[number] for number in raw.train.labels] == [
        value.decode() if isinstance(value, bytes) else str(int(value)) if not isinstance(value, str) else value
        for value in labels
    ]


@pytest.mark.parametrize(
    ("labels", "task", "targets"),
    [
        (Y / 2, "regression", ("y",)),
        (Y[:, None] / 2, "regression", ("y",)),
        (np.stack([Y, Y * 2], 1), "regression", ("y_1", "y_2")),
        (X > 7, "multilabel", ("y_1", "y_2", "y_3", "y_4")),
        (np.array([[0, 0], [1, 1], [0, 1], [0, 0], [1, 1], [0, 1]]), "multilabel", ("y_1", "y_2")),
    ],
)
def test_labels_that_are_no_classes(labels: Any, task: str, targets: tuple[str, ...], tmp_path: Path) -> None:
    raw = read(npz(tmp_path, x=X, y=labels), tmp_path)
    assert (raw.task, raw.targets, raw.classes) == (task, targets, ())
    np.testing.assert_array_equal(raw.train.labels, np.asarray(labels, np.float32).reshape(6, -1))


def test_many_whole_numbers_are_quantities_of_a_float_and_classes_of_an_integer(tmp_path: Path) -> None:
    x, y = np.ones((42, 2)), np.arange(42)
    assert read(npz(tmp_path, x=x, y=y * 1.0), tmp_path).task == "regression"
    assert len(read(npz(tmp_path, x=x, y=y), tmp_path).classes) == 42


@pytest.mark.parametrize(
    ("array", "options", "image", "largest", "dtype"),
    [
        (X.reshape(6, 2, 2), {}, (2, 2, 1), 255.0, np.uint8),
        (X.reshape(6, 2, 1, 2), {}, (2, 1, 2), 255.0, np.uint8),
        (X, {"image": [2, 2, 1]}, (2, 2, 1), 255.0, np.uint8),
        (X.astype(np.int64), {"image": [2, 2, 1], "largest": 23.0}, (2, 2, 1), 23.0, np.uint8),
        (X.reshape(6, 2, 2) > 3, {}, (2, 2, 1), 1.0, np.uint8),
        ((X.reshape(6, 2, 2) > 3) * 1, {}, (2, 2, 1), 1.0, np.uint8),
        (X.reshape(6, 2, 2) / 23, {}, (2, 2, 1), 1.0, np.float32),
        (X.reshape(6, 2, 2) * 1.0, {}, (2, 2, 1), 255.0, np.float32),
        (X.reshape(6, 2, 2) * np.int64(1000), {}, (2, 2, 1), 65535.0, np.float32),
        (X.astype(np.float16), {}, None, 1.0, np.float32),
        (X > 3, {}, None, 1.0, np.uint8),
        (np.asfortranarray(X * 1.0), {}, None, 1.0, np.float32),
    ],
)
def test_shapes_and_types(array: Any, options: Any, image: Any, largest: float, dtype: Any, tmp_path: Path) -> None:
    raw = read({**npz(tmp_path, x=array, y=Y), **options}, tmp_path)
    assert (raw.image, raw.largest, raw.train.features.dtype) == (image, largest, dtype)
    np.testing.assert_allclose(raw.train.features, np.asarray(array, np.float64).reshape(6, 4), rtol=1e-6)


def test_test_rows_of_the_same_file_or_of_another(tmp_path: Path) -> None:
    same = {**npz(tmp_path, x=X, y=Y, a=X[:2] + 250, b=Y[:2]), "test_features": "a", "test_labels": "b"}
    assert read(same, tmp_path).test is not None
    npz(tmp_path, "more.npz", x=X[:3] * 1000.0, y=Y[:3])
    raw = read({**npz(tmp_path, x=X, y=Y), "test": "more.npz"}, tmp_path)
    assert raw.test is not None
    assert (raw.train.features.dtype, raw.test.features.dtype, len(raw.test.labels)) == (np.float32, np.float32, 3)


def test_validation_rows_of_their_own(tmp_path: Path) -> None:
    names = {"validation_features": "a", "validation_labels": "b"}
    raw = read({**npz(tmp_path, x=X, y=Y, a=X[:2] + 9, b=Y[:2]), **names}, tmp_path)
    assert (raw.validation, raw.train.features.tolist()) == (2, [*X.tolist(), *(X[:2] + 9).tolist()])
    for name in "xyab":
        np.save(tmp_path / f"{name}.npy", np.load(tmp_path / "rows.npz")[name])
    files = {"features": "x.npy", "labels": "y.npy", "validation_features": "a.npy", "validation_labels": "b.npy"}
    assert read({"type": "npy", **files}, tmp_path).fingerprint == raw.fingerprint


def test_several_files_are_one(tmp_path: Path) -> None:
    for number in (9, 10):
        npz(tmp_path, f"part-{number}.npz", x=X + number, y=Y)
    raw = read({"type": "npz", "path": "part-*.npz"}, tmp_path)
    np.testing.assert_array_equal(raw.train.features, np.concatenate([X + 9, X + 10]))
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    twice = {"type": "npy", "features": ["x.npy", "x.npy"], "labels": ["y.npy", "y.npy"]}
    assert len(read(twice, tmp_path).train.labels) == 12


def test_each_of_several_files_has_its_own_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all together being as many as the rows is not enough: they would be those of other rows."""
    monkeypatch.chdir(tmp_path)
    npz(tmp_path, "part-0.npz", x=X, y=Y[:5])
    npz(tmp_path, "part-1.npz", x=X[:5], y=Y)
    for name, array in (("x-0", X), ("x-1", X[:5]), ("y-0", Y[:5]), ("y-1", Y), ("y", np.concatenate([Y, Y[:5]]))):
        np.save(f"{name}.npy", array)
    wrong = {
        "part-0.npz: y: of shape 5; wanted 6 labels, one for each row of part-0.npz: x": {
            "type": "npz",
            "path": "part-*.npz",
        },
        "y-0.npy: of shape 5; wanted 6 labels, one for each row of x-0.npy": {
            "type": "npy",
            "features": "x-*.npy",
            "labels": "y-*.npy",
        },
        "y-0.npy and 2 more: 3 files of labels for 2 of features; wanted one for each, or one for all": {
            "type": "npy",
            "features": "x-*.npy",
            "labels": ["y-0.npy", "y-1.npy", "y-0.npy"],
        },
    }
    for message, source in wrong.items():
        with pytest.raises(DataError) as caught:
            read(source, tmp_path)
        assert str(caught.value) == message
    assert len(read({"type": "npy", "features": "x-*.npy", "labels": "y.npy"}, tmp_path).train.labels) == 11


def test_npy_and_idx_are_the_same_rows(tmp_path: Path) -> None:
    pictures = X.reshape(6, 2, 2)
    np.save(tmp_path / "x.npy", pictures)
    np.save(tmp_path / "y.npy", Y)
    (tmp_path / "x-idx").write_bytes(idx_bytes(pictures))
    (tmp_path / "y-idx.gz").write_bytes(gzip.compress(idx_bytes(Y.astype(np.uint8))))
    one = read({"type": "npy", "features": "x.npy", "labels": "y.npy"}, tmp_path)
    two = read({"type": "idx", "features": "x-idx", "labels": "y-idx.gz"}, tmp_path)
    assert one.fingerprint == two.fingerprint
    assert (one.image, one.classes) == (two.image, two.classes) == ((2, 2, 1), ("3", "7"))


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no labels": ({"x": X}, {}, "rows.npz: has no array 'y'; it has x"),
    "texts": ({"x": X.astype(str), "y": Y}, {}, "rows.npz: x: holds values of type <U3; save plain numbers with "),
    "complex": ({"x": X + 1j, "y": Y}, {}, "rows.npz: x: holds values of type complex128; save plain numbers with "),
    "dates": ({"x": X, "y": Y.astype("M8[D]")}, {}, "rows.npz: y: holds values of type datetime64[D]; save plain "),
    "one axis": ({"x": X[0], "y": Y}, {}, "rows.npz: x: of shape 4; wanted rows x features, one row an example"),
    "a number": ({"x": np.array(3), "y": Y}, {}, "rows.npz: x: of shape nothing; wanted rows x features, one row an"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, {}, "rows.npz: x: of shape 0 x 4, which is nothing; wanted one row or more"),
    "fewer labels": ({"x": X, "y": Y[:5]}, {}, "rows.npz: y: of shape 5; wanted 6 labels, one for each row of "),
    "one-hot": ({"x": X, "y": np.eye(6)}, {}, "rows.npz: y: one-hot, 6 x 6; wanted one label a row: y.argmax(1)"),
    "numbers with a hole": (
        {"x": X, "y": np.where(Y == 7, np.nan, Y / 2)},
        {},
        "rows.npz: y: row 2, column 1 holds nan, wanted a number; fill in or drop what is missing",
    ),
    "halves": (
        {"x": X, "y": Y, "a": X, "b": Y / 2},
        {"test_features": "a", "test_labels": "b"},
        "rows.npz: b: row 1 is 1.5; wanted one of the classes to train on, which are whole numbers",
    ),
    "more targets": (
        {"x": X, "y": X / 2, "a": X, "b": X[:, :3] / 2},
        {"test_features": "a", "test_labels": "b"},
        "rows.npz: b: 3 targets a row, and rows.npz: y has 4",
    ),
    "texts for numbers": (
        {"x": X, "y": Y / 2, "a": X, "b": Y.astype(str)},
        {"test_features": "a", "test_labels": "b"},
        "rows.npz: b: texts, and rows.npz: y holds numbers",
    ),
    "several texts": (
        {"x": X, "y": X.astype(str)},
        {},
        "rows.npz: y: of shape 6 x 4; wanted 6 labels, one for each row of rows.npz: x",
    ),
    "a hole": (
        {"x": X, "y": np.where(Y == 7, np.nan, Y)},
        {},
        "rows.npz: y: row 2 has no label (nan); drop such rows",
    ),
    "no text": (
        {"x": X, "y": np.where(Y == 7, "", "a")},
        {},
        "rows.npz: y: row 2 has no label (''); drop such rows",
    ),
    "nan": (
        {"x": np.where(X == 9, np.nan, X), "y": Y},
        {},
        "rows.npz: x: row 3, column 2 holds nan, wanted a number; fill in or drop what is missing",
    ),
    "too large": (
        {"x": np.where(X == 9, 1e300, X), "y": Y},
        {},
        "rows.npz: x: row 3, column 2 holds 1e+300; it is more than float32 can hold, in which the network computes: "
        "scale the column",
    ),
    "one class": ({"x": X, "y": Y * 0}, {}, "the data has 1 class, wanted two or more; give it rows of other classes"),
    "channels first": (
        {"x": np.zeros((6, 3, 8, 8)), "y": Y},
        {},
        "rows.npz: x: of shape 6 x 3 x 8 x 8, with the channels before height and width; "
        "wanted rows x height x width x channels: x.transpose(0, 2, 3, 1)",
    ),
    "five axes": (
        {"x": np.zeros((6, 2, 2, 2, 2)), "y": Y},
        {},
        "rows.npz: x: of shape 6 x 2 x 2 x 2 x 2; wanted rows x features, or rows x height x width x channels",
    ),
    "another image": (
        {"x": X, "y": Y},
        {"image": [3, 2, 1]},
        "rows.npz: x: rows of 4 values, and image 3 x 2 x 1 has 6; correct `image`",
    ),
    "another width": (
        {"x": X, "y": Y, "a": X[:, :3], "b": Y},
        {"test_features": "a", "test_labels": "b"},
        "rows.npz: a: rows of 3 values, and rows.npz: x has rows of 4",
    ),
    "a new class": (
        {"x": X, "y": Y, "a": X, "b": Y + (Y == 7)},
        {"test_features": "a", "test_labels": "b"},
        "rows.npz: b: row 2 is of class 8, which no training row is of; rows like it: 3; drop them, or train on some",
    ),
    "texts and numbers": (
        {"x": X, "y": Y, "a": X, "b": Y.astype(str)},
        {"test_features": "a", "test_labels": "b"},
        "rows.npz: b: texts, and rows.npz: y holds int64",
    ),
    "not UTF-8": (
        {"x": X, "y": np.array([b"\xff"] * 6)},
        {},
        "rows.npz: y: texts that are not UTF-8; wanted UTF-8, or numbers",
    ),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", BAD)
def test_bad_arrays(name: str, streamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, options, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        read({**npz(tmp_path, **arrays), **options}, tmp_path, Room(tmp_path / "rows") if streamed else None)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


class Trap:
    """Removes the canary when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.remove, (str(self.canary),)


def headed(text: str) -> bytes:
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def header(shape: str, descr: str = "<f4") -> bytes:
    return headed(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")


def pickled(canary: Path) -> bytes:
    return header("(1,)", "|O") + pickle.dumps(Trap(canary))


def zipped(path: Path, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", header("(2,)", "<i4") + bytes(8))


MALICIOUS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "pickle": (
        pickled,
        "holds pickled objects, which could run code; save plain numbers with numpy.save or numpy.savez",
    ),
    "10 GB": (
        lambda _: header("(25, 100000000)"),
        "declares 10,000,000,000 bytes of values (25x100000000) and the file",
    ),
    "negative": (lambda _: header("(-5, 2)"), "declares the shape [-5, 2]; the file is damaged"),
    "nested": (lambda _: header("(" * 60 + "1" + ",)" * 60), "not a NumPy array ("),
    "cut in its header": (lambda _: headed("{'descr': '<f4', 'shape': (6, 4"), "not a NumPy array ("),
    "an open text": (lambda _: headed("'''"), "not a NumPy array ("),
    "keys of two kinds": (lambda _: headed("{1: 2, 'a': 3}"), "not a NumPy array ("),
    "half a type": (
        lambda _: headed("{'descr': ('<f4',), 'fortran_order': False, 'shape': (6, 4)}"),
        "not a NumPy array (",
    ),
    "true rows": (lambda _: header("(True, 4)") + bytes(16), "declares the shape [True, 4]; the file is damaged"),
    "no end of nothing": (lambda _: header(f"({10**30}, 0)"), f"declares the shape [{10**30}, 0]; the file is damaged"),
    "80 axes": (lambda _: header(f"({'1,' * 80})") + bytes(4), "declares the shape [1, 1, 1, "),
    "no array": (lambda _: b"GIF89a", "not a NumPy array ("),
    "empty": (lambda _: b"", "not a NumPy array ("),
}


@pytest.mark.parametrize("name", MALICIOUS)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("streamed", [False, True])
def test_malicious_files(name: str, suffix: str, streamed: bool, tmp_path: Path) -> None:
    make, message = MALICIOUS[name]
    canary = tmp_path / "canary"
    canary.write_text("alive")
    path = tmp_path / f"x.{suffix}"
    if suffix == "npy":
        path.write_bytes(make(canary))
    else:
        zipped(path, make(canary))
    np.save(tmp_path / "y.npy", Y)
    source = {"npy": {"type": "npy", "features": str(path), "labels": str(tmp_path / "y.npy")}}
    room = Room(tmp_path / "rows") if streamed else None
    with pytest.raises(DataError) as caught:
        read(source.get(suffix, {"type": "npz", "path": str(path)}), tmp_path, room)
    where = f"{path}: " + "x: " * (suffix == "npz")
    assert str(caught.value).startswith(where + message)
    assert canary.exists()


def test_a_zip_bomb_is_refused_by_its_claims(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    zipped(path, header("(250000,)") + bytes(1_000_000), zipfile.ZIP_DEFLATED)
    packed = bytearray(path.read_bytes())
    at = packed.index(b"PK\x01\x02")
    packed[at + 24 : at + 28] = struct.pack("<I", 2_000_000_000)  # what the directory says of the unpacked size
    path.write_bytes(packed)
    with pytest.raises(
        DataError, match=r"x.npz: x: declares 2,000,000,000 bytes, more than its [\d,]+ packed ones can"
    ):
        read({"type": "npz", "path": str(path)}, tmp_path)


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    np.save(tmp_path / "x.npy", X.astype(np.int64))
    np.save(tmp_path / "y.npy", Y)
    free = psutil.virtual_memory()._replace(available=100)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(
        DataError, match=r"x.npy: its 192 bytes of values are more than the 100 of memory that are free"
    ):
        read({"type": "npy", "features": "x.npy", "labels": "y.npy"}, tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("other.npz", x=X)
    np.save("x.npy", X)
    wrong = {
        "rows.npz: not found (. has other.npz); correct the path": {"type": "npz", "path": "rows.npz"},
        "*.foo: no file fits this pattern; correct it": {"type": "npz", "path": "*.foo"},
        "y.npy: not found (. has x.npy); correct the path": {"type": "npy", "features": "x.npy", "labels": "y.npy"},
        "x.npy: not a whole .npz file (File is not a zip file); save it again": {"type": "npz", "path": "x.npy"},
        ".: this is a folder, wanted a file; name its files, as ./*": {"type": "npz", "path": "."},
    }
    for message, source in wrong.items():
        with pytest.raises(DataError) as caught:
            Source.parse(source).read(Places())
        assert str(caught.value) == message
