"""The spec that `dnnrun new` writes: what is found in a table, that it loads, and that it trains untouched."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from dnnrun.cli.app import app
from dnnrun.data.source import Places
from dnnrun.data.table.csv import Form
from dnnrun.errors import DataError, DnnrunError
from dnnrun.proposal import propose
from dnnrun.spec.load import load
from dnnrun.spec.sections import Spec
from tests.data.idxfile import idx_bytes
from tests.smallruns import trained

ROWS = 200


def loaded(text: str, folder: Path) -> Spec:
    file = folder / "new.yaml"
    file.write_text(text)
    return load(file)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    size = rng.normal(size=ROWS)
    path = tmp_path / "of houses: 1.csv"
    pl.DataFrame(
        {
            "house id": np.arange(ROWS) + 7,
            "size": size,
            "town": rng.choice(["Rome", "Oslo, West", 'the "old"'], ROWS),
            "sold": rng.random(ROWS) < 0.5,
            "note": [f"text {number} of its own" for number in range(ROWS)],
            "gaps": [None if number % 3 else float(number) for number in range(ROWS)],
            "same": ["x"] * ROWS,
            "dear: true?": np.where(size > 0.3, "yes", "no"),
            "tax": np.where(size > 0.3, 9, 1),
        }
    ).write_csv(path)
    return path


def test_a_spec_says_what_was_found_and_loads(table: Path, tmp_path: Path) -> None:
    found = propose(str(table), ["dear: true?"])
    assert (found.name, found.task, found.rows) == ("of-houses-1", "classification", ROWS)
    assert "# dnnrun train of-houses-1.yaml" in found.text.splitlines()
    assert found.ignored == ("note",)
    assert found.suspicious == ("tax",)
    assert found.features == ("size", "town", "sold", "gaps", "same", "tax")
    spec = loaded(found.text, tmp_path)
    source = spec.data.source.model_dump()
    assert (source["target"], source["id"], source["ignore"]) == (("dear: true?",), "house id", ("note",))
    assert spec.eval.baseline
    for comment in (
        "# numbers: size, gaps, tax",
        "# categories: town",
        "# true and false: sold",
        "# missing values, share of rows: gaps (0.67)",
        "    # empty, or the same in every row: left out by itself: same",
        "    # tells the target all by itself; ignore it if it is known only afterwards: tax",
    ):
        assert comment in found.text.splitlines()


@pytest.mark.parametrize(
    ("targets", "task"),
    [(["size"], "regression"), (["sold"], "classification"), (["size", "tax"], "regression")],
)
def test_the_task_is_read_off_the_target(targets: list[str], task: str, table: Path, tmp_path: Path) -> None:
    found = propose(str(table), targets, ignore=["gaps"])
    spec = loaded(found.text, tmp_path)
    assert (found.task, spec.data.task) == (task, task)
    assert spec.data.source.model_dump()["target"] == tuple(targets)
    assert "gaps" not in found.features


def test_the_spec_trains_untouched(table: Path, tmp_path: Path, compiled: Path) -> None:
    found = propose(str(table), ["dear: true?"], ignore=["tax"])
    spec = loaded(found.text, tmp_path)
    result = trained(spec, tmp_path, compiled, places=Places())
    assert result.metrics["test"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("targets", "ignore", "message"),
    [
        ([], [], "say which column is to be predicted, as --target 'tax'; it has house id, size, town, sold"),
        (["siez"], [], "has no column 'siez'; did you mean 'size'?"),
        (["same"], [], "the target 'same' is 'x' in every row, one class"),
        (["gaps"], [], "the target 'gaps' is missing; rows like it: 133; fill it in, or drop them"),
        (["note"], [], "has 200 different values in 200 rows, too many for classes"),
        (["size"], ["twon"], "has no column 'twon'; did you mean 'town'?"),
        (["size"], ["town", "sold", "gaps", "tax", "dear: true?"], "no column is left to learn from beside size"),
    ],
)
def test_what_cannot_be_proposed(targets: list[str], ignore: list[str], message: str, table: Path) -> None:
    with pytest.raises(DataError) as caught:
        propose(str(table), targets, ignore=ignore)
    assert message in str(caught.value)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A table long enough that numbers in it can be those of its rows, with days and weights."""
    rng = np.random.default_rng(1)
    path = tmp_path / "long.csv"
    pl.DataFrame(
        {
            "turn": rng.permutation(1000) + 1,
            "worth": rng.permutation(2000)[:1000],
            "day": np.datetime64("2020-01-01") + rng.integers(0, 900, 1000).astype("timedelta64[D]"),
            "counts": rng.integers(1, 4, 1000),
            "kind": rng.choice(["a", "b"], 1000),
        }
    ).write_csv(path)
    return path


