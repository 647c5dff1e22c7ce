"""What is restored is the source's, bit for bit; only what is needed is read, and it is verified."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dnnrun.assemble import assemble
from dnnrun.data.source import Places
from dnnrun.errors import CheckpointError, Interrupted, TransferError
from dnnrun.nn.network import initial_tensors
from dnnrun.spec.sections import Spec
from dnnrun.store.find import find_checkpoint
from dnnrun.store.tensors import read
from tests.smallruns import trained
from tests.transfer.sources import layers_equal, model_of, on


def first_tensors(spec: Spec) -> dict[str, np.ndarray]:
    return assemble(spec, Places(), None).first_tensors()


def damaged(rich: Path, tmp_path: Path, tensor: str, file: str = "model.safetensors") -> Path:
    """A copy of the run with one byte of a tensor changed."""
    run = tmp_path / "damaged"
    shutil.copytree(rich, run, symlinks=True)
    path = find_checkpoint(run).folder / file
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    content[8 + length + json.loads(content[8 : 8 + length])[tensor]["data_offsets"][0]] ^= 1
    path.write_bytes(content)
    return run


def test_restored_layers_are_the_source_and_new_ones_are_drawn(rich: Path) -> None:
    spec = on(rich, reuse="hidden[13]")
    first, source = first_tensors(spec), model_of(rich)
    assert layers_equal(first, source, "hidden1", "hidden3")
    drawn = initial_tensors(assemble(spec, Places(), None).architecture, spec.seed)
    assert layers_equal(first, drawn, "hidden2", "outputs")
    assert not layers_equal(drawn, source, "hidden1")


def test_renamed_layers_keep_their_values(rich: Path) -> None:
    spec = on(rich, "model.hidden=[12, 10, 8, 8]", reuse="hidden[124]", rename={"hidden3": "hidden4"})
    with pytest.raises(TransferError, match=r"hidden4/kernel: found 10x8 \(hidden3/kernel\), wanted 8x8"):
        first_tensors(spec)
    spec = on(rich, "model.hidden=[12, 10, 10, 8]", reuse="hidden[124]", rename={"hidden3": "hidden4"})
    first, source = first_tensors(spec), model_of(rich)
    for name, value in source.items():
        if name.startswith("hidden3/"):
            assert first[name.replace("hidden3", "hidden4")].tobytes() == value.tobytes()


def test_damage_elsewhere_does_not_matter(rich: Path, tmp_path: Path) -> None:
    run = damaged(rich, tmp_path, "hidden2/kernel")
    assert layers_equal(first_tensors(on(run, reuse="hidden[13]")), model_of(rich), "hidden1", "hidden3")


def test_a_damaged_tensor_is_named(rich: Path, tmp_path: Path) -> None:
    run = damaged(rich, tmp_path, "hidden2/batch_norm/mean")
    with pytest.raises(CheckpointError) as caught:
        first_tensors(on(run))
    assert "tensor hidden2/batch_norm/mean does not have the checksum of the manifest" in str(caught.value)


def test_of_several_sources_each_gives_its_own(rich: Path, tmp_path: Path, compiled: Path) -> None:
    other = trained(on(rich, "seed=9", reuse="hidden1"), tmp_path, compiled).run
    first = first_tensors(on([{"from": str(other), "reuse": "hidden3|outputs"}, str(rich)]))
    assert layers_equal(first, model_of(other), "hidden3", "outputs")
    assert layers_equal(first, model_of(rich), "hidden1", "hidden2")


def test_a_whole_network_goes_on_with_its_optimizer(rich: Path, tmp_path: Path, compiled: Path) -> None:
    spec = on(rich, "train.checkpoint_every={steps: 1}", reuse=".*", optimizer_state=True)
    with pytest.raises(Interrupted, match="interrupted at step 1"):
        trained(spec, tmp_path, compiled, stop=lambda: 15)
    there = find_checkpoint(next((tmp_path / "new").glob("2*")) / "checkpoints" / "last")
    seen, source = there.train(), find_checkpoint(rich).train()
    assert int(seen["optimizer/0/count"]) == int(source["optimizer/0/count"]) + 1
    for name, value in source.items():
        if name.startswith("optimizer/0/mu/"):  # mu' = 0.9 mu + 0.1 g, and g is bounded
            assert np.abs(seen[name] - 0.9 * value).max() < 0.5
            assert seen[name].shape == value.shape


def test_only_the_optimizer_of_the_training_file_is_read(rich: Path, tmp_path: Path, compiled: Path) -> None:
    from dnnrun.assemble import open_donors

    run = damaged(rich, tmp_path, "best/hidden1/kernel", "train.safetensors")
    (donor,) = open_donors(on(run, reuse=".*"))
    found = donor.read_optimizer()
    assert found
    assert all(name.startswith("optimizer/") for name in found)
    there = find_checkpoint(run)
    with pytest.raises(CheckpointError, match="best/hidden1/kernel"):
        read(there.folder / "train.safetensors", there.manifest["tensors"]["train.safetensors"])
