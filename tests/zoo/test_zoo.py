"""The zoo on disk: added, found, verified, removed; pulled whole or not at all, from folders and from a server."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner

from dnnrun.assemble import open_donors
from dnnrun.catalogued import add_run, pull
from dnnrun.cli.app import app
from dnnrun.errors import InteropError, ZooError
from dnnrun.imported import Wanted
from dnnrun.store.find import find_checkpoint
from dnnrun.zoo import catalogue
from dnnrun.zoo.card import read
from dnnrun.zoo.catalogue import CARD, INDEX, SUMS, entries, entry, verify
from dnnrun.zoo.search import query_of, search
from tests.transfer.sources import spec_of, written


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("runs"), "Little", {"hidden": [4, 3], "batch_norm": True})


@pytest.fixture
def zoo(run: Path, tmp_path: Path) -> Path:
    add_run(tmp_path / "zoo", run, None, licence="Apache-2.0", description="Small digits.", tags=("tiny",))
    return tmp_path / "zoo"


def test_a_model_is_a_checkpoint_with_a_card(zoo: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = entry(zoo, "little")
    assert sorted(path.name for path in found.folder.iterdir()) == [CARD, "manifest.json", "model.safetensors", SUMS]
    monkeypatch.setenv("DNNRUN_ZOO", str(zoo))
    ours, theirs = find_checkpoint("zoo:little").model(), find_checkpoint(run).model()
    assert {name: x.tobytes() for name, x in ours.items()} == {name: x.tobytes() for name, x in theirs.items()}
    card = read((found.folder / CARD).read_text(), CARD)
    assert card.input == {"features": 64, "image": [8, 8, 1], "scaling": "unit"}
    assert (card.layers, card.task, card.licence) == ((64, 4, 3, 10), "image-classification", "Apache-2.0")
    (donor,) = open_donors(spec_of({"hidden": [4, 5]}, {"from": "zoo:little", "reuse": "hidden1"}))
    assert donor.name == "zoo:little"
    assert donor.image == (8, 8, 1)


def test_the_index_says_what_is_there(zoo: Path, run: Path) -> None:
    add_run(zoo, run, "second")
    listed = json.loads((zoo / INDEX).read_text())["models"]
    assert list(listed) == ["little", "second"]
    for name, told in listed.items():
        assert told["sha256"] == hashlib.sha256((zoo / name / SUMS).read_bytes()).hexdigest()
    catalogue.remove(zoo, "second")
    assert list(json.loads((zoo / INDEX).read_text())["models"]) == ["little"]
    assert [model.name for model in entries(zoo)[0]] == ["little"]


QUERIES: list[tuple[str, dict[str, Any], bool]] = [
    ("8x8 grey, 10 classes", {}, True),
    ("8x8x1", {}, True),
    ("tiny digits", {}, True),
    ("64 features", {}, True),
    ("", {"size": "8x8"}, True),
    ("", {"size": "64", "classes": 10, "task": "image-classification"}, True),
    ("28x28 grey", {}, False),
    ("8x8 rgb", {}, False),
    ("8x8, 5 classes", {}, False),
    ("letters", {}, False),
    ("", {"task": "tabular-classification"}, False),
]


@pytest.mark.parametrize(("words", "options", "there"), QUERIES, ids=range(len(QUERIES)))
def test_search(words: str, options: dict[str, Any], there: bool, zoo: Path) -> None:
    told = {"task": None, "size": None, "classes": None, **options}
    found = search(entries(zoo)[0], query_of(words.split(), **told))
    assert [model.name for model in found] == ["little"] * there


BAD_NAMES = ["", ".", "..", ".hidden", "A", "a/b", "a b", "../up", "a" * 65, "\u00e4"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names(name: str, zoo: Path, run: Path) -> None:
    with pytest.raises(ZooError) as caught:
        add_run(zoo, run, name or " ")
    assert str(caught.value) == (
        f"{name or ' '!r} is no name of a model; wanted up to 64 of a-z, 0-9, '.', '_' and '-', the first no '.'"
    )


def test_a_name_is_taken_once(zoo: Path, run: Path) -> None:
    with pytest.raises(ZooError, match="is there already; choose another --name, or replace it with --force"):
        add_run(zoo, run, "little")
    assert add_run(zoo, run, "little", force=True).card.licence == "unknown"
    assert verify(zoo, "little") == []


@pytest.mark.parametrize("damage", ["bit", "cut", "missing", "more", "link", "sums", "index"])
def test_verify_names_what_is_wrong(damage: str, zoo: Path) -> None:
    folder = zoo / "little"
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    assert verify(zoo, "little") == []
    if damage == "bit":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        weights.write_bytes(content[:-4])
    elif damage == "missing":
        weights.unlink()
    elif damage == "more":
        (folder / "extra.txt").write_text("x")
    elif damage == "link":
        weights.unlink()
        weights.symlink_to("/etc/hostname")
    elif damage == "sums":
        (folder / SUMS).write_text("{}")
    else:
        (zoo / INDEX).write_text("{}")
    wanted = {
        "bit": f"{weights}: its sha256 is not the one that was catalogued; add or pull the model again",
        "cut": f"{weights}: its sha256 is not the one that was catalogued; add or pull the model again",
        "missing": f"{weights}: missing; add or pull the model again",
        "more": f"{folder / 'extra.txt'}: is not of the model; remove it",
        "link": f"{weights}: not a plain file; remove the model and add it again",
        "sums": f"{folder / SUMS}: cannot be used; the model is damaged, add or pull it again",
        "index": f"{zoo / INDEX}: does not have the model as it is; add it again with --force",
    }
    assert verify(zoo, "little") == [wanted[damage]]


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; what is named in `cut` ends early, what is named in `wrong` has another last byte."""

    cut: str = ""
    wrong: str = ""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        if path.name == self.wrong:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if path.name == self.cut else content)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(zoo: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(zoo))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
    Handler.cut = Handler.wrong = ""


