"""Files that the frameworks themselves write are imported with their outputs; ours are read back by them.

Each framework works in a process of its own. `make frameworks` builds an environment that has them all.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.data.places import data_folders, find_places
from dnnrun.data.scale import Scaling
from dnnrun.errors import InteropError
from dnnrun.experiment import train
from dnnrun.foreign import Reading, open_donor
from dnnrun.imported import Wanted, read_import, write_run
from dnnrun.interop.check import agreement, compare, forward, read_pair
from dnnrun.interop.export.bundle import Bundle, bundle_of
from dnnrun.interop.export.write import SUFFIXES, export
from dnnrun.nn.architecture import Model, lay_out
from dnnrun.nn.network import initial_tensors
from dnnrun.spec.load import load_mapping
from dnnrun.store.find import find_checkpoint
from dnnrun.trained import load
from tests.interop.frameworks import BOOK

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = {
    "torch": ("torch",),
    "onnx": ("torch", "onnx", "onnxscript"),
    "keras": ("keras", "h5py"),
    "tensorflow": ("tensorflow", "keras"),
}
pytestmark = pytest.mark.slow

RELU = {"activation": "relu"}
NORMS = (
    "{hidden: [{units: 5, activation: elu, bias: false, batch_norm: {epsilon: 1e-4}}, "
    "{units: 5, batch_norm: {epsilon: 1e-3, scale: false}}]}"
)
TORCH = ("plain", "square", "norm", "after", "shared", "nobias", "named", "mixed", "channels")
KERAS = ("plain", "square", "norm", "after", "slopes", "image", "scaled")
# framework -> file -> what it does not say itself
TABLE: dict[str, dict[str, dict[str, Any]]] = {
    "torch": {
        "plain.pt": RELU,
        "square.pt": RELU,
        "norm.pt": RELU,
        "after.pt": {"model": "{hidden: [5], batch_norm: {position: after, epsilon: 1e-5}}"},
        "slopes.pt": {},
        "shared.pt": {},
        "nobias.pt": RELU,
        "named.pt": RELU,
        "double.pt": RELU,
        "trained.pt": RELU,
        "legacy.pth": RELU,
        "channels.pt": {**RELU, "image": "4x5x3", "channel_first": True},
    },
    "onnx": {
        **{f"{name}{how}.onnx": {} for name in TORCH for how in ("", "old", "dynamo")},
        **{f"slopes{how}.onnx": {} for how in ("", "dynamo")},
        "external.onnx": {"external": True},
    },
    "keras": {
        **{f"{name}-{how}.{how}": {} for name in KERAS for how in ("keras", "h5")},
        "plain-weightsh5.weights.h5": RELU,
        "square-weightsh5.weights.h5": {"activation": "tanh"},
        "after-weightsh5.weights.h5": {"model": "{hidden: [5], batch_norm: {position: after, epsilon: 1e-3}}"},
    },
    "tensorflow": {
        "one.ckpt": RELU,
        "onev1.ckpt": RELU,
        "square1.ckpt": RELU,
        "square1v1.ckpt": RELU,
        "object-plain": RELU,
        "object-square": {"activation": "tanh"},
        "object-norm": {"model": NORMS},
    },
}  # fmt: skip


GROUPED = [
    pytest.param(framework, name, marks=pytest.mark.xdist_group(framework), id=f"{framework}-{name}")
    for framework, table in TABLE.items()
    for name in table
]  # one process makes the files of a framework


def needs(framework: str) -> None:
    missing = [name for name in PACKAGES[framework] if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed here; make frameworks runs this test where they are")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a framework's files, written when it is first asked for."""
    folder, done = tmp_path_factory.mktemp("made"), set()

    def make(framework: str) -> Path:
        needs(framework)
        if framework not in done:
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "KERAS_BACKEND": "tensorflow" if framework == "tensorflow" else "jax",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "",
            }
            command = [sys.executable, "-m", "tests.interop.frameworks", str(folder), framework]
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)
            done.add(framework)
        return folder / framework

    return make


