from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from dnnrun.data.picture import as_filter, as_image, png
from dnnrun.data.source import Places
from dnnrun.report.content import content_of
from dnnrun.report.page import html_of, markdown_of
from dnnrun.report.score import calibration, confusion, roc
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
    assert sum(map(sum, watched["score"]["confusion"])) == 359
    assert {"key": "model.activation.type", "values": ["elu", "tanh"]} in content["diff"]


def test_confusion_and_roc_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    probability = rng.dirichlet([1, 1, 1], 200)
    probability[:50] = probability[0]  # ties
    assert confusion(probability, labels) == confusion_matrix(labels, probability.argmax(1)).tolist()
    for kind, curve in enumerate(roc(probability, labels)):
        assert curve is not None
        assert curve["area"] == pytest.approx(roc_auc_score(labels == kind, probability[:, kind]))
        assert curve["false"][0] == curve["true"][0] == 0
        assert curve["false"][-1] == curve["true"][-1] == 1


def test_calibration() -> None:
    probability = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.35, 0.65]])
    found = calibration(probability, np.array([0, 1, 1, 1]))
    assert found["error"] == pytest.approx((0.45 + 0.35) / 2)
    assert [entry and entry["accuracy"] for entry in found["bins"]] == [None] * 6 + [1.0, None, None, 0.5]


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
  const chart = all("#curves svg")[0];
  chart.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
  found.tip = document.getElementById("tip").textContent;
  const run = all("#predictions select")[0]; run.value = "1"; run.dispatchEvent(new Event("change"));
  found.pictures = all("figure img").length; found.alt = all("img:not([alt])").length;
  found.wide = document.documentElement.scrollWidth > innerWidth;
  document.body.append(Object.assign(document.createElement("pre"), {id: "probe", textContent: JSON.stringify(found)}));
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("width", [1200, 500])
def test_in_a_browser(content: dict[str, Any], tmp_path: Path, width: int) -> None:
    page = tmp_path / "report.html"
    page.write_text(html_of(content).replace("</body>", PROBE + "</body>"))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --enable-logging=stderr --window-size={width},900"
    command = [str(CHROMIUM), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{page}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout)
    found = json.loads(probe)
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