def test_numbers_of_rows_are_an_id_by_what_they_hold(long: Path, tmp_path: Path) -> None:
    found = propose(str(long), ["kind"], weights="counts")
    source = loaded(found.text, tmp_path).data.source.model_dump()
    assert (source["id"], source["weights"], found.features) == ("turn", "counts", ("worth", "day"))


def test_a_file_of_test_rows_leaves_all_others_to_train_on(long: Path, tmp_path: Path) -> None:
    found = propose(str(long), ["kind"], test=str(long))
    spec = loaded(found.text, tmp_path)
    assert spec.data.source.model_dump()["test"] == (str(long),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["day"]}, "the target 'day' holds 602 different dates, wanted classes or numbers"),
        ({"targets": ["kind"], "row_id": "trun"}, "has no column 'trun'; did you mean 'turn'?"),
        ({"targets": ["kind"], "weights": "count"}, "has no column 'count'; did you mean 'counts'?"),
        ({"targets": ["kind"], "test": "none.csv"}, "none.csv: not found"),
    ],
)
def test_what_is_not_in_the_table(options: dict[str, Any], message: str, long: Path) -> None:
    with pytest.raises(DataError) as caught:
        propose(str(long), **options)
    assert message in str(caught.value)


def digits(folder: Path, **images: int) -> Path:
    """A folder of so many images a class of each split (train, test), the classes told apart by their brightness."""
    rng = np.random.default_rng(2)
    for split, count in images.items():
        for kind, bright in (("dark", 60), ("light", 180)):
            place = folder / split / kind
            place.mkdir(parents=True)
            for number in range(count):
                pixels = (bright + rng.integers(0, 60, (8, 8))).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


def test_images_by_class(tmp_path: Path, compiled: Path) -> None:
    found = propose(str(digits(tmp_path / "photos", train=30, test=10)))
    assert (found.name, found.task, found.rows) == ("photos", "classification", 60)
    assert "60 images, 8 x 8 grey. Predicts the folder: 2 classes: dark (30), light (30)" in found.text
    spec = loaded(found.text, tmp_path)
    assert spec.data.validation == 0
    assert trained(spec, tmp_path, compiled, places=Places()).metrics["test"]["accuracy"] == 1


def test_images_of_several_sizes_and_no_test(tmp_path: Path) -> None:
    folder = digits(tmp_path / "photos", train=3) / "train"
    Image.fromarray(np.zeros((300, 150, 4), np.uint8)).save(folder / "dark" / "more.png")
    found = propose(str(folder), name="of-mine")
    spec = loaded(found.text, tmp_path)
    source = spec.data.source.model_dump()
    assert (source["mode"], source["size"], source["background"]) == ("rgb", (8, 8), "white")
    assert (spec.name, spec.data.validation) == ("of-mine", 0.2)


def test_photographs_are_upright_as_they_are_when_trained_on(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = digits(tmp_path / "photos", train=3) / "train"
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(folder / "dark" / "0.jpg", exif=exif)
    assert "7 images, of 2 sizes, most of them 8 x 8 grey" in propose(str(folder)).text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4), np.uint16), "pixels of more than 8 bits (I;16), wanted 8; convert it"),
        (np.zeros((9500, 9500), bool), "9,500 x 9,500 pixels, wanted at most 89,478,485 in all; make it smaller"),
    ],
)
def test_images_that_training_refuses(pixels: np.ndarray, message: str, tmp_path: Path) -> None:
    folder = digits(tmp_path / "photos", train=3) / "train"
    Image.fromarray(pixels).save(folder / "light" / "odd.png")
    with pytest.raises(DataError) as caught:
        propose(str(folder))
    assert str(caught.value) == f"{folder}/light/odd.png: {message}"


