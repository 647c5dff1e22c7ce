from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from dnnrun.data.picture import as_filter, as_image, png
from dnnrun.data.source import Places
from dnnrun.evaluation import evaluate
from dnnrun.report.content import content_of
from dnnrun.report.page import html_of, markdown_of
from dnnrun.report.predicted import of_labels, of_numbers
from dnnrun.report.score import calibrated, roc
from dnnrun.spec.load import load_mapping
from tests.mixedtable import mixed
from tests.smallruns import small, trained

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> dict[str, Any]:
    """Two runs, one of them watched."""
    folder = tmp_path_factory.mktemp("runs")
    first = trained(small("name=watched", "train.watch={steps: 5}"), folder, compiled)
    second = trained(small("name=plain", "model.activation=tanh", "train.epochs=2"), folder, compiled)
    return content_of([first.run, second.run, folder / "watched"], Places())


def test_what_is_gathered(content: dict[str, Any]) -> None:
    assert [run["label"] for run in content["runs"]] == ["watched", "plain"]
    watched, plain = content["runs"]
    assert watched["signals"]["steps"] == [0, 5, 10, 15, 20, 25]
    assert watched["signals"]["layers"] == ["hidden1", "outputs"]
    assert plain["signals"] is None
    assert watched["score"]["examples"] == 359
    assert watched["score"]["accuracy"] == pytest.approx(watched["final"]["test.accuracy"])
    whole = evaluate(watched["path"])
    assert whole.confusion is not None
    assert watched["score"]["confusion"] == whole.confusion.tolist()
    assert watched["score"]["calibration"]["error"] == pytest.approx(whole.metrics["calibration_error"], rel=1e-4)
    assert {"key": "model.activation.type", "values": ["elu", "tanh"]} in content["diff"]


def test_roc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    probability = rng.dirichlet([1, 1, 1], 200)
    probability[:50] = probability[0]  # ties
    for kind, curve in enumerate(roc(probability, labels)):
        assert curve is not None
        assert curve["area"] == pytest.approx(roc_auc_score(labels == kind, probability[:, kind]))
        assert curve["false"][0] == curve["true"][0] == 0
        assert curve["false"][-1] == curve["true"][-1] == 1


def test_calibration() -> None:
    probability = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.35, 0.65]])
    found = calibrated(probability, np.array([0, 1, 1, 1]))
    assert found["error"] == pytest.approx((0.45 + 0.35) / 2)
    assert [entry and entry["accuracy"] for entry in found["bins"]] == [None] * 9 + [1.0] + [None] * 4 + [0.5]


def test_a_picture_is_a_png() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    content = png(pixels)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    size = int.from_bytes(content[33:37], "big")
    raw = np.frombuffer(zlib.decompress(content[41 : 41 + size]), np.uint8).reshape(3, 5)
    assert (raw[:, 0] == 0).all()
    assert (raw[:, 1:] == pixels).all()
    assert as_image(np.array([0.0, 16.0]), (1, 2, 1), 16.0).tolist() == [[255, 0]]
    assert as_filter(np.array([-1.0, 0.0, 1.0]), (1, 3, 1)).tolist() == [[[33, 102, 172], [255] * 3, [178, 24, 43]]]


def test_the_page_needs_nothing_else(content: dict[str, Any]) -> None:
    page = html_of({**content, "runs": [{**content["runs"][0], "label": "</script><b>&"}, content["runs"][1]]})
    # The namespace of SVG is a name; nothing is fetched from it.
    assert re.findall(r"https?://[^\"' )]+", page.replace("http://www.w3.org/2000/svg", "")) == []
    assert "@DATA@" not in page
    assert page.count("</script>") == 2
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data)["runs"][0]["label"] == "</script><b>&"
    assert len(page) < 1_000_000


def test_markdown(content: dict[str, Any]) -> None:
    text = markdown_of(content)
    assert "| run | status | seed | epochs |" in text
    assert "| model.activation.type | elu | tanh |" in text


PROBE = """<script>
addEventListener("load", () => {
  const all = x => [...document.querySelectorAll(x)], count = () => all("#curves path.curve").length;
  const found = {curves: count(), heat: all("svg.heat rect").length, rows: all("table.matrix tbody tr").length};
  const key = all("#curves button.key")[0];
  key.click(); found.less = count(); found.pressed = key.getAttribute("aria-pressed");
  key.click(); found.again = count();
  const dark = document.documentElement.classList.contains("dark");
  document.getElementById("theme").click(); found.turned = document.documentElement.classList.contains("dark") !== dark;
  const chart = all("#curves svg[role=img]")[0];
  chart.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
  found.tip = document.getElementById("tip").textContent;
  const run = all("#predictions select")[0]; run.value = "1"; run.dispatchEvent(new Event("change"));
  found.pictures = all("figure img").length; found.alt = all("img:not([alt])").length;
  found.wide = document.documentElement.scrollWidth > innerWidth;
  document.body.append(Object.assign(document.createElement("pre"), {id: "probe", textContent: JSON.stringify(found)}));
});
</script>"""