@pytest.mark.parametrize(("framework", "name"), GROUPED)
def test_imported_outputs_are_those_of_the_framework(framework: str, name: str, made: Any, tmp_path: Path) -> None:
    folder, options = made(framework), dict(TABLE[framework][name])
    reading = Reading(**{key: options.pop(key) for key in ("image", "channel_first", "external") if key in options})
    if "model" in options:
        (tmp_path / "model.yaml").write_text(f"model: {options['model']}\n")
        options["model"] = tmp_path / "model.yaml"
    found = read_import(folder / name, "imported", Wanted(reading=reading, **options))
    run = write_run(found, tmp_path)
    stem = name.split(".")[0]
    architecture, network = found.architecture, found.network
    first = any("channel-first" in origin.how for origin in network.layers[0].origins.values())
    pair = folder / f"{stem}.x.npy", folder / f"{stem}.y.npy"
    x, y = read_pair(*pair, architecture.features, architecture.outputs, network.image, first)
    result = agreement(load(run).logits(x), y, network.layers[-1].ends)
    assert result.difference <= 1e-5, result
    assert not network.leftover


def test_a_convolution_is_refused_and_its_dense_layers_are_there_by_name(made: Any, tmp_path: Path) -> None:
    path = made("torch") / "convolved.pt"
    with pytest.raises(InteropError) as caught:
        read_import(path, None, Wanted(activation="relu"))
    assert "it has parts that dnnrun does not build: 0 is a convolution (2x1x3x3)" in str(caught.value)
    donor = open_donor("convolved.pt", path)
    assert donor.layers == ("2", "3")
    assert donor.read(["3/kernel"])["3/kernel"].shape == (5, 3)


def test_external_data_is_read_where_it_is_asked_for_alone(made: Any) -> None:
    with pytest.raises(InteropError, match=r"are in another file, 'external\.onnx\.data'"):
        read_import(made("onnx") / "external.onnx", None, Wanted())


def some_bundle(model: dict[str, Any], scaling: Scaling | None = None) -> Bundle:
    """An untrained network of six inputs and three outputs, with statistics and slopes that are not their start."""
    section = Model.model_validate(model)
    plan = lay_out(section, 6, 3)
    rng = np.random.default_rng(1)
    tensors = {
        name: value if name.endswith("kernel") else rng.uniform(0.3, 1.2, value.shape).astype(np.float32)
        for name, value in initial_tensors(plan, 1).items()
    }
    return Bundle("net", section, plan, tensors, scaling or Scaling("unit", divide_by=255.0), ("a", "b", "c"), {})


EXPORTED: dict[str, dict[str, Any]] = {
    "plain": {"hidden": [5, 4]},
    "square": {"hidden": [6, 6], "activation": "tanh"},
    "norm": {"hidden": [5, 5], "activation": "elu", "batch_norm": {"logits": True}},
    "after": {"hidden": [5, 5], "activation": "prelu", "batch_norm": {"position": "after", "scale": False}},
}
MIXED = [
    "rrelu",
    "silu",
    "mish",
    "softplus",
    "softsign",
    "logistic",
    "tanh",
    "selu",
    "gelu",
    {"type": "elu", "alpha": 0.5},
]
EXPORTED["mixed"] = {"hidden": [{"units": 5, "activation": kind} for kind in MIXED], "bias": False}


@pytest.mark.parametrize("kind", ["torch", "keras", "onnx"])
@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_is_read_back_by_its_framework(kind: str, name: str, tmp_path: Path) -> None:
    needs(kind)
    bundle = some_bundle(EXPORTED[name])
    done = export(bundle, tmp_path / f"net{SUFFIXES[kind]}", kind)
    assert done.checked is not None, done.by
    assert done.checked.difference <= 1e-5
    again = read_import(done.path, None, Wanted())
    x = bundle.samples()
    wanted = forward(bundle.architecture, bundle.tensors, bundle.scaling.apply(x))
    assert compare(again.logits(x, scaled=False), wanted).difference <= 1e-5
    assert again.classes == ("a", "b", "c")
    assert again.preprocessing == {"type": "unit", "divide_by": 255.0}


def test_onnx_takes_any_number_of_raw_rows_and_names_the_classes(tmp_path: Path) -> None:
    needs("onnx")
    import onnxruntime

    bundle = some_bundle(EXPORTED["norm"], Scaling("standardize", mean=(1.0,) * 6, std=(2.0, 1, 0, 1, 1, 1)))
    path = export(bundle, tmp_path / "net.onnx", "onnx").path
    session = onnxruntime.InferenceSession(str(path))
    for rows in (1, 3):
        x = bundle.samples()[:rows]
        logits, probabilities = session.run(["logits", "probabilities"], {"inputs": x})
        wanted = forward(bundle.architecture, bundle.tensors, bundle.scaling.apply(x))
        assert np.abs(logits - wanted).max() <= 1e-5
        assert np.allclose(probabilities.sum(1), 1, atol=1e-6)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["a", "b", "c"]