def test_files_of_arrays_and_folders_where_data_is_looked_for(tmp_path: Path) -> None:
    digits(tmp_path / "photos", train=3)
    for part in range(2):
        np.savez(tmp_path / f"part-{part}.npz", x=np.arange(20).reshape(10, 2), y=np.arange(10) % 2)
    places = Places(folders=(tmp_path,))
    assert propose("photos/train", places=places).rows == 6
    found = propose("part-*.npz", places=places)
    assert (found.rows, loaded(found.text, tmp_path).data.source.model_dump()["path"]) == (20, "part-*.npz")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("iris", "iris: no file, but a source that is known by its name; write a spec with data: {source: iris}, or "),
        ("csv", "csv: not found (. has x-idx); correct the path"),
        ("one.png", "one.png: one image; wanted a folder that holds a folder of images for each class"),
        ("x-idx", "x-idx: one IDX file, and a spec wants labels too; write data: {source: {type: idx, features: x-idx"),
        ("nowhere.npy", "nowhere.npy: not found (. has x.npy); correct the path"),
        ("x.npy", "x.npy: one array, and a spec wants labels too; save both as numpy.savez('data.npz', x=x, y=y)"),
        ("*.npz", "*.npz: no file fits this pattern; correct it"),
    ],
)
def test_what_no_spec_can_be_written_for(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save("one.png")
    Path("x-idx").write_bytes(idx_bytes(np.zeros((4, 2), np.uint8)))
    np.save("x.npy", np.zeros((4, 2)))
    with pytest.raises(DataError) as caught:
        propose(path)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("names", "targets", "options"),
    [
        (("x_train", "y_train", "x_test", "y_test"), [], {"features": "x_train", "labels": "y_train"}),
        (("x", "kinds", "X_TEST", "kinds2"), ["kinds"], {"features": "x", "labels": "kinds", "test_features": None}),
        (("rows", "what"), ["what"], {"features": "rows", "labels": "what"}),
    ],
)
def test_arrays_by_their_names(
    names: tuple[str, ...], targets: list[str], options: dict[str, Any], tmp_path: Path, compiled: Path
) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 5))
    arrays = [x, (x[:, 0] > 0).astype(int), x[:40], (x[:40, 0] > 0).astype(int)]
    np.savez(tmp_path / "a.npz", **dict(zip(names, arrays, strict=False)))
    found = propose(str(tmp_path / "a.npz"), targets)
    spec = loaded(found.text, tmp_path)
    source = spec.data.source.model_dump()
    assert {key: source[key] for key in options} == options
    assert (spec.data.validation == 0) == (source["test_features"] is not None)
    result = trained(spec, tmp_path, compiled, places=Places())
    measured = result.metrics.get("test") or result.metrics["validation"]
    assert measured["accuracy"] > 0.8


