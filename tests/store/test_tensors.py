"""Damage of any kind is an error that names the tensor, and what is not asked for is not read."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from dnnrun.errors import CheckpointError
from dnnrun.store import tensors

ARRAYS = {
    "hidden1/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "hidden1/bias": np.zeros(4, np.float32),
    "outputs/kernel": np.full((4, 2), 0.5, np.float32),
    "state/step": np.int32(7),
}
DESCRIBED = tensors.describe({name: np.asarray(value) for name, value in ARRAYS.items()})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    file.write_bytes(tensors.encode({name: np.asarray(value) for name, value in ARRAYS.items()}))
    return file


def regions(path: Path) -> dict[str, tuple[int, int]]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    offsets = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: (8 + length + start, 8 + length + stop) for name, (start, stop) in offsets.items()}


def test_what_is_written_is_read(path: Path) -> None:
    found = tensors.read(path, DESCRIBED)
    assert found.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_equal_tensors_are_equal_files_whatever_their_order_and_layout() -> None:
    turned = {name: np.require(ARRAYS[name], requirements="F") for name in reversed(ARRAYS)}
    assert tensors.encode(turned) == tensors.encode({name: np.asarray(value) for name, value in ARRAYS.items()})


def test_a_changed_byte_names_its_tensor_and_no_other(path: Path) -> None:
    whole = path.read_bytes()
    for name, (start, stop) in regions(path).items():
        for at in (start, (start + stop) // 2, stop - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(CheckpointError) as caught:
                tensors.read(path, DESCRIBED)
            assert str(caught.value) == (
                f"{path}: tensor {name} does not have the checksum of the manifest; "
                "the checkpoint is damaged, use another one"
            )
            others = ARRAYS.keys() - {name}
            assert tensors.read(path, DESCRIBED, others).keys() == others  # the damaged one is not read


def test_a_file_cut_short_anywhere_is_an_error(path: Path) -> None:
    whole = path.read_bytes()
    ends = regions(path)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="tensor") as caught:
            tensors.read(path, DESCRIBED)
        first = min((n for n in ends if ends[n][1] > size), key=lambda name: ends[name][1])
        if size >= min(start for start, _ in ends.values()):
            assert f"cut short within tensor {first} ({size} bytes, wanted {ends[first][1]} or more)" in str(
                caught.value
            )


def test_no_damage_to_the_header_passes_or_ends_in_a_traceback(path: Path) -> None:
    whole, start = path.read_bytes(), min(start for start, _ in regions(path).values())
    for at in range(start):
        for flip in (1, 2, 4, 32, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                found = tensors.read(path, DESCRIBED)
            except CheckpointError:
                continue
            assert all(np.array_equal(found[name], value) for name, value in ARRAYS.items())


def test_what_the_manifest_says_otherwise_is_an_error(path: Path) -> None:
    wrong_shape = {**DESCRIBED, "hidden1/bias": {**DESCRIBED["hidden1/bias"], "shape": [2, 2]}}
    wrong_dtype = {**DESCRIBED, "hidden1/bias": {**DESCRIBED["hidden1/bias"], "dtype": "float64"}}
    tail = "the checkpoint is damaged, use another one"
    table = [
        (wrong_shape, f"{path}: tensor hidden1/bias is float32[4], the manifest says float32[2, 2]; {tail}"),
        (wrong_dtype, f"{path}: tensor hidden1/bias is float32[4], the manifest says float64[4]; {tail}"),
        ({**DESCRIBED, "more": {}}, f"{path}: has no tensor more; wanted it as the manifest beside it says"),
    ]
    for described, message in table:
        with pytest.raises(CheckpointError) as caught:
            tensors.read(path, described)
        assert str(caught.value) == message
    with pytest.raises(CheckpointError, match="has no tensor hidden9/kernel"):
        tensors.read(path, DESCRIBED, ["hidden9/kernel"])


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not found; the checkpoint is incomplete"):
        tensors.read(tmp_path / "none", DESCRIBED)
    with pytest.raises(CheckpointError):
        tensors.read(tmp_path, DESCRIBED)
