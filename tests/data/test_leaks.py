"""Rows of arrays and images to validate or test on that are training rows too are counted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnnrun.data import stacked
from dnnrun.data.room import Room
from dnnrun.data.select import Selection, select
from dnnrun.data.source import Places, Source

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (90, 11)).astype(np.uint8)
Y = np.arange(90) % 3
TOO_GOOD = "training rows too, the same in every value: what is measured on them is too good"


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stacked, "CELLS", 100)


def warned(source: dict[str, Any], streamed: bool, **options: Any) -> tuple[str, ...]:
    room = Room(Path("rows")) if streamed else None
    raw = Source.parse(source).read(Places(room=room))
    return select(raw, Selection.model_validate({"validation": 0, **options}), 0, room=room).warnings


def arrays(x: np.ndarray, y: np.ndarray, *splits: str) -> dict[str, Any]:
    """Training rows 10 to 89, and rows 0 to 29 for each split: 20 of them are training rows."""
    named = {f"{split}_{what}": values[:30] for split in splits for what, values in (("features", x), ("labels", y))}
    np.savez("a.npz", **{"x": x[10:], "y": y[10:], **named})  # pyright: ignore[reportArgumentType]
    return {"type": "npz", "path": "a.npz", **{name: name for name in named}}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("labels", [Y, Y / 2 + 0.25, np.stack([Y > 0, Y < 2], 1)])
@pytest.mark.parametrize("features", [BYTES, (BYTES / 7).astype(np.float32), np.asfortranarray(BYTES * 1.5)])
def test_arrays_of_their_own(features: np.ndarray, labels: np.ndarray, streamed: bool) -> None:
    told = (f"20 of 30 validation rows are {TOO_GOOD}", f"20 of 30 test rows are {TOO_GOOD}")
    assert warned(arrays(features, labels, "validation", "test"), streamed) == told
    assert warned(arrays(features, labels, "test"), streamed) == told[1:]
    assert warned(arrays(features, labels), streamed, validation=0.2) == ()


def test_the_chosen_rows_count() -> None:
    source = arrays(BYTES, Y, "test")
    assert warned(source, False, limit=5) == (f"5 of 30 test rows are {TOO_GOOD}",)
    assert warned(source, False, classes=[0, 1], limit=5) == (f"5 of 20 test rows are {TOO_GOOD}",)


def test_the_label_is_part_of_a_row_and_minus_zero_is_zero() -> None:
    x = np.zeros((4, 3), np.float32)
    x[0, 0], x[1:, 0] = -0.0, (1, 2, 3)
    held = np.array([[0, 0, 0], [1, 0, 0]], np.float32)
    source = {"type": "npz", "path": "a.npz", "test_features": "a", "test_labels": "b"}
    np.savez("a.npz", x=x, y=[0, 1, 0, 1], a=held, b=[0, 0])
    assert warned(source, False) == (f"1 of 2 test rows are {TOO_GOOD}",)


def test_rows_that_differ_in_a_bit_are_others() -> None:
    x = np.zeros((600, 19), np.uint8)
    x[np.arange(1, 152), np.arange(151) // 8] = 1 << (np.arange(151) % 8)  # one bit each
    x[152:] = RNG.integers(0, 2, (448, 19))
    np.savez("a.npz", x=x[::2], y=np.arange(300) % 2, a=x[1::2], b=np.arange(300) % 2)
    assert warned({"type": "npz", "path": "a.npz", "test_features": "a", "test_labels": "b"}, False) == ()


@pytest.mark.parametrize("streamed", [False, True])
def test_folders_of_images(streamed: bool) -> None:
    for split, name, number in (("train", "a", 0), ("train", "b", 1), ("test", "a", 2), ("test", "b", 3)):
        Path(split_folder := f"images/{split}/{name}").mkdir(parents=True)
        for picture in range(4):
            Image.fromarray(BYTES[number * 4 + picture].reshape(11, 1)).save(f"{split_folder}/{picture}.png")
    source = {"type": "images", "path": "images"}
    assert warned(source, streamed) == ()
    shutil.copy("images/train/a/3.png", "images/test/a/again.png")
    assert warned(source, streamed) == (f"1 of 9 test rows are {TOO_GOOD}",)
