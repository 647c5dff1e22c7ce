"""One model on four devices: the losses of one device, checkpoints that go either way, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dnnrun.errors import Interrupted
from dnnrun.store.run import newest
from tests.manydevices import job, stop_after, work
from tests.smallruns import Collected, small, trained, untimed

HUNDRED = ("data.limit=400", "train.epochs=5", "train.batch_size=20")  # steps
PLAIN = ("name=plain", *HUNDRED)
RICH = (
    "name=rich",
    *HUNDRED,
    "train.optimizer={type: momentum, learning_rate: {type: plateau, initial: 0.05, patience: 1, factor: 0.5}}",
    "model.activation=rrelu",
    "model.dropout={input: 0.1, hidden: 0.2}",
    "model.batch_norm={momentum: 0.8, logits: true, statistics: exact}",
    "train.early_stopping={patience: 4, restore_best: true}",
    "train.clip={type: norm, threshold: 1.0}",
    "train.l2=0.001",
    "data.augment={shift: 1, flip: both, noise: 0.1}",
)
STREAMED = ("name=streamed", *HUNDRED, "data.stream=150", "model.batch_norm=true")
FOUR = "train.devices=4"


def close(one: Any, other: Any, rel: float = 1e-4) -> None:
    """The same events, every loss within `rel`."""
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a["event"], a["step"]) == (b["event"], b["step"])
        for split in ("train", "validation", "test"):
            if split in a:
                assert b[split]["loss"] == pytest.approx(a[split]["loss"], rel=rel)
                assert b[split]["accuracy"] == pytest.approx(a[split]["accuracy"], abs=0.011)


def source(runs: Path) -> list[str]:
    reuse = f"{{from: {runs / 'plain'}, reuse: hidden1, freeze: hidden1, cache: on}}"
    return ["name=cached", "model.hidden=[8, 6]", f"transfer={reuse}", *HUNDRED]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> dict[str, Any]:
    """Every run on one device (here) and on four (in another process), and those that were carried over."""
    one, four, carried = (tmp_path_factory.mktemp(name) for name in ("one", "four", "carried"))
    for options in (PLAIN, RICH, STREAMED):
        trained(small(*options), one, compiled)
    trained(small(*source(one)), one, compiled)
    with pytest.raises(Interrupted):
        trained(small(*RICH), carried, compiled, stop=stop_after(8))
    jobs = {
        "plain": job(small(*PLAIN, FOUR), four),
        "rich": job(small(*RICH, FOUR), four),
        "streamed": job(small(*STREAMED, FOUR), four),
        "cached": job(small(*source(one), "train.devices=all"), four),
        "left": job(small(*PLAIN, FOUR, "name=left"), carried, stop=8),
        "resumed": job(small(*RICH, FOUR), carried, resume=True),
        "half": job(small(*PLAIN, FOUR, "train.precision=bfloat16", "model.batch_norm=true", "name=half"), four),
        "nan": job(
            small(*PLAIN, FOUR, "name=nan", "train.optimizer.learning_rate=1e30", "model.batch_norm=true"), four
        ),
        "five": job(small(*PLAIN, "train.devices=5"), four),
        "uneven": job(small(*PLAIN, "train.devices=3"), four),
        "few": job(small(*PLAIN, FOUR, "train.batch_size=2"), four),
    }
    results = work(list(jobs.values()), 4, compiled)
    return {"one": one, "four": four, "carried": carried, **dict(zip(jobs, results, strict=True))}


@pytest.mark.parametrize("name", ["plain", "rich", "streamed", "cached"])
def test_the_losses_are_those_of_one_device(name: str, done: dict[str, Any]) -> None:
    assert done[name]["error"] is None
    assert done[name]["steps"] == 100
    assert done[name]["said"][0].startswith("device: 4 x cpu (cpu")
    one, four = (untimed(newest(done[runs], name).path) for runs in ("one", "four"))
    close(one, four)


def test_the_frozen_first_layer_is_computed_once_on_four(done: dict[str, Any]) -> None:
    assert any(line.startswith("cached: the outputs of hidden1") for line in done["cached"]["said"])
    assert "frozen and unchanged: 2 tensors" in done["cached"]["said"]


def test_saved_on_one_goes_on_on_four(done: dict[str, Any]) -> None:
    assert done["resumed"]["error"] is None
    assert any(line.startswith("resuming at step ") for line in done["resumed"]["said"])
    assert "number of devices was 1, now 4: the bits will differ from an unbroken run" in done["resumed"]["warned"]
    close(untimed(newest(done["one"], "rich").path), untimed(newest(done["carried"], "rich").path))


def test_saved_on_four_goes_on_on_one(done: dict[str, Any], compiled: Path) -> None:
    assert done["left"]["error"].startswith("interrupted at step ")
    watcher = Collected()
    result = trained(small(*PLAIN, "name=left"), done["carried"], compiled, resume=True, watcher=watcher)
    assert result.steps == 100
    assert watcher.warned == ["number of devices was 4, now 1: the bits will differ from an unbroken run"]
    close(untimed(newest(done["one"], "plain").path), untimed(result.run))


def test_bfloat16_learns_and_keeps_float32(done: dict[str, Any], compiled: Path) -> None:
    from safetensors.numpy import load_file

    whole = trained(small(*PLAIN, "model.batch_norm=true", "name=whole"), done["one"], compiled)
    half = done["half"]["metrics"]["validation"]["loss"]
    assert half != whole.metrics["validation"]["loss"]
    assert half == pytest.approx(whole.metrics["validation"]["loss"], rel=0.05)
    last = newest(done["four"], "half").checkpoints / "last"
    for file in ("model.safetensors", "train.safetensors"):
        kinds = {str(x.dtype) for x in load_file(last / file).values()}
        assert kinds <= {"float32", "int32"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("five", "train.devices: wanted 5, and JAX finds 4 (cpu) here; use 4, or all; on a CPU, "
         "XLA_FLAGS=--xla_force_host_platform_device_count=N in the environment makes N of it"),
        ("uneven", "train.batch_size: 20 rows cannot be shared evenly by 3 devices; use 18 or 21, or another number "
         "of devices"),
        ("few", "train.batch_size: 2 rows cannot be shared evenly by 4 devices; use 4, or another number of devices"),
    ],
)  # fmt: skip
def test_what_cannot_be(name: str, message: str, done: dict[str, Any]) -> None:
    assert done[name]["error"] == message


def test_a_loss_that_is_not_finite_names_its_layer(done: dict[str, Any]) -> None:
    assert "the loss is not finite at step" in done["nan"]["error"]
    assert "first in layer" in done["nan"]["error"]
