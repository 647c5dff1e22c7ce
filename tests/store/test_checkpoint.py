"""Checkpoints: complete or an error, the newest two and the best kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun import __version__
from dnnrun.errors import CheckpointError
from dnnrun.store import checkpoint as checkpoints

MODEL = {"outputs/kernel": np.ones((2, 3), np.float32)}
TRAIN = {"state/step": np.asarray(np.int32(1))}
SAID: dict[str, Any] = {"layers": ["outputs"], "spec": {}, "features": 2, "classes": ["a"], "preprocessing": {}}


def save(folder: Path, step: int, train: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    return checkpoints.save(folder, step, MODEL, TRAIN if train is None else (train or None), SAID)


def test_a_checkpoint_is_three_files_and_reads_back(tmp_path: Path) -> None:
    there = save(tmp_path / "c", 5500)
    assert there.name == "step-00005500"
    assert sorted(path.name for path in there.iterdir()) == ["manifest.json", "model.safetensors", "train.safetensors"]
    found = checkpoints.open_checkpoint(there)
    assert found.step == 5500
    assert found.resumable
    np.testing.assert_array_equal(found.model()["outputs/kernel"], MODEL["outputs/kernel"])
    np.testing.assert_array_equal(found.train()["state/step"], TRAIN["state/step"])
    assert found.manifest["format"] == 1
    assert found.manifest["dnnrun"] == __version__


def test_weights_alone_do_not_resume(tmp_path: Path) -> None:
    found = checkpoints.open_checkpoint(save(tmp_path / "c", 1, train={}))
    assert not found.resumable
    with pytest.raises(CheckpointError, match="holds the weights alone; resume from `last`, or transfer from it"):
        found.train()


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a", 1), save(tmp_path / "b", 2)
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()


def test_a_second_save_of_a_step_stands_beside_the_first(tmp_path: Path) -> None:
    names = [save(tmp_path / "c", 3).name for _ in range(3)]
    assert names == ["step-00000003", "step-00000003-2", "step-00000003-3"]
    assert [path.name for path in checkpoints.saved(tmp_path / "c")] == names


def test_the_newest_two_and_those_pointed_at_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    saved = [save(folder, step) for step in (1, 2, 3, 4)]
    weights = save(folder, 5, train={})
    assert checkpoints.pointed(folder, "best") is None
    checkpoints.point(folder, "best", saved[0])
    checkpoints.point(folder, "last", saved[3])
    (folder / ".tmp-1").mkdir()
    (folder / ".tmp-1" / "model.safetensors").write_bytes(b"unfinished")
    (folder / ".tmp-2").symlink_to("nowhere")
    checkpoints.clean(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "best", "last", "step-00000001", "step-00000003", "step-00000004",
    ]  # fmt: skip
    assert not weights.exists()
    assert checkpoints.pointed(folder, "best") == saved[0]
    checkpoints.clean(tmp_path / "none")


def test_a_pointer_to_nothing_points_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "last").symlink_to("step-00000009")
    assert checkpoints.pointed(tmp_path, "last") is None


def test_every_bad_manifest_has_its_message(tmp_path: Path) -> None:
    there = save(tmp_path / "c", 1)
    path = there / "manifest.json"
    good = json.loads(path.read_text())
    without = {key: value for key, value in good.items() if key not in ("spec", "step")}
    used = "the checkpoint is damaged, use another one"

    def resealed(**said: Any) -> str:
        return json.dumps(checkpoints.sealed({**good, **said}))

    table: list[tuple[str | bytes, str]] = [
        (
            json.dumps({**good, "format": 2, "dnnrun": "9.0"}),
            f"{path}: format 2, written by dnnrun 9.0; this dnnrun {__version__} reads formats up to 1; "
            "install a newer dnnrun",
        ),
        (json.dumps({"a": 1}), f"{path}: not a dnnrun manifest (no format number)"),
        (json.dumps({**good, "format": True}), f"{path}: not a dnnrun manifest (no format number)"),
        ("[1]", f"{path}: not a dnnrun manifest (no format number)"),
        (json.dumps(without), f"{path}: lacks spec, step; {used}"),
        (resealed(features="784"), f"{path}: has an unusable features; {used}"),
        (resealed(spec=None, classes=3), f"{path}: has an unusable spec, classes; {used}"),
        (resealed(image=[28, 28]), f"{path}: has an unusable image; {used}"),
        (resealed(tensors={"model.safetensors": [3]}), f"{path}: has an unusable model.safetensors; {used}"),
        (
            resealed(tensors={"model.safetensors": {"w": {"sha256": ""}}}),
            f"{path}: has an unusable model.safetensors w; {used}",
        ),
        ("[" * 100_000, f"{path}: cannot be read (maximum recursion depth exceeded"),
        (json.dumps({**good, "tensors": {}}), f"{path}: does not describe model.safetensors; {used}"),
        ("{", f"{path}: cannot be read (Expecting property name"),
        (b"\xff\xfe", f"{path}: cannot be read ('utf-8' codec"),
        ("", f"{path}: cannot be read (Expecting value"),
    ]
    for content, message in table:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(CheckpointError) as caught:
            checkpoints.open_checkpoint(there)
        assert str(caught.value).startswith(message)
    path.unlink()
    with pytest.raises(CheckpointError) as caught:
        checkpoints.open_checkpoint(there)
    assert str(caught.value) == f"{there}: no checkpoint here (no manifest.json)"
