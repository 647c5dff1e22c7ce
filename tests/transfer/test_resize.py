"""Images of another size or other channels, and how the inputs of a reused first layer are scaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.assemble import assemble, plan_transfer
from dnnrun.assembly import Assembly
from dnnrun.data.room import Room
from dnnrun.data.scale import Scaling
from dnnrun.data.source import Places
from dnnrun.errors import DataError, TransferError
from dnnrun.evaluation import evaluate
from dnnrun.train.resize import LUMA, resize
from dnnrun.trained import load
from tests.smallruns import trained
from tests.transfer.sources import on, spec_of, written

MODEL = {"hidden": [6]}


def inputs(source: Path, data: dict[str, Any] | None = None, **transfer: Any) -> Assembly:
    spec = spec_of(MODEL, {"from": str(source), **transfer})
    changed = spec.model_copy(update={"data": spec.data.model_copy(update=data or {})})
    return assemble(changed, Places(), None)


SIZES: dict[str, tuple[tuple[int, int, int], str]] = {
    "larger": ((28, 28, 1), "28x28x1"),
    "smaller": ((4, 5, 1), "4x5x1"),
    "colour": ((8, 8, 3), "8x8x3"),
    "as many pixels": ((4, 16, 1), "4x16x1"),
}


@pytest.mark.parametrize("name", SIZES)
def test_images_of_another_size(name: str, tmp_path: Path) -> None:
    image, words = SIZES[name]
    source = written(tmp_path, "source", MODEL, image=image)
    sizes = f"the data's images are 8x8x1, and the source was trained on {words}"
    with pytest.raises(TransferError) as caught:
        inputs(source)
    assert str(caught.value) == f"transfer: {sizes}; set transfer.resize_inputs: true, or do not reuse hidden1"
    parts = inputs(source, resize_inputs=True)
    assert f"resized: {sizes}; linear" in parts.notes
    assert parts.dataset.image == image
    assert parts.dataset.width == parts.architecture.features == np.prod(image)
    assert parts.manifest()["resize"] == {"from": [8, 8, 1], "to": list(image), "method": "linear"}
    assert 0 <= parts.dataset.features.min() <= parts.dataset.features.max() <= 16.001
    assert parts.scaling == Scaling("unit", divide_by=16.0)


def test_channels_that_nobody_can_resize(tmp_path: Path) -> None:
    source = written(tmp_path, "source", MODEL, image=(8, 8, 4))
    spec = spec_of(MODEL, {"from": str(source), "resize_inputs": True})
    with pytest.raises(TransferError) as caught:
        plan_transfer(spec, Places())
    assert str(caught.value) == (
        "transfer: the data's images are 8x8x1, and the source was trained on 8x8x4; "
        "channels can be resized from 1 to 3 and from 3 to 1 only"
    )
    with pytest.raises(DataError, match="images of 1 channels cannot become 4"):
        resize(np.zeros((1, 64)), {"from": (8, 8, 1), "to": (8, 8, 4), "method": "linear"})


def test_features_that_are_no_image(tmp_path: Path) -> None:
    source = written(tmp_path, "source", MODEL, image=None, features=30)
    with pytest.raises(TransferError) as caught:
        inputs(source, resize_inputs=True)
    assert str(caught.value) == (
        f"transfer: the data has 64 features and hidden1 of {source} takes 30; no image is known on both sides, "
        "so nothing can be resized. Use the same columns, or do not reuse hidden1"
    )


def test_a_new_first_layer_takes_what_there_is(tmp_path: Path) -> None:
    source = written(tmp_path, "source", {"hidden": [6, 5]}, image=(28, 28, 1))
    spec = spec_of({"hidden": [6, 5]}, {"from": str(source), "reuse": "hidden2"})
    assert assemble(spec, Places(), None).dataset.width == 64


def test_a_layer_from_within_the_source_takes_no_images(tmp_path: Path) -> None:
    """hidden2 of the source becomes the first one: its inputs never were pixels, whatever the source's images are."""
    source = written(tmp_path, "source", {"hidden": [64, 5]}, image=(28, 28, 1), preprocessing={"type": "none"})
    spec = spec_of({"hidden": [5]}, {"from": str(source), "rename": {"hidden2": "hidden1"}})
    parts = assemble(spec, Places(), None)
    assert parts.dataset.width == 64
    assert parts.scaling.type == "unit"


def test_a_network_without_hidden_layers_has_outputs_first(tmp_path: Path) -> None:
    source = written(tmp_path, "source", {"hidden": []}, image=(4, 4, 1))
    with pytest.raises(TransferError, match="or do not reuse outputs"):
        plan_transfer(spec_of({"hidden": []}, {"from": str(source), "reuse": "outputs"}), Places())


