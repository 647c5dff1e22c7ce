"""What files of the frameworks mean: the same outputs, from fixtures that need no framework to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun import imported
from dnnrun.errors import InteropError
from dnnrun.foreign import Reading
from dnnrun.imported import Wanted, read_import
from dnnrun.interop import formats
from dnnrun.interop.check import agreement, compare, forward
from dnnrun.interop.fold import fold
from dnnrun.interop.network import ForeignNetwork, Said, understand
from dnnrun.interop.settle import settle
from dnnrun.interop.weights import Weights, unpack
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import Model, lay_out
from dnnrun.nn.network import initial_tensors
from tests.interop.pack import FIXTURES

RELU = Activation.parse("relu")
KERAS_NORM = {
    "hidden": [
        {"units": 5, "activation": "elu", "bias": False, "batch_norm": {"epsilon": 1e-4}},
        {"units": 5, "batch_norm": {"epsilon": 1e-3, "scale": False}},
    ]
}
# fixture -> what a person has to say, and the names of the layers in the file
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "torch-norm": ({"activation": RELU}, ["0", "3", "6"]),
    "torch-named": ({"activation": RELU}, ["fc1", "fc2", "fc3"]),
    "torch-square": ({"activation": RELU}, ["0", "2", "4"]),
    "torch-channels": ({"activation": RELU, "image": (4, 5, 3), "channel_first": True}, ["1", "3"]),
    "torch-slopes": ({}, ["0", "2", "4"]),
    "onnx-mixed": ({}, [str(2 * at) for at in range(10)]),
    "onnx-normdynamo": ({}, ["0", "3", "6"]),
    "onnx-channels": ({}, ["1", "3"]),
    "keras-norm-keras": ({}, ["dense_6", "dense_7", "dense_8"]),
    "keras-image-keras": ({}, ["hidden1", "outputs"]),
    "keras-plain-h5": ({}, ["dense", "dense_1", "dense_2"]),
    "tensorflow-one": ({"activation": RELU}, ["dnn/hidden1", "dnn/hidden2", "dnn/outputs"]),
    "tensorflow-onev1": ({"activation": RELU}, ["dnn/hidden1", "dnn/hidden2", "dnn/outputs"]),
    "tensorflow-object-norm": ({"model": KERAS_NORM}, [f"model/_functional/_operations/{at}" for at in (1, 5, 8)]),
}


def fixture(name: str) -> Weights:
    return unpack((FIXTURES / f"{name}.weights").read_bytes())


def network_of(name: str, **said: Any) -> ForeignNetwork:
    return understand(Path(name), fixture(name), Said(**said))


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_framework(name: str) -> None:
    options, layers = dict(CASES[name][0]), CASES[name][1]
    said = {key: options.pop(key) for key in ("image", "channel_first") if key in options}
    network = network_of(name, **said)
    assert [layer.foreign for layer in network.layers] == layers
    model = Model.model_validate(options["model"]) if "model" in options else None
    settled = settle(network, model, options.get("activation"))
    pair = np.load(FIXTURES / f"{name}.npz")
    x = pair["x"]
    if x.ndim == 4 and "channels" in name:
        x = x.transpose(0, 2, 3, 1)
    x = x.reshape(len(x), -1)
    if network.preprocessing:
        assert network.preprocessing == {"type": "unit", "divide_by": pytest.approx(255)}
        x = x / 255
    found = forward(settled.architecture, settled.tensors, x)
    result = agreement(found, pair["y"], network.layers[-1].ends)
    assert result.difference <= 1e-5
    assert result.agrees


def test_a_transpose_that_is_missing_shows_in_square_kernels() -> None:
    """The comparison above can fail: the same tensors, taken as they lie."""
    network = network_of("torch-square")
    settled = settle(network, None, RELU)
    pair = np.load(FIXTURES / "torch-square.npz")
    wrong = {name: x.T if name.endswith("kernel") else x for name, x in settled.tensors.items()}
    assert not compare(forward(settled.architecture, wrong, pair["x"]), pair["y"]).agrees


def test_an_epsilon_that_no_file_says_is_taken_and_told() -> None:
    notes = settle(network_of("torch-norm"), None, RELU).notes
    assert notes == tuple(
        f"hidden{n}: the file does not say the epsilon of its batch norm; 1e-05 is taken" for n in (1, 2)
    )


def test_what_belongs_to_training_is_no_part_of_the_network() -> None:
    network = network_of("tensorflow-one")
    assert network.leftover == ()
    assert "dnn/hidden1/kernel/Momentum" in network.passed


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "torch-norm",
        {},
        "torch-norm: does not say the activation of hidden1, hidden2; give --activation NAME "
        "(dnnrun ls activations), or --model FILE",
    ),
    (
        "torch-convolved",
        {"activation": RELU},
        "torch-convolved: it has parts that dnnrun does not build: 0 is a convolution (2x1x3x3); dnnrun builds dense "
        "networks only. Its dense layers can be taken by name (2, 3): with --map in an import, with --rename in a "
        "transfer",
    ),
    (
        "keras-norm-weightsh5",
        {"activation": RELU},
        "keras-norm-weightsh5: it is not clear which layers batch_normalization belong to (dense_6, dense_7, dense_8); "
        "say so with --map, or with --model where that tells which layers have batch norm",
    ),
    (
        "onnx-mixed",
        {"model": {"hidden": [5, 5]}},
        "onnx-mixed: has 10 layers (0 5x5, 2 5x5, 4 5x5, 6 5x5, 8 5x5, 10 5x5, 12 5x5, 14 5x5, 16 5x5, 18 5x3), "
        "and the model section 3",
    ),
    (
        "keras-plain-h5",
        {"model": {"hidden": [5, 4], "activation": "elu"}},
        "keras-plain-h5: hidden1: its activation is relu, the model section says elu (alpha 1.0)",
    ),
    (
        "tensorflow-one",
        {"model": {"hidden": [5, 3]}},
        "tensorflow-one: hidden2 has 4 units, and the model section says 3",
    ),
    (
        "tensorflow-one",
        {"model": {"hidden": [5, {"units": 4, "batch_norm": True}]}},
        "tensorflow-one: hidden2 has no batch norm, and the model section says one",
    ),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    model = Model.model_validate(options["model"]) if "model" in options else None
    with pytest.raises(InteropError) as caught:
        settle(network_of(name), model, options.get("activation"))
    assert str(caught.value) == message


def weights(**tensors: Any) -> Weights:
    return Weights("npz", {name: np.asarray(x, np.float32) for name, x in tensors.items()})


AMBIGUOUS: list[tuple[dict[str, Any], str]] = [
    (
        {"W": np.eye(3), "b": [1, 2, 3]},
        "f.npz: W is 3x3, and nothing says which axis its inputs are; say so with --kernels in-out or --kernels out-in",
    ),
    (
        {"a/kernel": np.ones((3, 4)), "b/kernel": np.ones((5, 6))},
        "f.npz: its dense layers do not follow each other (a 3x4, b 5x6); name those to take, with --map in an import "
        "or --rename in a transfer",
    ),
    (
        {
            "a/kernel": np.ones((3, 4)),
            "b/kernel": np.ones((4, 4)),
            "c/kernel": np.ones((2, 3)),
            "d/kernel": np.ones((4, 4)),
        },
        "f.npz: its dense layers can follow each other in several orders (a 3x4, b 4x4, c 2x3, d 4x4); use --map",
    ),
    (
        {"a/kernel": np.ones((3, 4)), "a/bias": np.ones(5)},
        "f.npz: a/bias has 5 values, and a/kernel is 3x4: not of one layer; say what belongs together with --map",
    ),
    (
        {
            "a/kernel": np.ones((3, 4)),
            "n/gamma": np.ones(5),
            "n/moving_mean": np.ones(5),
            "n/moving_variance": np.ones(5),
        },
        "f.npz: n has 5 values, and no dense layer has 5 units",
    ),
    ({"numbers": np.ones(3)}, "f.npz: no dense layer found among numbers; name them with --map"),
    ({"a/kernel": [[np.inf]]}, "f.npz: a/kernel has values that are not finite as float32"),
]


@pytest.mark.parametrize(("tensors", "message"), AMBIGUOUS, ids=range(len(AMBIGUOUS)))
def test_what_is_ambiguous(tensors: dict[str, Any], message: str) -> None:
    with pytest.raises(InteropError) as caught:
        understand(Path("f.npz"), weights(**tensors), Said())
    assert str(caught.value) == message


def test_kernels_by_the_names_that_frameworks_and_people_use() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    for names in (
        ("W1", "b1", "W2", "b2"),
        ("coefs_0", "intercepts_0", "coefs_1", "intercepts_1"),
        ("l1_W", "l1_b", "l2_W", "l2_b"),
    ):
        found = understand(
            Path("f.npz"), weights(**dict(zip(names, (first, np.ones(4), second, np.ones(2)), strict=True))), Said()
        )
        assert [layer.size for layer in found.layers] == [(3, 4), (4, 2)], names
        assert np.array_equal(found.layers[0].tensors["kernel"], first.astype(np.float32))
    turned = {"fc1.weight": first.T, "fc1.bias": np.ones(4), "head.weight": second.T, "head.bias": np.ones(2)}
    found = understand(Path("f.npz"), weights(**dict(reversed(turned.items()))), Said())
    assert [layer.foreign for layer in found.layers] == ["fc1", "head"]
    assert np.array_equal(found.layers[1].tensors["kernel"], second.astype(np.float32))


@pytest.mark.parametrize("position", ["before", "after"])
def test_folded_batch_norm_gives_the_same_outputs(position: str) -> None:
    section = {
        "hidden": [5, 4],
        "activation": "elu",
        "bias": False,
        "batch_norm": {"position": position, "logits": True},
    }
    model = Model.model_validate(section)
    plan, rng = lay_out(model, 6, 3), np.random.default_rng(0)
    tensors = {
        name: x if name.endswith("kernel") else rng.uniform(0.3, 1.2, x.shape).astype(np.float32)
        for name, x in initial_tensors(plan, 0).items()
    }
    x = rng.normal(size=(9, 6))
    folded, less = fold(model, plan, tensors)
    smaller = lay_out(folded, 6, 3)
    assert smaller.misfit({name: value.shape for name, value in less.items()}) is None
    assert not any("batch_norm" in name for name in less)
    assert compare(forward(smaller, less, x), forward(plan, tensors, x)).agrees


def test_channels_and_kernels_that_lie_either_way_can_be_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, path = rng.normal(size=(12, 12)).astype(np.float32), tmp_path / "m.npz"
    np.savez(path, W=kernel, b=np.zeros(12))
    plain = read_import(path, None, Wanted(reading=Reading(kernels="in-out")))
    turned = read_import(path, None, Wanted(reading=Reading(kernels="out-in")))
    assert np.array_equal(plain.tensors["outputs/kernel"], kernel)
    assert np.array_equal(turned.tensors["outputs/kernel"], kernel.T)
    image = Reading(kernels="in-out", image="2x2x3", channel_first=True)
    rows = read_import(path, None, Wanted(reading=image)).tensors["outputs/kernel"]
    assert np.array_equal(rows, kernel.reshape(3, 4, 12).transpose(1, 0, 2).reshape(12, 12))


def test_reading_is_told_by_content_not_by_the_ending(tmp_path: Path) -> None:
    from safetensors.numpy import save

    (tmp_path / "weights.dat").write_bytes(save({"a/kernel": np.ones((2, 3), np.float32)}))
    assert formats.format_of(tmp_path / "weights.dat") == "safetensors"
    assert imported.digest(tmp_path / "weights.dat")
