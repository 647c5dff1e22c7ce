"""A reuse search to its recommendation, with an engine that trains nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dnnrun.errors import Interrupted, ResumeError, RunFailed
from dnnrun.spec.load import load, load_mapping
from dnnrun.sweep.plan import planned
from dnnrun.sweep.results import Outcome
from dnnrun.sweep.reuse.prepare import Prepared
from dnnrun.sweep.reuse.run import PICTURE, RESULT, WINNER, as_json, begun, reuse_search
from dnnrun.sweep.run import Listener
from tests.smallruns import trained
from tests.sweep.reuse.searches import Pretend, prepared, shape, spec_on
from tests.transfer.sources import written

Score = Any


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sources"), "source", {"hidden": [12, 10, 8]})


@pytest.fixture
def few(source: Path, tmp_path: Path) -> Prepared:
    """From scratch, and 3, 2 layers reused, all frozen or none, the top dropped: 5 variants, 4 seeds."""
    options = {"depths": {2, 3}, "unfreeze": [0, "all"], "tops": ["dropped"]}
    return prepared(source, tmp_path, options, sweep={"seeds": 4, "confirm": 2})


def scored(values: dict[tuple[int, int], float], noise: float = 0.004) -> Score:
    """By layers reused and frozen, with a noise by seed that differs between depths."""

    def score(spec: dict[str, Any]) -> float:
        reuse, freeze, _ = shape(spec)
        return values[reuse, freeze] + noise * ((spec["seed"] * (2 * reuse + 1)) % 4 - 1.5)

    return score


HELPS = scored({(0, 0): 0.7, (3, 3): 0.6, (3, 0): 0.799, (2, 2): 0.65, (2, 0): 0.8})


def test_the_search_recommends_and_says_what_cannot_be_told_apart(few: Prepared, tmp_path: Path) -> None:
    found = reuse_search(few, Pretend(HELPS), runs=tmp_path)
    assert str(found.recommended.variant) == "reuse 2, freeze 0, 1 dropped"
    assert [str(variant) for variant in found.recommended.tied] == ["reuse 3, freeze 0"]
    first, tied, scratch = found.recommended.reasons
    assert re.fullmatch(r"validation.accuracy 0\.8\d+ \+-0\.0\d+, the best mean of 5 variants over 4 seeds", first)
    assert tied == "depths 2 and 3 cannot be told apart at 4 seeds (of 2 variants)"
    assert re.fullmatch(
        r"reuse 2, freeze 0, 1 dropped minus from scratch: validation.accuracy 0\.1000 \+-0\.0\d+; reuse helps", scratch
    )


def test_only_the_best_reuse_and_from_scratch_see_the_test_rows_on_fresh_seeds(few: Prepared, tmp_path: Path) -> None:
    engine = Pretend(HELPS)
    found = reuse_search(few, engine, runs=tmp_path)
    assert len(engine.ran) == 5 * 4 + 2 * 2
    search = {trial.name for trial in planned(few.base, few.sweep)}
    assert {name for name, unseen in engine.unseen.items() if unseen == ["test"]} == search
    assert all(entry.test is None for entry in found.tried)
    told = {str(entry.variant): entry for entry in found.confirmed()}
    assert list(told) == ["reuse 2, freeze 0, 1 dropped", "from scratch"]
    assert {entry.seeds for entry in told.values()} == {(7, 8)}
    assert set(told["from scratch"].estimates) == {"validation.accuracy", "test.accuracy"}
    assert "test minus from scratch 0.1" in str(told["reuse 2, freeze 0, 1 dropped"])


def test_every_trial_measures_test_on_request_and_none_is_chosen_by_it(few: Prepared, tmp_path: Path) -> None:
    engine = Pretend(HELPS)
    found = reuse_search(few, engine, runs=tmp_path, test=True)
    assert set(map(tuple, engine.unseen.values())) == {()}
    assert all(entry.test is not None and entry.test.count == 4 for entry in found.tried)
    assert as_json(found)["test_measured"] == "every trial"


def test_from_scratch_is_recommended_where_it_is_best(few: Prepared, tmp_path: Path) -> None:
    hurts = scored({(0, 0): 0.9, (3, 3): 0.6, (3, 0): 0.8, (2, 2): 0.65, (2, 0): 0.79})
    found = reuse_search(few, Pretend(hurts), runs=tmp_path)
    assert found.recommended.variant.scratch
    assert found.recommended.reasons[1] == "every other variant is behind it at 4 seeds"
    assert found.recommended.reasons[-1].endswith("; reuse hurts")
    assert {str(entry.variant) for entry in found.confirmed()} == {
        "reuse 3, freeze 0",
        "from scratch",
    }
    spec = load(found.sweep.folder / WINNER)
    assert (spec.name, spec.transfer, len(spec.model.hidden)) == ("new-scratch", None, 3)


def test_no_gain_is_claimed_that_is_not_shown(source: Path, few: Prepared, tmp_path: Path) -> None:
    alike = scored({(0, 0): 0.8, (3, 3): 0.6, (3, 0): 0.801, (2, 2): 0.65, (2, 0): 0.7}, noise=0.02)
    found = reuse_search(few, Pretend(alike), runs=tmp_path)
    assert found.recommended.reasons[-1].endswith(
        "cannot be told apart at 4 seeds, 4 comparisons allowed for: no gain of reuse is shown"
    )
    one = prepared(source, tmp_path, {"depths": {3}}, sweep={"seeds": 1, "confirm": 0})
    score = {(3, freeze): 0.8 - freeze / 10 for freeze in range(4)} | {(0, 0): 0.7}
    reasons = reuse_search(one, Pretend(scored(score)), runs=tmp_path).recommended.reasons
    assert "one seed tells nothing: any other may be as good; give --seeds 5 or more" in reasons
    assert reasons[-1].endswith("one seed tells nothing")


def test_less_loss_is_better(source: Path, tmp_path: Path) -> None:
    options = {"depths": {2, 3}, "unfreeze": [0, "all"], "tops": ["dropped"]}
    few = prepared(source, tmp_path, options, sweep={"seeds": 4, "metric": "validation.loss", "confirm": 1})
    found = reuse_search(few, Pretend(HELPS), runs=tmp_path)
    assert str(found.recommended.variant) == "reuse 2, freeze 0, 1 dropped"
    assert "validation.loss -0.1000" in found.recommended.reasons[-1]
    assert found.recommended.reasons[-1].endswith("reuse helps")


def test_numbers_are_compared_by_their_error(tmp_path: Path, compiled: Path) -> None:
    network = {"data": {"source": "diabetes"}, "model": {"hidden": [12, 10, 8]}, "train": {"epochs": 1}}
    source = trained(load_mapping({"name": "numbers", **network}), tmp_path, compiled).run
    options = {"depths": {2, 3}, "unfreeze": [0, "all"], "tops": ["dropped"]}
    few = prepared(source, tmp_path, options, **network, sweep={"seeds": 4, "confirm": 2})
    found = reuse_search(few, Pretend(HELPS), runs=tmp_path, test=True)
    assert str(found.recommended.variant) == "reuse 2, freeze 0, 1 dropped"
    assert found.recommended.reasons[0].startswith("validation.rmse 0.2000")
    assert found.recommended.reasons[-1].endswith("reuse helps")
    assert [entry.test is not None for entry in found.tried] == [True] * 5
    best, scratch = found.confirmed()
    assert set(scratch.estimates) == {"validation.rmse", "test.rmse"}
    assert re.search(r"test minus from scratch -0\.1\d* \+-0\.\d+: reuse helps$", str(best))
    assert "diamonds: test rmse" in (found.sweep.folder / PICTURE).read_text()


def test_what_is_written(few: Prepared, tmp_path: Path) -> None:
    found = reuse_search(few, Pretend(HELPS), runs=tmp_path)
    folder = found.sweep.folder
    assert folder.parent == tmp_path / "new"
    assert folder.name.startswith("reuse-search-")
    spec = load(folder / WINNER)
    assert (spec.name, spec.seed, spec.sweep) == ("new-reuse", 3, None)
    assert [entry.units for entry in spec.model.hidden] == [12, 10]
    assert spec.transfer is not None
    assert (spec.transfer.from_, spec.transfer.reuse, spec.transfer.freeze) == (str(few.source), "hidden[1-2]", None)
    assert (folder / WINNER).read_text().startswith(f"# reuse 2, freeze 0, 1 dropped: recommended by {folder}\n#\n")
    kept = json.loads((folder / RESULT).read_text())
    assert kept == as_json(found)
    assert [entry["variant"] for entry in kept["variants"]] == [str(entry.variant) for entry in found.tried]
    assert kept["recommendation"]["spec"] == str(folder / WINNER)
    assert len(kept["trials"]) == 24


def test_the_picture_has_every_variant_where_its_mean_is(few: Prepared, tmp_path: Path) -> None:
    def score(spec: dict[str, Any]) -> float | str:
        return "it broke" if shape(spec)[:2] == (2, 2) else HELPS(spec)

    found = reuse_search(few, Pretend(score), runs=tmp_path)
    root = ElementTree.fromstring((found.sweep.folder / PICTURE).read_text())
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert [text for text in texts if text in {str(v) for v in few.variants}] == [str(v) for v in few.variants]
    assert texts.count("failed on every seed") == 1
    dots = {float(c.get("cy", 0)): float(c.get("cx", 0)) for c in root.iter(f"{space}circle") if c.get("r") == "4.5"}
    across = [dots[y] for y in sorted(dots)]
    means = [e.ranked.estimate.mean for v in few.variants for e in found.tried if e.variant == v and e.ranked.estimate]
    assert sorted(range(4), key=across.__getitem__) == sorted(range(4), key=means.__getitem__)
    assert "not to be trusted, since trials failed: reuse 2, freeze 2, 1 dropped" in found.recommended.reasons


def test_when_all_fail_the_search_has_failed(few: Prepared, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="every trial failed, the first with: it broke"):
        reuse_search(few, Pretend(lambda spec: "it broke"), runs=tmp_path)
    with pytest.raises(RunFailed, match="it broke"):
        reuse_search(few, engine := Pretend(lambda spec: "it broke"), runs=tmp_path, fail_fast=True)
    assert len(engine.ran) == 1


def stopped_after(count: int, few: Prepared, runs: Path, test: bool = False) -> Pretend:
    engine, stopped = Pretend(HELPS), list[int]()

    class Stopping(Listener):
        def ended(self, outcome: Outcome, done: int, total: int | None) -> None:
            if done == count:
                stopped.append(15)

    def stop() -> int | None:
        return stopped[0] if stopped else None

    with pytest.raises(Interrupted):
        reuse_search(few, engine, runs=runs, test=test, stop=stop, heard=Stopping())
    return engine


def test_a_resumed_search_runs_each_trial_once_and_comes_to_the_same(few: Prepared, tmp_path: Path) -> None:
    first = stopped_after(7, few, tmp_path)
    second = Pretend(HELPS)
    spec = spec_on(few.source, sweep={"seeds": 4, "confirm": 2})
    found = reuse_search(few, second, runs=tmp_path, resumed=begun(tmp_path, spec))
    assert (len(first.ran), len(second.ran)) == (7, 17)
    assert not set(first.ran) & set(second.ran)
    whole = reuse_search(few, Pretend(HELPS), runs=tmp_path / "whole")
    assert found.recommended == whole.recommended
    done = reuse_search(few, idle := Pretend(HELPS), runs=tmp_path, resumed=begun(tmp_path, spec))
    assert (idle.ran, done.recommended) == ([], whole.recommended)


def test_a_resume_is_of_the_same_search(few: Prepared, source: Path, tmp_path: Path) -> None:
    spec = spec_on(few.source)
    with pytest.raises(ResumeError, match=f"{tmp_path / 'new'}: no reuse-search to resume; run it without --resume"):
        begun(tmp_path, spec)
    stopped_after(3, few, tmp_path)
    folder = begun(tmp_path, spec).folder
    other = prepared(source, tmp_path, {"depths": {3}}, sweep={"seeds": 4, "confirm": 2})
    with pytest.raises(ResumeError) as caught:
        reuse_search(other, Pretend(HELPS), runs=tmp_path, resumed=begun(tmp_path, spec))
    assert str(caught.value) == (
        f"{folder}: its variants are others than these; resume it with the network, --depths, --unfreeze and "
        "--variants that it began with, or begin anew"
    )
    with pytest.raises(ResumeError, match="began without --test, so that its trials measure no test rows"):
        reuse_search(few, Pretend(HELPS), runs=tmp_path, test=True, resumed=begun(tmp_path, spec))
    more = prepared(
        source, tmp_path, {"depths": {2, 3}, "unfreeze": [0, "all"], "tops": ["dropped"]}, sweep={"seeds": 5}
    )
    with pytest.raises(ResumeError, match=r"sweep\.seeds: 4 -> 5"):
        reuse_search(more, Pretend(HELPS), runs=tmp_path, resumed=begun(tmp_path, spec))


def test_a_resume_keeps_its_source(few: Prepared, source: Path, tmp_path: Path) -> None:
    stopped_after(3, few, tmp_path)
    written(source.parent.parent, "source", {"hidden": [12, 10, 8]})  # a newer run of the same name
    name = source.parent
    assert begun(tmp_path, spec_on(name)).source == few.source
    resumed = begun(tmp_path, spec_on(None))
    assert resumed.source == few.source
    options = {"depths": {2, 3}, "unfreeze": [0, "all"], "tops": ["dropped"], "source": resumed.source}
    again = prepared(None, tmp_path, options, sweep={"seeds": 4, "confirm": 2})
    assert again.variants == few.variants
    with pytest.raises(ResumeError, match=rf"this search takes its layers from {few.source}, not from {tmp_path}"):
        begun(tmp_path, spec_on(tmp_path))


def test_a_resume_goes_on_measuring_test(few: Prepared, tmp_path: Path) -> None:
    stopped_after(3, few, tmp_path, test=True)
    engine = Pretend(HELPS)
    found = reuse_search(few, engine, runs=tmp_path, resumed=begun(tmp_path, spec_on(few.source)))
    assert set(map(tuple, engine.unseen.values())) == {()}
    assert found.test
