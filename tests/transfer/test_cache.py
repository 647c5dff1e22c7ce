"""Training on the cached outputs of frozen layers comes to the same; they are kept for other runs, never wrongly."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun import cached as cached_module
from dnnrun.data.source import Places
from dnnrun.errors import DeviceError, TransferError
from dnnrun.evaluation import evaluate
from dnnrun.experiment import Result
from dnnrun.store import events
from dnnrun.trained import load
from dnnrun.transfer import cache as kept_outputs
from tests.smallruns import Collected, final_bytes, trained
from tests.transfer.sources import RICH, layers_equal, model_of, on, written

KEPT = "cached: the outputs of hidden2, 847 rows of 10, kept from an earlier run"
COMPUTED = "cached: the outputs of hidden2, 847 rows of 10, computed once"


class Cached:
    """Runs with hidden1 and hidden2 frozen and cached on disk, and what they said of the cache."""

    def __init__(self, source: Path, folder: Path, compiled: Path):
        self.source, self.folder, self.compiled = source, folder, compiled
        self.runs = 0

    @property
    def file(self) -> Path:
        (found,) = (self.folder / "outputs").glob("*.npy")
        return found

    def run(self, *overrides: str, source: Path | None = None, **transfer: Any) -> tuple[Result, list[str]]:
        self.runs += 1
        options = {"freeze": "hidden[12]", **transfer}
        watcher, spec = Collected(), on(source or self.source, "train.epochs=1", *overrides, **options)
        places = Places(cache=self.folder)
        result = trained(spec, self.folder / str(self.runs), self.compiled, watcher=watcher, places=places)
        return result, [line for line in watcher.said if "cached" in line]


@pytest.fixture
def cached(rich: Path, tmp_path: Path, compiled: Path) -> Cached:
    return Cached(rich, tmp_path, compiled)


@pytest.mark.parametrize("activation", ["elu", "prelu"])
def test_cached_equals_uncached(activation: str, cached: Cached, tmp_path: Path, compiled: Path) -> None:
    more = (f"model.activation={activation}", "train.epochs=3", "model.hidden.2={units: 8, dropout: 0.2}")
    source = trained(
        on(cached.source, f"model.activation={activation}", "name=s", reuse="outputs"), tmp_path, compiled
    ).run
    on_, said = cached.run(*more, source=source, cache="on")
    off, unsaid = cached.run(*more, source=source, cache="off")
    assert (said, unsaid) == ([COMPUTED], [])
    for a, b in zip(events.read(on_.run / "metrics.jsonl"), events.read(off.run / "metrics.jsonl"), strict=True):
        for split in ("train", "validation"):
            assert a[split]["loss"] == pytest.approx(b[split]["loss"], rel=1e-4)
            assert a[split]["accuracy"] == b[split]["accuracy"]
    x = np.random.default_rng(1).uniform(0, 16, (200, 64))
    mine, theirs = load(on_.run).logits(x), load(off.run).logits(x)
    assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert layers_equal(model_of(on_.run), model_of(source), "hidden1", "hidden2")
    assert on_.transfer is not None
    assert on_.transfer["cached_through"] == "hidden2"


def test_eval_goes_through_the_whole_network(cached: Cached) -> None:
    result, _ = cached.run()
    for split, metrics in result.metrics.items():
        found = evaluate(result.run, split=split)
        assert found.metrics["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
        assert found.metrics["accuracy"] == metrics["accuracy"]


def test_outputs_are_kept_for_the_same_layers_rows_and_scaling(cached: Cached, tmp_path: Path) -> None:
    first, said = cached.run()
    assert said == [COMPUTED]
    again, said = cached.run()
    assert said == [KEPT]
    assert final_bytes(again.run) == final_bytes(first.run)
    assert cached.run("seed=6")[1] == [COMPUTED]  # another split of the rows
    assert cached.run("data.scale=none")[1] == [COMPUTED]
    other = written(tmp_path, "other", {**RICH["model"]})
    assert cached.run(source=other)[1] == [COMPUTED]


def test_seeds_that_shuffle_the_same_rows_share_them(cached: Cached) -> None:
    whole = ("data.limit=null", "train.batch_size=200")
    _, said = cached.run(*whole)
    rows = "1,797 rows of 10"
    assert said == [f"cached: the outputs of hidden2, {rows}, computed once"]
    shared, said = cached.run(*whole, "seed=6")
    assert said == [f"cached: the outputs of hidden2, {rows}, kept from an earlier run"]
    cached.file.unlink()
    alone, _ = cached.run(*whole, "seed=6")
    assert final_bytes(shared.run) == final_bytes(alone.run)
    off, _ = cached.run(*whole, "seed=6", cache="off")
    for split, metrics in off.metrics.items():
        assert shared.metrics[split]["loss"] == pytest.approx(metrics["loss"], rel=1e-4)


def test_who_comes_while_another_computes_waits_and_finds_it(tmp_path: Path) -> None:
    features, found = np.ones((3, 2), np.float32), []

    def second() -> None:
        with kept_outputs.claim(tmp_path, "key"):
            found.append(kept_outputs.find(tmp_path, "key", 3, 2))

    with kept_outputs.claim(tmp_path, "key"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        assert not found
        kept_outputs.keep(tmp_path, "key", [features], 3, 2)
    thread.join(10)
    assert np.array_equal(found[0], features)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.npy", "key.sha256"]


@pytest.mark.parametrize("damage", ["a bit", "the end", "no checksum", "empty"])
def test_damaged_outputs_are_not_found(damage: str, tmp_path: Path) -> None:
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    kept_outputs.keep(tmp_path, "key", [features[:2], features[2:]], 3, 2)
    found = kept_outputs.find(tmp_path, "key", 3, 2)
    assert found is not None
    assert (found == features).all()
    assert kept_outputs.find(tmp_path, "key", 2, 3) is None
    assert kept_outputs.find(tmp_path, "another", 3, 2) is None
    path = tmp_path / "key.npy"
    good = path.read_bytes()
    if damage == "no checksum":
        path.with_suffix(".sha256").unlink()
    else:
        path.write_bytes({"a bit": good[:-1] + bytes([good[-1] ^ 1]), "the end": good[:-4], "empty": b""}[damage])
    assert kept_outputs.find(tmp_path, "key", 3, 2) is None


def test_damaged_outputs_are_computed_again(cached: Cached) -> None:
    first, _ = cached.run()
    good = cached.file.read_bytes()
    cached.file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    again, said = cached.run()
    assert said == [COMPUTED]
    assert cached.file.read_bytes() == good
    assert final_bytes(again.run) == final_bytes(first.run)


def test_what_is_large_is_mapped_from_disk(cached: Cached, monkeypatch: pytest.MonkeyPatch) -> None:
    held, _ = cached.run()
    cached.file.unlink()
    monkeypatch.setattr(cached_module, "SHARE", 0.0)
    mapped, said = cached.run(cache="on")
    assert said == ["cached: the outputs of hidden2, 847 rows of 10, mapped from disk, computed once"]
    assert final_bytes(mapped.run) == final_bytes(held.run)
    assert cached.run()[1] == [
        "cached: the outputs of hidden2, 847 rows of 10, mapped from disk, kept from an earlier run"
    ]


def test_what_is_large_and_has_no_disk_is_not_cached(
    rich: Path, tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_module, "SHARE", 0.0)
    watcher = Collected()
    trained(on(rich, "train.epochs=1", freeze="hidden[12]"), tmp_path, compiled, watcher=watcher)
    text = "the outputs of hidden2 take 0.0 GiB, too much of the free memory"
    assert f"nothing is cached: {text}" in watcher.said
    with pytest.raises(DeviceError) as caught:
        trained(on(rich, freeze="hidden[12]", cache="on"), tmp_path, compiled)
    assert str(caught.value) == f"transfer.cache: on, and {text}; use auto, or a larger machine"


def test_a_cache_that_cannot_be_written_hinders_nothing(cached: Cached) -> None:
    (cached.folder / "outputs").write_text("a file is in the way")
    result, said = cached.run()
    assert result.status == "done"
    assert said[0].startswith("the cached outputs are not kept for other runs: cannot ")
    assert said[1:] == [COMPUTED]


def test_fewer_layers_are_cached_where_one_is_random(cached: Cached) -> None:
    result, said = cached.run("model.hidden.1={units: 10, dropout: 0.1}")
    assert said == [
        "note: cached: only up to hidden1; the dropout of hidden2 draws anew at every step",
        "cached: the outputs of hidden1, 847 rows of 12, computed once",
    ]
    assert result.transfer is not None
    assert result.transfer["cached_through"] == "hidden1"


def test_nothing_is_cached_where_rows_change(cached: Cached) -> None:
    result, said = cached.run("data.augment={noise: 0.1}")
    assert said == ["note: cached: nothing; data.augment draws anew at every step"]
    assert result.transfer is not None
    assert result.transfer["cached_through"] is None
    with pytest.raises(TransferError, match=r"transfer.cache: on, and data.augment draws anew at every step; use auto"):
        cached.run("data.augment={noise: 0.1}", cache="on")


def test_the_longest_unused_outputs_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.zeros((10, 100), np.float32)
    monkeypatch.setattr(kept_outputs, "LIMIT", 10_000)  # room for two of 4,128 bytes
    for age, key in ((3, "a"), (1, "b"), (2, "c")):
        kept_outputs.keep(tmp_path, key, [features], 10, 100)
        os.utime(tmp_path / f"{key}.npy", (1000 - age, 1000 - age))
    kept_outputs.find(tmp_path, "c", 10, 100)
    kept_outputs.keep(tmp_path, "d", [features], 10, 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npy", "c.sha256", "d.npy", "d.sha256"]
