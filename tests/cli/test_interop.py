"""The verbs import and export, and foreign files in a transfer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dnnrun.assemble import open_donors
from dnnrun.cli.app import app
from dnnrun.errors import DnnrunError, SpecError
from dnnrun.interop.check import forward
from dnnrun.nn.architecture import lay_out
from dnnrun.store import events
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import RunDirectory
from dnnrun.trained import load
from dnnrun.transfer.plan import restore
from tests.transfer.sources import planned, spec_of, written

KERNEL, BIAS = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([7.0, 8, 9])
MAP = "hidden1/kernel: W\nhidden1/bias: b\nignore: ['left.*']\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DNNRUN_RUNS", raising=False)
    np.savez("foreign.npz", W=KERNEL, b=BIAS)
    Path("map.yaml").write_text(MAP)
    return tmp_path


def said(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*words: str) -> str:
    with pytest.raises(DnnrunError) as caught:
        said(*words)
    assert not Path("runs").exists()
    return str(caught.value)


def test_foreign_of_the_notebook_as_a_run() -> None:
    """Kernel [[1,2,3],[4,5,6]], bias [7,8,9], input [10,11]: 61, 83, 105."""
    run = said("import", "foreign.npz").strip()
    assert load("runs/foreign").logits([[10, 11]]).tolist() == [[61, 83, 105]]
    directory = RunDirectory(Path(run))
    assert directory.status() == "done"
    (event,) = events.read(directory.metrics)
    assert (event["event"], event["step"]) == ("import", 0)
    told = directory.meta()["imported"]
    assert told["mapping"]["outputs/kernel"] == {"tensor": "W", "shape": [2, 3], "how": "float64 to float32"}
    assert find_checkpoint(run).manifest["imported"]["sha256"] == told["sha256"]
    listed = json.loads(said("runs", "--json"))
    assert [(row["status"], row["epochs"]) for row in listed] == [("done", 0)]


def test_foreign_of_the_notebook_below_new_layers() -> None:
    """The same kernel as hidden1 of another network, rectified."""
    transfer = {"from": "foreign.npz", "map": "map.yaml", "reuse": "hidden1", "freeze": "hidden1"}
    plan = planned({"hidden": [3, 4]}, transfer, features=2)
    assert plan.reused == plan.frozen == ["hidden1"]
    assert plan.notes == ("hidden1: foreign.npz does not say its activation; here it is relu",)
    first = lay_out(spec_of({"hidden": []}, {"from": "foreign.npz"}).model, 2, 3)
    tensors = {name.replace("hidden1", "outputs"): value for name, value in restore(plan).items()}
    assert forward(first, tensors, np.array([[10, 11]])).tolist() == [[61, 83, 105]]


def test_layers_of_a_file_go_by_their_own_names_too() -> None:
    rng = np.random.default_rng(0)
    arrays: Any = {"body/kernel": rng.normal(size=(64, 5)), "head/kernel": rng.normal(size=(5, 10))}
    np.savez("named.npz", **arrays)
    plan = planned({"hidden": [5], "bias": False}, {"from": "named.npz", "rename": {"body": "hidden1"}})
    assert plan.rows()[1][1] == "reused: hidden1 of named.npz"
    assert plan.unused == ("outputs",)


def test_a_dry_run_shows_how_each_tensor_maps_and_writes_nothing() -> None:
    np.savez("two.npz", **{"fc1.weight": np.zeros((3, 2), np.float32), "fc2.weight": np.zeros((4, 3), np.float16)})
    shown = said("import", "two.npz", "--activation", "elu", "--dry-run")
    assert shown.splitlines()[:3] == [
        "tensor of the file  shape  becomes         shape  how",
        "fc1.weight          3x2    hidden1/kernel  2x3    transposed",
        "fc2.weight          4x3    outputs/kernel  3x4    transposed, float16 to float32",
    ]
    assert not Path("runs").exists()
    answer = json.loads(said("import", "two.npz", "--activation", "elu", "--dry-run", "--json"))
    assert answer["run"] is None
    assert answer["imported"]["mapping"]["hidden1/kernel"]["how"] == "transposed"


def test_check_compares_and_lets_nothing_wrong_through() -> None:
    np.save("x.npy", np.array([[10.0, 11]]))
    np.save("y.npy", np.array([[61.0, 83, 105]]))
    answer = json.loads(said("import", "foreign.npz", "--as", "good", "--check", "x.npy", "y.npy", "--json"))
    assert answer["check"] == {"difference": 0.0, "rows": 1, "of": "logits"}
    np.save("y.npy", np.array([[61.0, 83, 105.01]]))
    with pytest.raises(
        DnnrunError, match=r"the outputs are not those of y\.npy: largest difference 1\.00e-02 of logits"
    ):
        said("import", "foreign.npz", "--as", "bad", "--check", "x.npy", "y.npy")
    assert not Path("runs/bad").exists()


def test_a_model_file_and_overrides_of_the_spec() -> None:
    rng = np.random.default_rng(0)
    arrays: Any = {f"{name}/kernel": rng.normal(size=s) for name, s in {"a": (64, 5), "b": (5, 10)}.items()}
    np.savez("m.npz", **arrays)
    Path("model.yaml").write_text(
        "model:\n  hidden: [5]\n  activation: {type: leaky_relu, slope: 0.1}\n  bias: false\n"
    )
    run = said(
        "import", "m.npz", "--as", "mine", "--model", "model.yaml", "--divide-by", "16", "data.source=digits"
    ).strip()
    trained = load(run)
    assert trained.spec.model.activation.model_dump() == {"type": "leaky_relu", "slope": 0.1}
    assert trained.checkpoint.manifest["preprocessing"] == {"type": "unit", "divide_by": 16.0}
    assert json.loads(said("eval", "runs/mine", "--json"))["split"] == "test"


@pytest.mark.parametrize("kind", ["safetensors", "npz", "keras"])
def test_exports_come_back_bit_for_bit(kind: str, here: Path) -> None:
    source = written(here / "sources", "net", {"hidden": [4, 3], "activation": "rrelu", "batch_norm": {"scale": False}})
    answer = json.loads(said("export", str(source), "--format", kind, "--json"))
    assert answer["file"] == f"net.{kind}"
    if kind != "keras":
        assert answer["check"]["difference"] == 0.0
    run = said("import", answer["file"], "--as", "back").strip()
    ours, theirs = find_checkpoint(source), find_checkpoint(run)
    assert {n: x.tobytes() for n, x in ours.model().items()} == {n: x.tobytes() for n, x in theirs.model().items()}
    for key in ("preprocessing", "classes", "image", "largest", "features", "layers"):
        assert theirs.manifest[key] == ours.manifest[key], key
    with pytest.raises(DnnrunError, match="is there already; choose another name, or replace it with --force"):
        said("export", str(source), "--format", kind)
    said("export", str(source), "-o", answer["file"], "--force", "--fold-batch-norm")


BAD: list[tuple[tuple[str, ...], str]] = [
    (("absent.pt",), "absent.pt: not found (. has foreign.npz, map.yaml)"),
    (("map.yaml",), "map.yaml: not a file of weights that dnnrun knows; wanted safetensors"),
    ((".",), ".: a folder without weights; wanted safetensors"),
    (("foreign.npz", "--activation", "rellu"), "--activation rellu: unknown; wanted one of elu, gelu, identity"),
    (("foreign.npz", "--classes", "a,b"), "foreign.npz: --classes names 2 classes, and the network has 3 outputs"),
    (
        ("foreign.npz", "--image", "2by1"),
        "--image 2by1: wanted HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS, as 28x28 or 32x32x3",
    ),
    (
        ("foreign.npz", "--image", "2x2"),
        "foreign.npz: its first layer takes 2 inputs, and an image of 2x2x1 has others",
    ),
    (("foreign.npz", "--kernels", "out-in"), "foreign.npz: W is 2x3, which as out_in does not fit its bias"),
    (
        ("foreign.npz", "--map", "map.yaml"),
        "foreign.npz: its layers are hidden1, and an import wants outputs; take single layers with transfer, or name "
        "them with --map",
    ),
    (("foreign.npz", "--check", "map.yaml", "foreign.npz"), "map.yaml: not a NumPy array"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=range(len(BAD)))
def test_bad_imports(words: tuple[str, ...], message: str) -> None:
    assert refused("import", *words).startswith(message)


BAD_MAPS: list[tuple[str, list[str]]] = [
    ("[1, 2]", ["m.yaml: found a list, wanted a mapping as 'hidden1/kernel: name of the tensor'"]),
    ("ignore: ['a']", ["m.yaml: maps no tensor; wanted lines as 'hidden1/kernel: name of the tensor'"]),
    (
        "hiden1/kernel: W\nhidden1/kernel: {tensor: W, transposed: true}\nignore: ['(']",
        [
            "m.yaml:1:1: 'hiden1/kernel': unknown tensor; wanted hidden1, hidden2, ... or outputs, and one of kernel, "
            "bias, batch_norm/scale, batch_norm/bias, batch_norm/mean, batch_norm/var, activation/slope",
            "m.yaml:2:17: 'hidden1/kernel': found tensor, transposed, wanted the name of a tensor, or "
            "{tensor: NAME, transpose: true}",
            "m.yaml:3:10: ignore.0: found '(' (a text), wanted a regular expression",
        ],
    ),
]


@pytest.mark.parametrize(("text", "problems"), BAD_MAPS, ids=range(len(BAD_MAPS)))
def test_bad_maps(text: str, problems: list[str]) -> None:
    Path("m.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        said("import", "foreign.npz", "--map", "m.yaml")
    assert list(caught.value.problems) == problems


def test_a_map_that_names_what_is_not_there() -> None:
    Path("m.yaml").write_text("outputs/kernel: V\n")
    assert refused("import", "foreign.npz", "--map", "m.yaml") == (
        "m.yaml: outputs/kernel: foreign.npz has no tensor 'V'; it has W, b"
    )


BAD_TRANSFERS: list[tuple[dict[str, Any], str]] = [
    (
        {"from": "foreign.npz", "reuse": "hidden1"},
        "transfer.reuse: 'hidden1' matches hidden1 of the new network, absent in foreign.npz, whose layers are "
        "outputs; narrow the pattern, or use transfer.rename",
    ),
    (
        {"from": "foreign.npz", "map": "map.yaml", "reuse": "hidden1"},
        "the reused layers do not fit:\n  hidden1/kernel: found 2x3 (hidden1/kernel), wanted 64x3\n"
        "make model.hidden, batch_norm, bias and activation of these layers what they are in the source, or reuse "
        "fewer layers",
    ),
]


@pytest.mark.parametrize(("transfer", "message"), BAD_TRANSFERS, ids=range(len(BAD_TRANSFERS)))
def test_bad_transfers(transfer: dict[str, Any], message: str) -> None:
    with pytest.raises(DnnrunError) as caught:
        planned({"hidden": [3]}, transfer)
    assert str(caught.value) == message


def test_a_map_is_for_foreign_files_alone(here: Path) -> None:
    source = written(here / "sources", "net", {"hidden": [4]})
    with pytest.raises(DnnrunError, match=r"transfer\.map: .* is no file of another framework; leave the map out"):
        open_donors(spec_of({"hidden": [4]}, {"from": str(source), "map": "map.yaml"}))


def test_formats_of_exports(here: Path) -> None:
    source = str(written(here / "sources", "net", {"hidden": [4]}))
    formats = "wanted --format safetensors, npz, torch, keras, onnx"
    for words, message in {
        (): f"no format: unknown; {formats}",
        ("-o", "m.foo"): f"the ending of m.foo: unknown; {formats}",
        ("--format", "caffe"): f"--format caffe: unknown; {formats}",
    }.items():
        with pytest.raises(DnnrunError) as caught:
            said("export", source, *words)
        assert str(caught.value) == message


def test_a_damaged_checkpoint_is_no_foreign_file(here: Path) -> None:
    source = written(here / "sources", "net", {"hidden": [4]})
    there = find_checkpoint(source).folder
    (there / "manifest.json").unlink()
    with pytest.raises(DnnrunError, match=r"no checkpoint here \(no manifest\.json\)"):
        open_donors(spec_of({"hidden": [4]}, {"from": str(there)}))
    with pytest.raises(DnnrunError, match="File name too long"):
        open_donors(spec_of({"hidden": [4]}, {"from": "a" * 5000}))