def contents(zoo: Path) -> list[str]:
    return sorted(path.name for path in zoo.iterdir() if path.name not in (INDEX, ".lock")) if zoo.is_dir() else []


@pytest.mark.parametrize("how", ["path", "file", "http"])
def test_pull_a_model_of_another_zoo(how: str, zoo: Path, server: str, tmp_path: Path) -> None:
    url = {"path": str(zoo / "little"), "file": f"file://{zoo}/little", "http": f"{server}/little"}[how]
    found, _ = pull(tmp_path / "mine", url, "copy", Wanted())
    assert (found.folder / "model.safetensors").read_bytes() == (zoo / "little" / "model.safetensors").read_bytes()
    assert contents(tmp_path / "mine") == ["copy"]
    assert verify(tmp_path / "mine", "copy") == []


@pytest.mark.parametrize("fault", ["cut", "wrong"])
@pytest.mark.parametrize("file", ["model.safetensors", "manifest.json", CARD])
def test_what_is_cut_short_or_wrong_leaves_nothing(fault: str, file: str, server: str, tmp_path: Path) -> None:
    setattr(Handler, fault, file)
    with pytest.raises(ZooError) as caught:
        pull(tmp_path / "mine", f"{server}/little", "copy", Wanted())
    assert f"{server}/little/{file}: " in str(caught.value)
    assert ("cannot be fetched" if fault == "cut" else "its sha256 is") in str(caught.value)
    assert contents(tmp_path / "mine") == []


