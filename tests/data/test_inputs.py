"""Rows for a trained network from arrays and images: which paths they are, their order, and what does not fit."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnnrun.data import inputs
from dnnrun.data.inputs import ArrayInputs, Expected, Inputs, open_inputs, takes
from dnnrun.data.inputs import whole as whole_dataset
from dnnrun.data.room import Room
from dnnrun.data.source import Source
from dnnrun.errors import DataError
from tests.data.idxfile import idx_bytes

IMAGES = np.arange(7 * 6, dtype=np.uint8).reshape(7, 2, 3)
ROWS = IMAGES.reshape(7, 6)
Y = np.arange(7) % 2
EXPECTED = Expected(6, (2, 3, 1), 255.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of the same seven images, and others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "ROWS", 3)
    monkeypatch.setattr(inputs, "PICTURES", 3)
    np.save("x.npy", IMAGES)
    np.save("float.npy", ROWS / 2)
    np.save("fortran.npy", np.asfortranarray(ROWS))
    np.save("y.npy", np.arange(7) % 2)
    np.save("short.npy", np.arange(6))
    np.save("one.npy", IMAGES[0])
    np.save("wide.npy", np.zeros((3, 7)))
    np.save("none.npy", IMAGES[:0])
    np.savez("x.npz", x=ROWS, y=np.arange(7) % 2)
    np.savez("named.npz", a=ROWS, b=ROWS + 1)
    Path("x-idx").write_bytes(idx_bytes(IMAGES))
    for number, pixels in enumerate(IMAGES):
        for place in (Path("flat"), Path("classes") / "ab"[number % 2]):
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number}.png")
    Path("large").mkdir()
    Image.fromarray(np.zeros((5, 5), np.uint8)).save("large/1.png")
    Path("empty").mkdir()
    Path("table.csv").write_text("a,b\n1,2\n")
    return tmp_path


def whole(found: Inputs) -> tuple[np.ndarray, list[Any]]:
    pieces = list(found.pieces())
    assert max(len(piece.features) for piece in pieces) <= 3
    assert sum(len(piece.ids) for piece in pieces) == found.count
    return np.concatenate([piece.features for piece in pieces]), [name for piece in pieces for name in piece.ids]


@pytest.mark.parametrize("name", ["x.npz", "packed.npz", "fortran.npz", "x-idx", "packed-idx", "float-idx"])
def test_in_a_room_rows_are_mapped_and_the_same(name: str, folder: Path) -> None:
    np.savez_compressed("packed.npz", x=ROWS)
    np.savez("fortran.npz", x=np.asfortranarray(ROWS))
    Path("packed-idx").write_bytes(gzip.compress(idx_bytes(IMAGES)))
    Path("float-idx").write_bytes(idx_bytes((ROWS / 2).astype(">f4")))
    plain = open_inputs(Path(name), EXPECTED)
    mapped = open_inputs(Path(name), EXPECTED, room=Room(folder / "rows"))
    assert isinstance(mapped, ArrayInputs)
    assert isinstance(mapped.rows, np.memmap)
    for one, other in zip(whole(plain), whole(mapped), strict=True):
        np.testing.assert_array_equal(one, other)


def test_which_paths_are_taken(folder: Path) -> None:
    taken = {path.name for path in folder.iterdir() if takes(path)}
    assert taken == {path.name for path in folder.iterdir()} - {"table.csv", "empty"}
    assert not takes(Path("absent.csv"))


@pytest.mark.parametrize("name", ["x.npy", "fortran.npy", "x.npz", "x-idx"])
def test_arrays(name: str, folder: Path) -> None:
    found = open_inputs(Path(name), EXPECTED)
    rows, ids = whole(found)
    np.testing.assert_array_equal(rows, ROWS)
    assert (ids, found.id_name) == ([1, 2, 3, 4, 5, 6, 7], "row")
    assert (found.labels is None) == (name != "x.npz")


def test_images_of_a_folder_and_of_folders_of_classes(folder: Path) -> None:
    rows, ids = whole(open_inputs(Path("flat"), EXPECTED))
    np.testing.assert_array_equal(rows, ROWS)
    assert ids == [f"{number}.png" for number in range(7)]
    found = open_inputs(Path("classes"), EXPECTED)
    rows, ids = whole(found)
    assert ids == ["a/0.png", "a/2.png", "a/4.png", "a/6.png", "b/1.png", "b/3.png", "b/5.png"]
    np.testing.assert_array_equal(rows, ROWS[[0, 2, 4, 6, 1, 3, 5]])
    assert found.labels is not None
    assert found.labels.tolist() == ["a"] * 4 + ["b"] * 3
    one, ids = whole(open_inputs(Path("flat/3.png"), EXPECTED))
    np.testing.assert_array_equal(one, ROWS[3:4])
    assert ids == ["3.png"]


def test_white_is_what_the_network_calls_it(folder: Path) -> None:
    rows, _ = whole(open_inputs(Path("flat"), Expected(6, (2, 3, 1), 1.0)))
    np.testing.assert_allclose(rows, ROWS / 255, rtol=1e-6)


def test_images_become_what_the_source_made_of_them(folder: Path) -> None:
    source = Source.parse({"type": "images", "path": "somewhere", "size": [2, 3]})
    rows, _ = whole(open_inputs(Path("large"), Expected(18, (2, 3, 3), 255.0, source)))
    assert rows.shape == (1, 18)


def test_labels_in_a_file_of_their_own(folder: Path) -> None:
    found = open_inputs(Path("x.npy"), EXPECTED, Path("y.npy"))
    assert found.labels is not None
    assert [piece.labels.tolist() for piece in found.pieces() if piece.labels is not None] == [
        [0, 1, 0],
        [1, 0, 1],
        [0],
    ]


BAD = {
    ("absent.npy", None): "absent.npy: not found; correct the path",
    ("wide.npy", None): "wide.npy: of shape 3 x 7; wanted rows x 6, or rows x 2 x 3 x 1",
    ("one.npy", None): "one.npy: of shape 2 x 3; wanted rows x 6, or rows x 2 x 3 x 1; a single image is x[None]",
    ("none.npy", None): "none.npy: of shape 0 x 2 x 3, no rows; wanted one or more",
    ("named.npz", None): "named.npz: has no array 'x'; it has a, b",
    ("x.npy", "short.npy"): "short.npy: labels of shape 6; wanted 7, one for each row",
    ("flat", "y.npy"): "y.npy: labels of images are the names of their folders; leave it out",
    ("empty", None): f"empty: no image in it; wanted {', '.join(inputs.SUFFIXES)}",
    ("flat/9.png", None): "flat/9.png: not found; correct the path",
    ("large", None): "large/1.png: 5 x 5 pixels, and the network takes 2 x 3; resize it",
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case[0])
def test_what_does_not_fit(case: tuple[str, str | None], folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        whole(open_inputs(Path(case[0]), EXPECTED, case[1] and Path(case[1])))  # type: ignore[arg-type]
    assert str(caught.value) == BAD[case]


def test_images_for_a_network_of_a_table(folder: Path) -> None:
    with pytest.raises(DataError, match="flat: images, and the network was trained on a table of 6 columns"):
        open_inputs(Path("flat"), Expected(6, None, 1.0))


def test_all_rows_with_their_labels(folder: Path) -> None:
    found = whole_dataset(open_inputs(Path("x.npz"), EXPECTED), EXPECTED, ("1", "0"), "classification")
    assert found.labels.tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert dict(found.splits) == {"train": (0, 7), "test": (0, 7)}
    np.testing.assert_array_equal(found.features, ROWS)
    numbers = open_inputs(Path("float.npy"), EXPECTED, Path("y.npy"))
    found = whole_dataset(numbers, EXPECTED, ("y",), "regression")
    assert (found.labels.shape, found.labels.dtype, found.features.dtype) == ((7, 1), np.float32, np.float32)


def test_labels_that_the_network_does_not_tell(folder: Path) -> None:
    wrong = {
        "flat: has no labels; name their file with --labels, or take an .npz file with labels, or a "
        "folder of images by class": (
            "flat",
            ("a", "b"),
        ),
        "classes: labels of b, which is no class of the network; it tells a, c": ("classes", ("a", "c")),
    }
    for message, (path, classes) in wrong.items():
        with pytest.raises(DataError) as caught:
            whole_dataset(open_inputs(Path(path), EXPECTED), EXPECTED, classes, "classification")
        assert str(caught.value) == message
    with pytest.raises(DataError, match=r"x.npz: 1 targets a row, and the network tells 2"):
        whole_dataset(open_inputs(Path("x.npz"), EXPECTED), EXPECTED, ("a", "b"), "regression")


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (np.eye(2)[Y], "classification", "labels of shape 7 x 2; wanted one label a row: y.argmax(1)"),
        (np.stack([Y, Y], 1), "classification", "labels of shape 7 x 2; wanted one label a row"),
        (np.zeros((7, 1, 2)), "classification", "labels of shape 7 x 1 x 2; wanted one label a row"),
        (Y + 0.5, "classification", "row 1 is 0.5; wanted one of the classes to train on, which are whole numbers"),
        (Y.astype(str), "regression", "texts, and the network tells numbers"),
        (np.where(Y, np.nan, 1), "regression", "row 2, column 1 holds nan, wanted a number; fill in or drop what is "),
        (np.stack([Y, Y * 2], 1), "multilabel", "row 2: 1 is 2; wanted 0 or 1"),
    ],
)
def test_labels_of_another_kind_than_the_task_has(labels: Any, task: Any, message: str, folder: Path) -> None:
    np.save("l.npy", labels)
    names = ("y",) if task == "regression" else ("0", "1")
    with pytest.raises(DataError) as caught:
        whole_dataset(open_inputs(Path("x.npy"), EXPECTED, Path("l.npy")), EXPECTED, names, task)
    assert str(caught.value).startswith(f"l.npy: {message}")
