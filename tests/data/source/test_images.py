"""Folders of images: what their pixels become, and what is refused under which path."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnnrun.assemble import read_data
from dnnrun.data.check import check
from dnnrun.data.select import Selection, select
from dnnrun.data.source import Places, Raw, Source
from dnnrun.errors import DataError
from dnnrun.spec.load import load_mapping

RNG = np.random.default_rng(0)


def save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def read(path: Path, **options: Any) -> Raw:
    raw = Source.parse({"type": "images", "path": str(path), **options}).read(Places())
    check(raw)
    return raw


def grey(side: tuple[int, int] = (5, 4)) -> np.ndarray:
    return RNG.integers(0, 255, side, np.uint8)


def test_pixels_and_classes(tmp_path: Path) -> None:
    pictures = {(name, number): grey() for name in ("cat", "ape") for number in (2, 10)}
    for (name, number), pixels in pictures.items():
        save(tmp_path / name / f"{number}.png", pixels)
    (tmp_path / "cat" / ".DS_Store").touch()
    (tmp_path / "Thumbs.db").touch()
    raw = read(tmp_path)
    assert (raw.classes, raw.image, raw.largest) == (("ape", "cat"), (5, 4, 1), 255)
    assert raw.train.labels.tolist() == [0, 1, 0, 1]  # mixed, and 2 before 10
    wanted = [pictures[name, number].ravel() for number in (2, 10) for name in ("ape", "cat")]
    np.testing.assert_array_equal(raw.train.features, wanted)
    assert read(tmp_path).fingerprint == raw.fingerprint
    colours = read(tmp_path, mode="rgb")
    assert colours.image == (5, 4, 3)
    np.testing.assert_array_equal(colours.train.features[:, ::3], raw.train.features)


def test_colours_stay_unless_grey_is_wanted(tmp_path: Path) -> None:
    colours = RNG.integers(0, 255, (5, 4, 3), np.uint8)
    save(tmp_path / "a" / "1.png", colours)
    save(tmp_path / "b" / "1.bmp", grey())
    raw = read(tmp_path)
    np.testing.assert_array_equal(raw.train.features[0], colours.ravel())
    luma = colours @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read(tmp_path, mode="grey").train.features[0], luma.ravel(), atol=1)


def test_sizes_are_brought_to_one(tmp_path: Path) -> None:
    flat = np.full((8, 6), 77, np.uint8)
    save(tmp_path / "a" / "1.png", flat)
    save(tmp_path / "b" / "1.png", flat[:4, :4])
    raw = read(tmp_path, size=[2, 3])
    assert raw.image == (2, 3, 1)
    assert (raw.train.features == 77).all()


def test_a_size_that_no_memory_holds(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"size: 100,000 x 100,000 pixels, wanted at most 89,478,485 in all; take less"
    ):
        Source.parse({"type": "images", "path": str(tmp_path), "size": [100_000, 100_000]})


def test_splits_are_folders(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for name in "ab":
            for number in range(count):
                save(tmp_path / split / name / f"{number}.png", grey())
    raw = read(tmp_path)
    assert raw.test is not None
    assert (len(raw.train.labels), raw.validation, len(raw.test.labels)) == (10, 4, 2)
    found = select(raw, Selection(), seed=0)
    assert dict(found.splits) == {"train": (0, 6), "validation": (6, 10), "test": (10, 12)}
    np.testing.assert_array_equal(found.features[:10], raw.train.features)
    source = {"type": "images", "path": str(tmp_path)}
    spec = load_mapping({"data": {"source": source, "validation": 3}, "model": {"hidden": [2]}})
    assert read_data(spec, Places()).notes == (
        "4 validation rows of the source's own; data.validation (3) takes none from training",
    )
    with pytest.raises(
        DataError, match=r"data.fold: the source has validation rows of its own; leave them or the fold"
    ):
        select(raw, Selection.model_validate({"fold": {"of": 2, "number": 1}}), seed=0)


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = [10, 10, 10, 255]
    save(tmp_path / "a" / "1.png", pixels)
    save(tmp_path / "b" / "1.png", np.full((2, 2, 4), 255, np.uint8))  # opaque, whatever its mode
    with pytest.raises(DataError, match=r"a/1.png: has transparent pixels, wanted opaque ones; say what shows through"):
        read(tmp_path)
    for background, value in (("white", 255), ("black", 0)):
        raw = read(tmp_path, background=background, mode="grey")
        assert raw.train.features[0].tolist() == [10, 10, value, value]


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn by a quarter
    save(tmp_path / "a" / "1.jpg", pixels, exif=exif)
    save(tmp_path / "b" / "1.jpg", np.ascontiguousarray(pixels.transpose(1, 0, 2)))
    raw = read(tmp_path)
    assert raw.image == (16, 8, 3)
    np.testing.assert_allclose(raw.train.features[0], raw.train.features[1], atol=8)


def huge(width: int, height: int) -> bytes:
    """A PNG of some bytes that claims so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def animated(path: Path) -> None:
    frames = [Image.fromarray(grey()) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def deep(path: Path) -> None:
    Image.fromarray(np.full((5, 4), 60_000, np.uint16)).save(path)


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "not an image": (
        "a/2.png",
        lambda p: p.write_text("hello"),
        ": not an image that can be read; wanted PNG, JPEG, BMP",
    ),
    "postscript": ("a/2.png", lambda p: p.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"), ": not an image that can be read"),
    "cut off": ("a/2.png", lambda p: p.write_bytes((p.parent / "1.png").read_bytes()[:60]), ": cannot be read as an "),
    "empty": ("a/2.png", lambda p: p.touch(), ": not an image that can be read; wanted PNG, JPEG, BMP"),
    "another size": ("a/2.png", lambda p: save(p, grey((6, 4))), ": 6 x 4 pixels, and {root}/a/1.png has 5 x 4; give "),
    "colour": (
        "b/2.png",
        lambda p: save(p, np.zeros((5, 4, 3), np.uint8)),
        ": in colour, and the first image is grey; say `mode: grey` or `mode: rgb`",
    ),
    "a bomb": (
        "a/2.png",
        lambda p: p.write_bytes(huge(10_000, 10_000)),
        ": 10,000 x 10,000 pixels, wanted at most 89,",
    ),
    "a larger bomb": (
        "a/2.png",
        lambda p: p.write_bytes(huge(50_000, 50_000)),
        ": more than 178,956,970 pixels, wanted at",
    ),
    "animated": ("a/2.gif", animated, ": 3 pictures in one file, wanted one; save each in a file of its own"),
    "16 bits": ("a/2.png", deep, ": pixels of more than 8 bits (I;16), wanted 8; convert it"),
    "a pipe": ("a/2.png", os.mkfifo, ": no plain file; wanted an image"),
    "another kind": (
        "a/notes.txt",
        lambda p: p.touch(),
        ": no image by its name; wanted .png, .jpg, .jpeg, .bmp, .gif",
    ),
    "a folder in a class": ("a/more", lambda p: p.mkdir(), ": a folder inside that of a class; wanted images alone"),
    "a file beside the classes": (
        "1.png",
        lambda p: save(p, grey()),
        ": a file beside the folders of the classes; move",
    ),
    "an empty class": ("c", lambda p: p.mkdir(), ": no image in it; remove the folder, or fill it"),
    "a folder beside train": ("train", lambda p: p.mkdir(), None),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", BAD)
def test_bad_folders(name: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        save(tmp_path / folder / "1.png", grey())
    where, make, message = BAD[name]
    make(tmp_path / where)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    if message is None:
        where, message = (
            "a",
            ": stands beside {root}/train; wanted only train, validation and test there, or one folder",
        )
    assert str(caught.value).startswith(f"{tmp_path / where}{message.format(root=tmp_path)}")
    assert "\n" not in str(caught.value)


def splits(root: Path, **pixels: np.ndarray) -> Path:
    for split, shown in pixels.items():
        for name in "ab":
            save(root / split / name / "1.png", shown)
    return root


def test_the_first_training_image_decides_for_all_splits(tmp_path: Path) -> None:
    colours = RNG.integers(0, 255, (5, 4, 3), np.uint8)
    raw = read(splits(tmp_path / "one", train=colours, val=grey(), test=grey()))
    assert raw.test is not None
    assert (raw.image, raw.test.features.shape) == ((5, 4, 3), (2, 60))
    first = tmp_path / "two" / "train" / "a" / "1.png"
    for pixels, message in (
        (colours, ": in colour, and the first image is grey; say `mode: grey` or `mode: rgb`"),
        (
            grey((6, 4)),
            f": 6 x 4 pixels, and {first} has 5 x 4; give the height and width that all are brought to, as "
            "`size: [5, 4]`",
        ),
    ):
        with pytest.raises(DataError) as caught:
            read(splits(tmp_path / "two", train=grey(), test=pixels))
        assert str(caught.value) == f"{tmp_path}/two/test/a/1.png{message}"


def test_a_file_beside_the_folders_of_the_splits(tmp_path: Path) -> None:
    splits(tmp_path, train=grey(), test=grey())
    save(tmp_path / "1.png", grey())
    with pytest.raises(DataError, match=r"1.png: stands beside .*/train; wanted only train, validation and test"):
        read(tmp_path)


def test_a_class_of_the_test_folder_alone(tmp_path: Path) -> None:
    for path in ("train/a", "train/b", "test/a", "test/c"):
        save(tmp_path / path / "1.png", grey())
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/test: row 2 is of class c, which no training row is of; rows like it: 1; "
        "drop them, or train on some"
    )


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value) == f"{tmp_path}: nothing in it; wanted a folder a class, with images"