def test_pull_what_is_not_there(server: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no model there; wanted a folder with"):
        pull(tmp_path / "mine", f"{server}/absent", None, Wanted())
    with pytest.raises(ZooError, match=r"absent\.safetensors: not found"):
        pull(tmp_path / "mine", f"{server}/absent.safetensors", None, Wanted())
    with pytest.raises(ZooError, match="wanted a path, or an address with http"):
        pull(tmp_path / "mine", "gopher://x/y", None, Wanted())
    assert contents(tmp_path / "mine") == []


def dense(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"layers.0.weight": (5, 6), "layers.0.bias": (5,), "head.weight": (2, 5), "head.bias": (2,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_hugging_face_folder_and_a_file_over_http(zoo: Path, server: str, tmp_path: Path) -> None:
    tensors = dense(np.random.default_rng(0))
    hub = zoo / "hub"
    hub.mkdir()
    (hub / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    (hub / "config.json").write_text(json.dumps({"hidden_act": "gelu", "id2label": {"0": "no", "1": "yes"}}))
    (hub / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    found, notes = pull(tmp_path / "mine", f"{server}/hub", None, Wanted(divide_by=255.0))
    assert (found.name, found.card.licence, found.card.classes) == ("hub", "mit", ("no", "yes"))
    assert "config.json says the activation: gelu" in notes
    kernel = found.checkpoint().model()["hidden1/kernel"]
    assert np.array_equal(kernel, tensors["layers.0.weight"].T)
    digest = hashlib.sha256((hub / "model.safetensors").read_bytes()).hexdigest()
    url = f"{server}/hub/model.safetensors"
    alone, _ = pull(tmp_path / "mine", url, "alone", Wanted(activation="relu"), sha256=digest)
    assert np.array_equal(alone.checkpoint().model()["hidden1/kernel"], kernel)
    with pytest.raises(ZooError, match="its sha256 is"):
        pull(tmp_path / "mine", url, "wrong", Wanted(activation="relu"), sha256="0" * 64)
    with pytest.raises(InteropError, match="does not say the activation of hidden1"):
        pull(tmp_path / "mine", url, "silent", Wanted())
    assert contents(tmp_path / "mine") == ["alone", "hub"]


def test_shards_and_archives(tmp_path: Path) -> None:
    tensors = dense(np.random.default_rng(0))
    parts = {"a.safetensors": [name for name in tensors if "layers" in name]}
    parts["b.safetensors"] = [name for name in tensors if "head" in name]
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    with zipfile.ZipFile(tmp_path / "shards.zip", "w") as archive:
        archive.writestr("model/model.safetensors.index.json", json.dumps(index))
        for file, names in parts.items():
            archive.writestr(f"model/{file}", save({name: tensors[name] for name in names}, metadata={"format": "pt"}))
    found, _ = pull(tmp_path / "mine", str(tmp_path / "shards.zip"), "shards", Wanted(activation="relu"))
    assert np.array_equal(found.checkpoint().model()["outputs/kernel"], tensors["head.weight"].T)
    assert contents(tmp_path / "mine") == ["shards"]


def test_the_verbs(run: Path, tmp_path: Path) -> None:
    def said(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["zoo", *words, "--zoo", str(tmp_path / "zoo")])
        assert done.exit_code == code, done.output
        return done.stdout

    assert said("add", str(run), "--name", "one", "--licence", "MIT") == "zoo:one\n"
    assert said("add", str(run), "--name", "two", "--card").startswith("---\nname: two\n")
    assert [model["name"] for model in json.loads(said("list", "--json"))] == ["one", "two"]
    assert said("search", "8x8", "grey").count("\n") == 3
    assert json.loads(said("show", "one", "--json"))["licence"] == "MIT"
    assert "## How to transfer from it" in said("show", "zoo:one")
    assert json.loads(said("verify", "--json")) == {"valid": True, "models": {"one": [], "two": []}, "problems": []}
    assert json.loads(said("remove", "two", "--json")) == {"removed": str(tmp_path / "zoo" / "two")}
    assert json.loads(said("pull", str(tmp_path / "zoo" / "one"), "--name", "three", "--json"))["task"]
    assert said("list").count("\n") == 3
