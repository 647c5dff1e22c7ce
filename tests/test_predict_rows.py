"""Predictions of arrays and of folders of images: those of the rows themselves, in their order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from dnnrun.data.source import Places, Source
from dnnrun.errors import DataError
from dnnrun.evaluation import evaluate
from dnnrun.predictions import predict_files, write
from dnnrun.trained import Trained, load
from tests.smallruns import finished, small, trained


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    """A run on the digits, and its test rows as files."""
    folder = tmp_path_factory.mktemp("place")
    trained(small(), folder / "runs", compiled)
    test = Source.parse("digits").read(Places()).test
    assert test is not None
    np.save(folder / "x.npy", test.features)
    np.save(folder / "images.npy", test.features.reshape(-1, 8, 8) * 1.0)
    np.savez(folder / "rows.npz", x=test.features, y=test.labels)
    np.savez(folder / "others.npz", x=test.features, y=test.labels + 5)
    np.save(folder / "holes.npy", np.where(np.arange(64) == 3, np.nan, test.features))
    for number in range(40):
        pixels = np.round(test.features[number].reshape(8, 8) * (255 / 16)).astype(np.uint8)
        path = folder / "images" / str(test.labels[number]) / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture(scope="module")
def network(place: Path) -> Trained:
    return load(place / "runs" / "small")


def told(network: Trained, path: Path, proba: bool = False) -> pl.DataFrame:
    return pl.concat(list(predict_files(network, [str(path)], proba=proba)))


@pytest.mark.parametrize("name", ["x.npy", "images.npy", "rows.npz"])
def test_arrays(name: str, place: Path, network: Trained) -> None:
    x = np.load(place / "x.npy")
    found = told(network, place / name, proba=True)
    np.testing.assert_array_equal(found["prediction"].to_numpy(), network.predict(x))
    np.testing.assert_allclose(found.drop("prediction").to_numpy(), network.predict_proba(x), rtol=1e-6)
    assert found.columns[1] == "probability_0"


def test_images_stand_beside_their_paths(place: Path, network: Trained, tmp_path: Path) -> None:
    """Their white is 255, that of the digits 16."""
    found = told(network, place / "images")
    files = sorted((place / "images").rglob("*.png"))
    assert found["file"].to_list() == [str(file.relative_to(place / "images")) for file in files]
    numbers = [int(file.stem) for file in files]
    wanted = network.predict(np.load(place / "x.npy"))[numbers]
    assert (found["prediction"].to_numpy() == wanted).mean() > 0.97  # pixels were rounded
    write(predict_files(network, [str(place / "images")]), tmp_path / "p.parquet")
    assert pl.read_parquet(tmp_path / "p.parquet").equals(found)


def test_evaluated_on_files_is_evaluated_on_the_rows(place: Path) -> None:
    run = place / "runs" / "small"
    whole, rows = evaluate(run), evaluate(run, data=place / "rows.npz")
    assert rows.examples == whole.examples
    assert rows.metrics["loss"] == pytest.approx(whole.metrics["loss"], rel=1e-6)
    assert evaluate(run, data=place / "images").examples == 40


def test_what_cannot_be_predicted(place: Path, network: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    Path("table.csv").write_text("a,b\n1,2\n")
    bad = {
        "holes.npy": "holes.npy: row 1, column 4 holds nan, wanted a number; fill in or drop what is missing",
        "absent.npy": "absent.npy: not found (. has holes.npy, images.npy, x.npy); correct the path",
        "table.csv": "table.csv: no array or image; wanted a .npy, .npz or IDX file, an image, or a folder of images, "
        "since the network was not trained on a table with columns",
    }
    for name, message in bad.items():
        with pytest.raises(DataError) as caught:
            told(network, Path(name))
        assert str(caught.value) == message
    for split in ("train", "test"):
        (place / "all" / split / "0").mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError, match="all: holds test, train; name one of them, as all/test"):
        predict_files(network, ["all"])
    with pytest.raises(DataError, match="--id: arrays and images have no columns; leave it out"):
        predict_files(network, ["x.npy"], id="a")
    with pytest.raises(DataError, match=r"--output: x.npy: wanted a name that ends in .csv, .tsv or .parquet"):
        write(predict_files(network, ["x.npy"]), Path("x.npy"))
    with pytest.raises(DataError, match=r"x.npy: has no labels; name their file with --labels"):
        evaluate("runs/small", data="x.npy")
    with pytest.raises(
        DataError, match=r"others.npz: labels of 10, which is no class of the network; it tells 0, 1, 2"
    ):
        evaluate("runs/small", data="others.npz")


def test_labels_in_a_file_of_their_own(place: Path, network: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    rows = np.load("rows.npz")
    np.save("own.npy", rows["x"])
    np.save("labels.npy", rows["y"])
    apart, together = (
        evaluate("runs/small", data="own.npy", labels="labels.npy"),
        evaluate("runs/small", data="rows.npz"),
    )
    assert apart.metrics == together.metrics
    np.save("few.npy", rows["y"][:5])
    with pytest.raises(DataError, match=r"few.npy: labels of shape 5; wanted 359, one for each row"):
        evaluate("runs/small", data="own.npy", labels="few.npy")
    with pytest.raises(DataError, match="--labels: they are those of --data; name its file too"):
        evaluate("runs/small", labels="labels.npy")
    with pytest.raises(DataError, match=r"nothing.npy: not found"):
        evaluate("runs/small", data="own.npy", labels="nothing.npy")


def test_as_a_person_does(place: Path, compiled: Path) -> None:
    done = finished(compiled, "predict", "runs/small", "images", "-o", "p.csv", "--proba", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "40 predictions in p.csv" in done.stderr
    assert len((place / "p.csv").read_text().splitlines()) == 41
    done = finished(compiled, "eval", "runs/small", "--data", "rows.npz", "--json", cwd=place)
    assert json.loads(done.stdout)["examples"] == 359
    done = finished(compiled, "predict", "runs/small", "holes.npy", cwd=place)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    done = finished(compiled, "predict", "runs/small", "rows.npz", "-o", f"{'a' * 300}.csv", cwd=place)
    assert (done.returncode, done.stderr) == (2, f"error: {'a' * 300}.csv: File name too long\n")


STRUCK = """
import os
from dnnrun.cli.app import main
from dnnrun.trained import Trained

told = Trained.told


def struck(self, *arguments):
    try:
        os.kill(os.getpid(), NUMBER)
    except KeyboardInterrupt:  # as a callback of a library does, JAX's of the garbage collector
        pass
    return told(self, *arguments)


Trained.told = struck
main()
"""


@pytest.mark.parametrize("output", ["p.csv", "p.parquet"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_half_written(
    output: str, number: int, code: int, place: Path, tmp_path: Path, compiled: Path
) -> None:
    (tmp_path / output).write_text("what was there")
    words = ["predict", str(place / "runs" / "small"), str(place / "x.npy"), "-o", output]
    done = subprocess.run(
        [sys.executable, "-c", STRUCK.replace("NUMBER", str(int(number))), *words],
        cwd=tmp_path,
        env={**os.environ, "DNNRUN_COMPILE_CACHE": str(compiled)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert [path.name for path in tmp_path.iterdir()] == [output]
    assert (tmp_path / output).read_text() == "what was there"
