"""The verb transfer as a process, in the forms that people type."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dnnrun
from dnnrun.errors import TransferError
from dnnrun.spec.load import load
from dnnrun.store.find import find_checkpoint
from tests.smallruns import environment, finished, trained
from tests.transfer.sources import layers_equal, model_of

CLIP = """\
data: {source: digits, validation: 0.2, limit: 200}
model: {hidden: [12, 10, 8, 8, 8], activation: elu}
train: {optimizer: {type: adam, learning_rate: 0.01}, batch_size: 20, epochs: 2}
"""
NEW = CLIP.replace("8, 8, 8", "8, 6")
SECTION = "transfer: {from: runs/clip, reuse: 'hidden[123]', train: 'hidden[34]|outputs'}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    """A working folder with a finished run of clip.yaml."""
    place = tmp_path_factory.mktemp("work")
    for name, text in (("clip", CLIP), ("new", NEW), ("section", NEW + SECTION), ("five", CLIP)):
        (place / f"{name}.yaml").write_text(text)
    done = finished(compiled, "train", "clip.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    return place


def transferred(folder: Path, compiled: Path, *arguments: str) -> dict[str, Any]:
    done = finished(compiled, *arguments, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_with_no_argument_but_reuse(folder: Path, compiled: Path) -> None:
    found = transferred(folder, compiled, "transfer", "--reuse", "hidden[123]")
    assert Path(found["run"]).parent.name == "clip-transfer"
    transfer = found["transfer"]
    assert transfer["reused"] == ["hidden1", "hidden2", "hidden3"]
    assert transfer["initialised"] == transfer["unused"] == ["hidden4", "hidden5", "outputs"]
    assert (transfer["frozen"], transfer["cached_through"]) == ([], None)
    source = str(find_checkpoint(folder / "runs" / "clip").folder)
    assert transfer["source"] == source
    again = transferred(folder, compiled, "transfer", "--reuse", "hidden1", "--dry-run")  # of that one; the name stays
    assert again["name"] == "clip-transfer"
    assert again["transfer"]["source"] == str(find_checkpoint(folder / found["run"]).folder)


def test_a_spec_with_reuse_and_freeze(folder: Path, compiled: Path) -> None:
    found = transferred(
        folder,
        compiled,
        "transfer",
        "new.yaml",
        "--from",
        "runs/clip",
        "--reuse",
        "hidden[123]",
        "--freeze",
        "hidden[12]",
    )
    assert Path(found["run"]).parent.name == "new"
    assert (found["transfer"]["frozen"], found["transfer"]["cached_through"]) == (["hidden1", "hidden2"], "hidden2")
    assert layers_equal(model_of(folder / found["run"]), model_of(folder / "runs/clip"), "hidden1", "hidden2")


def test_the_best_checkpoint_and_what_learns(folder: Path, compiled: Path) -> None:
    best = "runs/clip/latest/checkpoints/best"
    options = ("--reuse", "hidden[123]", "--train", "hidden[34]|outputs", "--cache", "on")
    found = transferred(folder, compiled, "transfer", "new.yaml", "--from", best, *options)
    assert found["transfer"]["source"] == str((folder / best).resolve())
    assert (found["transfer"]["frozen"], found["transfer"]["cached_through"]) == (["hidden1", "hidden2"], "hidden2")


def test_the_section_of_a_spec_does_the_same(folder: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    plan = dnnrun.plan("new.yaml", source="runs/clip", reuse="hidden[123]", train="hidden[34]|outputs")
    assert trained(load("section.yaml"), folder / "runs", compiled).transfer == plan.as_json()


def test_unfreezing_in_two_steps(folder: Path, compiled: Path) -> None:
    line = ("transfer", "five.yaml", "--from", "runs/clip", "--reuse", "hidden.*", "--unfreeze", "hidden5=5")
    line = (*line, "--unfreeze", "hidden4=10")
    found = transferred(folder, compiled, *line, "train.epochs=11")
    assert found["transfer"]["frozen"] == [f"hidden{number}" for number in range(1, 6)]
    assert found["transfer"]["unfreeze"] == [
        {"layers": ["hidden5"], "after_epoch": 5, "stalled": None},
        {"layers": ["hidden4"], "after_epoch": 10, "stalled": None},
    ]
    after, source = model_of(folder / found["run"]), model_of(folder / "runs/clip")
    assert layers_equal(after, source, "hidden1", "hidden2", "hidden3")
    assert not layers_equal(after, source, "hidden4")


SPY = """
import builtins, sys
opened = []
def watch(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
sys.addaudithook(watch)
from dnnrun.cli.app import main
try:
    main()
finally:
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & {"jax", "flax", "optax", "safetensors"})
    tensors = [path for path in opened if path.endswith(".safetensors")]
    print(loaded, tensors, file=sys.stderr)