def standardized(tmp_path: Path, largest: float) -> Path:
    mean, std = np.linspace(1, 5, 64).tolist(), np.linspace(0, 3, 64).tolist()
    told = {"type": "standardize", "mean": mean, "std": std}
    return written(tmp_path, "source", MODEL, preprocessing=told, manifest={"largest": largest})


def test_scaling_is_the_sources_unless_it_is_said(tmp_path: Path) -> None:
    source = standardized(tmp_path, 16.0)
    parts = inputs(source)
    assert parts.scaling.mean == tuple(np.linspace(1, 5, 64).tolist())
    assert parts.notes == ["scaled as in the source: standardize"]
    parts = inputs(source, {"scale": "unit"})
    assert parts.scaling == Scaling("unit", divide_by=16.0)
    assert parts.notes == ["data.scale is unit, and hidden1 was trained on standardize; leave it unset to take that"]
    own = inputs(source, {"scale": "standardize"})
    assert own.notes == []
    assert own.scaling.mean != parts.scaling.mean


def test_scaling_of_brighter_pixels(tmp_path: Path) -> None:
    """A source whose white was 255: what was mean / 255 there is mean / 16 here."""
    parts = inputs(standardized(tmp_path, 255.0))
    assert parts.notes == ["scaled as in the source: standardize, its pixels up to 255, these up to 16"]
    x = np.random.default_rng(0).uniform(0, 16, (5, 64))
    theirs = Scaling("standardize", mean=tuple(np.linspace(1, 5, 64)), std=tuple(np.linspace(0, 3, 64)))
    assert np.allclose(parts.scaling.apply(x), theirs.apply(x * 255 / 16), atol=1e-4)


def test_a_resized_network_takes_raw_inputs(tmp_path: Path, compiled: Path) -> None:
    source = written(
        tmp_path / "runs",
        "source",
        {"hidden": [12, 10, 8], "activation": "prelu", "batch_norm": True},
        image=(12, 12, 1),
    )
    run = trained(on(source, "train.epochs=1", freeze="hidden1", resize_inputs="cubic"), tmp_path, compiled)
    network = load(run.run)
    assert network.checkpoint.manifest["resize"] == {"from": [8, 8, 1], "to": [12, 12, 1], "method": "cubic"}
    assert network.architecture.features == 144
    parts = assemble(network.spec, Places(), None, manifest=network.checkpoint.manifest)
    raw = on(source).data.source.read(Places())
    assert raw.test is not None
    labels = np.array([int(name) for name in network.classes])[raw.test.labels]
    accuracy = float((network.predict(raw.test.features) == labels).mean())
    assert accuracy == pytest.approx(run.metrics["test"]["accuracy"], abs=1e-9)
    assert evaluate(run.run).metrics["accuracy"] == run.metrics["test"]["accuracy"]
    assert parts.dataset.width == 144
    with pytest.raises(DataError, match=r"wanted \[rows, 64\]"):
        network.predict(np.zeros((2, 144)))
    again = trained(on(run.run, "name=again", "train.epochs=1", resize_inputs=True), tmp_path, compiled)
    assert load(again.run).architecture.features == 144


def test_resizing_is_what_it_says() -> None:
    rows = np.arange(2 * 6, dtype=np.uint8).reshape(2, 6)
    same = resize(rows, {"from": (2, 3, 1), "to": (2, 3, 1), "method": "linear"})
    assert (same == rows).all()
    near = resize(rows, {"from": (2, 3, 1), "to": (4, 6, 1), "method": "nearest"})
    assert (near[0].reshape(4, 6) == np.kron(rows[0].reshape(2, 3), np.ones((2, 2)))).all()
    colour = resize(rows, {"from": (2, 3, 1), "to": (2, 3, 3), "method": "linear"})
    assert (colour.reshape(2, 6, 3) == rows[:, :, None]).all()
    grey = resize(colour, {"from": (2, 3, 3), "to": (2, 3, 1), "method": "linear"})
    assert np.allclose(grey, rows, atol=1e-5)
    assert sum(LUMA) == pytest.approx(1)
    many = np.arange(2500, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    assert (resize(many, {"from": (2, 2, 1), "to": (1, 1, 1), "method": "linear"})[:, 0] == np.arange(2500)).all()


def test_streamed_images_are_resized_on_disk(tmp_path: Path) -> None:
    rows = np.arange(2500 * 6, dtype=np.float32).reshape(-1, 6)
    how = {"from": (2, 3, 1), "to": (4, 4, 1), "method": "linear"}
    found = resize(rows, how, Room(tmp_path))
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, resize(rows, how))


def test_a_streamed_run_resizes_on_disk(tmp_path: Path) -> None:
    source = written(tmp_path, "source", MODEL, image=(4, 5, 1))
    parts = inputs(source, {"stream": 100}, resize_inputs=True)
    assert isinstance(parts.dataset.features, np.memmap)
    assert parts.dataset.width == 20