def test_an_array_is_the_one_that_is_called_so(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(size=(80, 5))
    y = (x[:, 0] > 0).astype(int)
    np.savez(tmp_path / "a.npz", X=x + 1, x=x, Y=y + 5, y=y, x_val=x[:9], y_val=y[:9])
    for targets, features, labels, unused in (
        ([], "x", "y", "X, Y, x_val, y_val"),
        (["Y"], "x", "Y", "X, y, x_val, y_val"),
    ):
        found = propose(str(tmp_path / "a.npz"), targets)
        source = loaded(found.text, tmp_path).data.source.model_dump()
        assert (source["features"], source["labels"]) == (features, labels)
        assert f"    # not used: {unused}\n" in found.text


def test_a_name_that_no_run_can_have(long: Path) -> None:
    done = CliRunner().invoke(app, ["new", str(long), "--target", "y", "--name", "../x"])
    assert done.exit_code == 2
    assert "--name ../x: wanted 1 to 64 letters, digits, '.', '_' and '-'" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.npz", {}, "no array of labels that is known by its name; say which one it is with --target, of p, q, r"),
        ("a.npz", {"targets": ["z"]}, "no array 'z'; say which one it is with --target, of p, q, r"),
        ("a.npz", {"targets": ["p"]}, "no array of features that is known by its name; call one of q, r x"),
        ("a.npz", {"targets": ["p", "q"]}, "--target p --target q: wanted one array; its columns are the targets"),
        ("a.npz", {"row_id": "p"}, "--id: of a table alone, and"),
        ("a.npy", {}, "one array, and a spec wants labels too; save both as numpy.savez"),
        ("photos/train", {"targets": ["dark"]}, "--target: of a table alone, and"),
        ("photos/train/dark", {}, "a file beside the folders of the classes"),
        ("one", {}, "one class, 'dark'; wanted a folder for each of two or more"),
        ("none.npz", {}, "not found"),
    ],
)
def test_what_no_spec_is_proposed_for(path: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", p=np.zeros(3), q=np.zeros((3, 2)), r=np.zeros((3, 2)))
    np.save(tmp_path / "a.npy", np.zeros(3))
    digits(tmp_path / "photos", train=2)
    (tmp_path / "one").mkdir()
    shutil.copytree(tmp_path / "photos" / "train" / "dark", tmp_path / "one" / "dark")
    with pytest.raises(DataError) as caught:
        propose(str(tmp_path / path), **options)
    assert message in str(caught.value)


def test_the_command_writes_once_and_tells_as_json(table: Path, tmp_path: Path) -> None:
    spec = tmp_path / "my.yaml"
    line = ["new", str(table), "--target", "dear: true?", "-o", str(spec)]
    first = CliRunner().invoke(app, [*line, "--json"])
    told = json.loads(first.stdout)
    assert told["spec"] == spec.read_text()
    assert told["output"] == str(spec)
    assert told["suspicious"] == ["tax"]
    again = CliRunner().invoke(app, line)
    assert again.exit_code == 2
    assert "is there already; choose another name, or --force to replace it" in " ".join(again.output.split())
    assert CliRunner().invoke(app, [*line, "--force"]).exit_code == 0


def test_runs_are_called_like_the_file_that_the_spec_is_saved_to(table: Path, tmp_path: Path) -> None:
    line = ["new", str(table), "--target", "size"]
    printed = CliRunner().invoke(app, line).stdout
    assert loaded(printed, tmp_path).name == "new"  # loaded saves it as new.yaml
    written = tmp_path / "my first.yaml"
    assert CliRunner().invoke(app, [*line, "-o", str(written)]).exit_code == 0
    assert load(written).name == "my-first"
    assert "# dnnrun train 'my first.yaml'" in written.read_text().splitlines()
    assert "predict runs/my-first NEW-ROWS" in written.read_text()
    named = CliRunner().invoke(app, [*line, "--name", "houses"]).stdout
    assert loaded(named, tmp_path).name == "houses"


def test_how_a_file_is_written_is_read_off_or_said(tmp_path: Path) -> None:
    path = tmp_path / "daten.csv"
    lines = [f"{'Köln' if row % 3 else '-'};{50 + row},5;{1000 + 13 * row},25" for row in range(60)]
    path.write_text("\n".join(["ort;fläche;preis", *lines]) + "\n", "latin-1")
    overrides = ("data.source.encoding=latin-1", "data.source.null=['-']")
    found = propose(str(path), ["preis"], overrides=overrides)
    for line in ('encoding: "latin-1"', 'null: ["-"]', 'decimal: ","  # as in fläche, preis'):
        assert f"    {line}\n" in found.text
    assert found.task == "regression"
    source = loaded(found.text, tmp_path).data.source
    assert source.form() == Form(decimal=",", encoding="latin-1", null=("-",))  # type: ignore[attr-defined]
    assert "# missing values, share of rows: ort (0.33)" in found.text


def test_thousands_are_no_decimals(tmp_path: Path) -> None:
    path = tmp_path / "amounts.tsv"
    path.write_text("a\tamount\ty\n" + "".join(f"{row}\t{1000 + row:,}\t{'pq'[row % 2]}\n" for row in range(60)))
    assert "decimal:" not in propose(str(path), ["y"]).text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=3", "train.epochs=3: new takes data.source.separator, data.source.decimal"),
        ("data.source.path=b.csv", "data.source.path=b.csv: new takes data.source.separator"),
        ("data.source.header=no", "data.source.header: found 'no' (a text), wanted true or false"),
    ],
)
def test_what_new_is_not_told(override: str, message: str, table: Path) -> None:
    with pytest.raises(DnnrunError, match=re.escape(message)):
        propose(str(table), ["kind"], overrides=[override])


def test_what_differs_in_every_row_tells_nothing_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("a,b,y\n" + "".join(f"{row * 0.7},{'uv'[row % 2]},{'pq'[row % 2]}\n" for row in range(10)))
    assert propose(str(path), ["y"]).suspicious == ("b",)