"""


def test_a_dry_run_shows_the_plan_and_does_nothing(folder: Path, compiled: Path) -> None:
    before = sorted(folder.rglob("*"))
    line = [sys.executable, "-c", SPY, "transfer", "section.yaml", "--dry-run"]
    done = subprocess.run(line, cwd=folder, env=environment(compiled), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "nothing was trained (--dry-run)\n[] []\n"
    assert done.stdout.splitlines() == [
        "layer    weights                       learns     cached  tensors                batch norm",
        "hidden1  reused: hidden1 of runs/clip  frozen     yes     kernel 64x12, bias 12  -",
        "hidden2  reused: hidden2 of runs/clip  frozen     yes     kernel 12x10, bias 10  -",
        "hidden3  reused: hidden3 of runs/clip  trainable  -       kernel 10x8, bias 8    -",
        "hidden4  new                           trainable  -       kernel 8x6, bias 6     -",
        "outputs  new                           trainable  -       kernel 6x10, bias 10   -",
        "unused in the source: hidden4, hidden5, outputs",
    ]
    found = transferred(folder, compiled, "transfer", "section.yaml", "--dry-run")
    assert list(found) == ["name", "transfer"]
    keys = ["source", "reused", "initialised", "frozen", "unused", "cached_through"]
    assert list(found["transfer"])[:6] == keys
    assert sorted(folder.rglob("*")) == before


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no such layer": (
        ("new.yaml", "--from", "runs/clip", "--reuse", "hiden"),
        "error: transfer.reuse: 'hiden' matches no layer; the layers are hidden1, hidden2, hidden3, hidden4, outputs",
    ),
    "no expression": (
        ("new.yaml", "--from", "runs/clip", "--reuse", "hidden["),
        "override 'transfer.reuse=\"hidden[\"': transfer.reuse: 'hidden[' is no regular expression: "
        "unterminated character set at position 6",
    ),
    "no such source": (("new.yaml", "--from", "runs/clipp"), "error: runs/clipp: not found; wanted a run"),
    "two sides": (
        ("new.yaml", "--from", "runs/clip", "--freeze", "hidden1", "--train", "outputs"),
        "override 'transfer.freeze=\"hidden1\"': transfer: freeze and train say the same thing from two sides; "
        "give one of them",
    ),
    "an epoch that never comes": (
        ("five.yaml", "--from", "runs/clip", "--unfreeze", "hidden5=5"),
        "error: transfer.unfreeze: hidden5 after epoch 5, and the run has 2; "
        "choose an earlier one or raise train.epochs",
    ),
    "no epoch": (
        ("new.yaml", "--from", "runs/clip", "--unfreeze", "hidden1=soon"),
        "Error: Invalid value: --unfreeze hidden1=soon: wanted an epoch, as 5, or stalled:3",
    ),
    "one part": (
        ("new.yaml", "--from", "runs/clip", "--rename", "hidden1"),
        "Error: Invalid value: --rename hidden1: wanted two parts joined by '='",
    ),
    "no number": (
        ("new.yaml", "--from", "runs/clip", "--rate", "hidden1=slow"),
        "Error: Invalid value: --rate hidden1=slow: wanted LAYER=FACTOR, as hidden1=0.1",
    ),
    "no run at all": (
        ("--runs-dir", "none"),
        "error: none: no finished run to take layers from; name one with --from",
    ),
    "a spec, and no run at all": (
        ("new.yaml", "--runs-dir", "none"),
        "error: none: no finished run to take layers from; name one with --from",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_its_message_and_exit_code(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from dnnrun.cli.app import main

    arguments, message = BAD[name]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["dnnrun", "transfer", *arguments, "--dry-run"])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capfd.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.splitlines()[-1].startswith(message), err


def test_a_refused_plan_leaves_no_run(folder: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    spec = load("section.yaml", ["name=refused", "transfer={from: runs/clip, reuse: .*}"])
    with pytest.raises(TransferError) as caught:
        trained(spec, folder / "runs", compiled)
    assert str(caught.value).startswith(
        "the reused layers do not fit:\n  hidden4/kernel: found 8x8 (hidden4/kernel), wanted 8x6"
    )
    assert not list((folder / "runs" / "refused").iterdir())