GRAPH = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from dnnrun.data.places import find_places
from dnnrun.data.source.mnist import Mnist
from tests.interop.frameworks import book_graph, inputs

v1, folder = tf.compat.v1, Path(sys.argv[1])
rows = Mnist().read(find_places(None)).train
x = rows.features[:20000].astype(np.float32) / 255
with tf.Graph().as_default():
    given, labels, (logits, learn) = book_graph()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        for epoch in range(2):
            for at in range(0, len(x), 200):
                session.run(learn, {given: x[at:at + 200], labels: rows.labels[at:at + 200]})
        np.save(folder / "x.npy", x[:100])
        np.save(folder / "y.npy", session.run(logits, {given: x[:100]}))
        v1.train.Saver().save(session, str(folder / "my_model_final.ckpt"))
        v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, str(folder / "old.ckpt"))
"""


@pytest.mark.xdist_group("book")
@pytest.mark.parametrize("checkpoint", ["my_model_final.ckpt", "old.ckpt"])
def test_the_path_of_the_book(checkpoint: str, book: Path, tmp_path: Path, compiled: Path) -> None:
    """A graph of TensorFlow 1 trained on MNIST: its hidden[123] reused and frozen below new layers."""
    found = read_import(book / checkpoint, "book", Wanted(activation="relu", divide_by=255.0))
    assert [layer.size for layer in found.network.layers] == list(itertools.pairwise(BOOK))
    wanted = np.load(book / "y.npy")
    assert compare(found.logits(np.load(book / "x.npy"), scaled=True), wanted).agrees
    spec = load_mapping(
        {
            "name": "new",
            "data": {"source": "mnist", "validation": 5000, "limit": 10000},
            "model": {"hidden": [300, 50, 50, 20], "activation": "relu"},
            "train": {"optimizer": {"type": "sgd", "learning_rate": 0.05}, "batch_size": 50, "epochs": 2},
            "transfer": {"from": str(book / checkpoint), "reuse": "hidden[123]", "freeze": "hidden[123]"},
        }
    )
    result = train(spec, runs=tmp_path, places=find_places(None), cache=compiled)
    assert result.transfer is not None
    assert result.transfer["reused"] == result.transfer["frozen"] == ["hidden1", "hidden2", "hidden3"]
    assert result.transfer["unused"] == ["hidden4", "hidden5", "outputs"]
    source = {f"{layer.name}/{part}": x for layer in found.network.layers for part, x in layer.tensors.items()}
    for name, value in find_checkpoint(result.run).model().items():
        if name.partition("/")[0] in result.transfer["frozen"]:
            assert value.tobytes() == source[name].tobytes()
    assert result.metrics["validation"]["accuracy"] > 0.9


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("tensorflow")
    if not any((folder / "mnist").is_dir() for folder in data_folders()):
        pytest.skip("no MNIST here: DNNRUN_DATA_DIR names no folder that has it")
    folder = tmp_path_factory.mktemp("book")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", GRAPH, str(folder)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)
    return folder


def test_foreign_of_the_notebook_by_torch(tmp_path: Path) -> None:
    """Kernel [[1,2,3],[4,5,6]], bias [7,8,9], input [10,11]: 61, 83, 105."""
    needs("torch")
    code = (
        "import torch; torch.save({'dense.weight': torch.tensor([[1., 4.], [2., 5.], [3., 6.]]), "
        "'dense.bias': torch.tensor([7., 8., 9.])}, 'foreign.pt')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    run = write_run(read_import(tmp_path / "foreign.pt", None, Wanted()), tmp_path)
    assert load(run).logits([[10, 11]]).tolist() == [[61, 83, 105]]


def test_a_run_through_torch_and_back_is_the_same_file(tmp_path: Path) -> None:
    needs("torch")
    bundle = some_bundle(EXPORTED["norm"])
    done = export(bundle, tmp_path / "net.pt", "torch")
    run = write_run(read_import(done.path, "back", Wanted()), tmp_path)
    again = bundle_of(find_checkpoint(run))
    assert {name: x.tobytes() for name, x in again.tensors.items()} == {
        n: x.tobytes() for n, x in bundle.tensors.items()
    }