def in_browser(content: dict[str, Any], probe: str, folder: Path, width: int = 1200) -> dict[str, Any]:
    """What the script `probe` leaves in an element of that name; the console must be silent."""
    page = folder / "report.html"
    page.write_text(html_of(content).replace("</body>", probe + "</body>"))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --enable-logging=stderr --window-size={width},900"
    command = [str(CHROMIUM), *flags.split(), f"--user-data-dir={folder / 'profile'}", "--dump-dom", f"file://{page}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    (found,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout)
    return json.loads(found)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> dict[str, Any]:
    """A run of a regression, and one of labels."""
    folder = tmp_path_factory.mktemp("others")
    numbers = trained(small("name=numbers", "data.source=diabetes", "train.epochs=20"), folder, compiled)
    wine = small("name=labels", "data.source=wine", "data.task=multilabel", "train.epochs=20", "train.batch_size=20")
    return content_of([numbers.run, trained(wine, folder, compiled).run], Places())


def test_numbers_and_labels(others: dict[str, Any]) -> None:
    numbers, labels = (run["score"] for run in others["runs"])
    (target,) = numbers["targets"]
    assert len(target["true"]) == numbers["examples"] == sum(target["residuals"]["counts"])
    for metric in ("rmse", "mae", "r2"):
        assert target[metric] == pytest.approx(others["runs"][0]["final"][f"test.{metric}"], rel=1e-4)
    away = [abs(entry["true"] - entry["predicted"]) for entry in numbers["mistakes"]]
    assert away == sorted(away, reverse=True)
    assert max(abs(a - b) for a, b in zip(target["true"], target["predicted"], strict=True)) == pytest.approx(away[0])
    assert labels["accuracy"] == pytest.approx(others["runs"][1]["final"]["test.accuracy"])
    assert [label["name"] for label in labels["labels"]] == ["class_0", "class_1", "class_2"]
    assert sum(label["support"] for label in labels["labels"]) == labels["examples"]
    text = markdown_of(others)
    assert "|  | rmse | mae | r2 |" in text
    assert "|  | support | accuracy | precision | recall | f1 | area |" in text


@pytest.mark.parametrize(("target", "metric"), [("spend", "rmse"), ("churn", "accuracy")])
@pytest.mark.parametrize("only", [["age", "income", "visits"], []], ids=["numbers alone", "mixed columns"])
def test_a_table_is_scored_as_the_run_was(
    target: str, metric: str, only: list[str], tmp_path: Path, compiled: Path
) -> None:
    mixed(500).select([*only, target] if only else pl.all()).write_csv(tmp_path / "t.csv")
    drop = [] if only else ["id", "churn" if target == "spend" else "spend"]
    source = {"type": "csv", "path": str(tmp_path / "t.csv"), "target": target, "test": 0.2, "ignore": drop}
    network = {"model": {"hidden": [8]}, "train": {"epochs": 2, "batch_size": 50}}
    spec = load_mapping({"name": "table", "data": {"source": source}, **network})
    (run,) = content_of([trained(spec, tmp_path / "runs", compiled).run], Places())["runs"]
    told = run["score"]["targets"][0] if target == "spend" else run["score"]
    assert told[metric] == pytest.approx(run["final"][f"test.{metric}"], rel=1e-5)


def test_scores_of_labels_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    true = (rng.random((300, 3)) < [0.2, 0.5, 0.0]).astype(np.float32)
    outputs = true + rng.normal(size=(300, 3))
    outputs[:, 2] = -1  # never there, and never said
    found = of_labels(outputs, true, ["a", "b", "c"])
    known: Any = precision_recall_fscore_support(true, outputs > 0, zero_division=0)  # type: ignore[arg-type]
    precision, recall, f1, support = known
    for at, label in enumerate(found["labels"]):
        assert label["support"] == support[at]
        assert label["precision"] == pytest.approx(precision[at])
        assert label["recall"] == pytest.approx(recall[at])
        assert label["f1"] == pytest.approx(f1[at])
        assert label["area"] == (pytest.approx(roc_auc_score(true[:, at], outputs[:, at])) if at < 2 else None)
    assert found["accuracy"] == pytest.approx(((outputs > 0) == true).all(1).mean())


def test_of_many_targets_some_are_drawn() -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(size=(1000, 14)).astype(np.float32)
    found = of_numbers(true + 1, true, [f"t{n}" for n in range(14)])
    assert [target["name"] for target in found["targets"]] == [f"t{n}" for n in range(12)]
    assert found["left_out"] == 2
    assert len(found["targets"][0]["true"]) == 800
    assert found["targets"][0]["rmse"] == pytest.approx(1, rel=1e-5)
    flat = of_numbers(true[:, :1], np.ones((1000, 1), np.float32), ["flat"])
    assert flat["targets"][0]["r2"] == 0


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_numbers_and_labels_in_a_browser(others: dict[str, Any], tmp_path: Path) -> None:
    found = in_browser(others, OTHERS, tmp_path)
    assert found["dots"] == others["runs"][0]["score"]["examples"]
    assert found["bars"] == sum(count > 0 for count in others["runs"][0]["score"]["targets"][0]["residuals"]["counts"])
    assert found["curves"] == 3
    assert found["labels"] == ["class_0", "class_1", "class_2"]
    assert not found["wide"]


OTHERS = """<script>
addEventListener("load", () => {
  const all = x => [...document.querySelectorAll("#predictions " + x)];
  const found = {dots: all("circle.dot").length, bars: all("rect.count").length};
  const run = all("select")[0]; run.value = "1"; run.dispatchEvent(new Event("change"));
  found.curves = all("path.curve").length;
  found.labels = [...all("table")[0].querySelectorAll("tbody td:first-child")].map(c => c.textContent);
  found.wide = document.documentElement.scrollWidth > innerWidth;
  document.body.append(Object.assign(document.createElement("pre"), {id: "probe", textContent: JSON.stringify(found)}));
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("width", [1200, 500])
def test_in_a_browser(content: dict[str, Any], tmp_path: Path, width: int) -> None:
    found = in_browser(content, PROBE, tmp_path, width)
    assert found["curves"] == 10
    assert found["less"] == 5
    assert found["pressed"] == "false"
    assert found["again"] == 10
    assert found["heat"] == 12
    assert found["rows"] == 10
    assert found["turned"]
    assert found["tip"].startswith("epoch ")
    assert found["pictures"] == 24
    assert found["alt"] == 0
    assert not found["wide"]
