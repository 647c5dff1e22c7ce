"""Which layers come from where, which learn, and every reason not to begin. No training, no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dnnrun.errors import SpecError, TransferError
from dnnrun.store.find import find_checkpoint
from dnnrun.transfer.checkpoint_donor import donor_of
from tests.transfer.sources import ADAM, planned, refused, spec_of, written

DEEP = {"hidden": [4] * 12}
ALL = [f"hidden{number}" for number in range(1, 13)]

PATTERNS: dict[str, list[str]] = {
    "hidden[123]": ["hidden1", "hidden2", "hidden3"],
    "hidden1": ["hidden1"],
    "hidden.": [f"hidden{number}" for number in range(1, 10)],
    "hidden.*": ALL,
    ".*": [*ALL, "outputs"],
    "hidden2|hidden1[01]|outputs": ["hidden2", "hidden10", "hidden11", "outputs"],
    "idden1|hidden2": ["hidden2"],
    "(?i)HIDDEN4": ["hidden4"],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_takes_whole_names(pattern: str, deep: str) -> None:
    plan = planned(DEEP, {"from": deep, "reuse": pattern})
    wanted = PATTERNS[pattern]
    assert plan.reused == wanted
    assert plan.initialised == [name for name in (*ALL, "outputs") if name not in wanted]
    assert list(plan.unused) == plan.initialised


def test_hidden_layers_are_the_default(deep: str) -> None:
    plan = planned(DEEP, {"from": deep})
    assert (plan.reused, plan.initialised, plan.frozen) == (ALL, ["outputs"], [])


NAMES = "hidden1, hidden2, outputs"
PAIR = {"hidden": [4, 4]}
OPTION = {"from": "DEEP"}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "reuse of nothing": (
        {"reuse": "hidden[89]"}, {}, f"transfer.reuse: 'hidden[89]' matches no layer; the layers are {NAMES}",
    ),
    "part of a name": ({"reuse": "hidden"}, {}, f"transfer.reuse: 'hidden' matches no layer; the layers are {NAMES}"),
    "freeze of nothing": ({"freeze": "nope"}, {}, f"transfer.freeze: 'nope' matches no layer; the layers are {NAMES}"),
    "train of nothing": ({"train": "nope"}, {}, f"transfer.train: 'nope' matches no layer; the layers are {NAMES}"),
    "unfreeze of nothing": (
        {"unfreeze": {"nope": 1}}, {}, f"transfer.unfreeze: 'nope' matches no layer; the layers are {NAMES}",
    ),
    "rates of nothing": (
        {"rates": {"nope": 0.1}}, {}, f"transfer.rates: 'nope' matches no layer; the layers are {NAMES}",
    ),
    "rates of frozen layers": (
        {"freeze": "hidden1", "rates": {"hidden1": 0.1}},
        {},
        "transfer.rates: 'hidden1' matches hidden1, frozen to the end",
    ),
    "unfreeze of a layer that learns": (
        {"freeze": "hidden1", "unfreeze": {"hidden2": 5}},
        {},
        "transfer.unfreeze: hidden2 is not frozen; frozen are hidden1. Leave it out, or freeze it first",
    ),
    "unfreeze of a layer that train names": (
        {"train": "hidden2|outputs", "unfreeze": {"hidden2": 5}},
        {},
        "transfer.unfreeze: hidden2 is not frozen; frozen are hidden1. Leave it out, or freeze it first",
    ),
    "unfreeze twice": (
        {"unfreeze": {"hidden1": 5, "hidden[12]": 6}},
        {},
        "transfer.unfreeze: hidden1 is in 'hidden1' and 'hidden[12]'; name it once",
    ),
    "unfreeze after the end": (
        {"unfreeze": {"hidden[12]": 20}},
        {},
        "transfer.unfreeze: hidden1, hidden2 after epoch 20, and the run has 20; "
        "choose an earlier one or raise train.epochs",
    ),
    "a stall that early stopping forestalls": (
        {"unfreeze": {"hidden1": {"stalled": 4}}},
        {"patience": 4},
        "transfer.unfreeze: hidden1 when stalled for 4 epochs, and train.early_stopping ends the run after 4; "
        "make its patience larger",
    ),
    "a new layer frozen": (
        {"reuse": "hidden1", "freeze": "hidden.*"},
        {},
        "transfer.freeze: hidden2 is not reused, and frozen it would keep its random first values; "
        "let it learn, or reuse it",
    ),
    "a new layer left out of train": (
        {"train": "hidden.*"},
        {},
        "transfer.train: outputs is not reused, and frozen it would keep its random first values; "
        "let it learn, or reuse it",
    ),
    "nothing learns": (
        {"reuse": ".*", "freeze": ".*"},
        {},
        "transfer: every layer is frozen, and nothing would learn; let one learn, as `train: outputs`",
    ),
    "nothing learns at first": (
        {"reuse": ".*", "unfreeze": {"outputs": 3}},
        {},
        "transfer: every layer is frozen at first, and nothing would learn; let one learn, as `train: outputs`",
    ),
    "rename of a layer that the source lacks": (
        {"reuse": "hidden1", "rename": {"hidden13": "hidden1"}},
        {},
        f"transfer.rename: DEEP has no layer hidden13; its layers are {', '.join(ALL)}, outputs",
    ),
    "rename to a layer that is not reused": (
        {"reuse": "hidden1", "rename": {"hidden3": "hidden2"}},
        {},
        "transfer.rename: hidden3 -> hidden2, and hidden2 is not among the reused layers (hidden1)",
    ),
    "two layers with one name": (
        {"rename": {"hidden3": "hidden2", "hidden4": "hidden2"}},
        {},
        "transfer.rename: two layers get the same name; give each its own",
    ),
    "a layer renamed and wanted": (
        {"rename": {"hidden1": "hidden2"}},
        {},
        "transfer.rename: hidden1 -> hidden2, and 'hidden.*' wants a layer of the source for hidden1 too; "
        "narrow the pattern, or rename another layer to it",
    ),
    "optimizer state of a new layer": (
        {"optimizer_state": True},
        {},
        "transfer.optimizer_state: outputs is new and has no state in the source; reuse '.*'; "
        "or begin with a new one: optimizer_state: false",
    ),
    "optimizer state of a renamed layer": (
        {"reuse": ".*", "rename": {"hidden3": "hidden2"}, "optimizer_state": True},
        {},
        "transfer.optimizer_state: the state belongs to the old names (hidden3 -> hidden2); "
        "or begin with a new one: optimizer_state: false",
    ),
    "optimizer state of another optimizer": (
        {"reuse": ".*", "optimizer_state": True},
        {"optimizer": {"type": "sgd"}},
        "transfer.optimizer_state: found that of adam in DEEP, wanted sgd; use adam; "
        "or begin with a new one: optimizer_state: false",
    ),
    "optimizer state of weights alone": (
        {"reuse": ".*", "optimizer_state": True},
        {},
        "transfer.optimizer_state: FOLDER holds the weights alone; name the run's `last`; "
        "or begin with a new one: optimizer_state: false",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_contradiction_is_refused(name: str, deep: str) -> None:
    options, ahead, message = REFUSED[name]
    message = message.replace("DEEP", deep).replace("FOLDER", str(find_checkpoint(deep).folder))
    assert refused(PAIR, {"from": deep, **options}, **ahead) == message


BAD_SECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "freeze and train": (
        {"freeze": "hidden1", "train": "outputs"},
        "spec: transfer: freeze and train say the same thing from two sides; give one of them",
    ),
    "epochs and stalls": (
        {"unfreeze": {"hidden1": 3, "hidden2": {"stalled": 2}}},
        "spec: transfer: unfreeze mixes epochs and stalls, whose order nobody can know; use one of them",
    ),
    "no expression": (
        {"reuse": "hidden["},
        "spec: transfer.reuse: 'hidden[' is no regular expression: unterminated character set at position 6",
    ),
    "reuse beside several sources": (
        {"from": ["a", "b"], "reuse": ".*"},
        "spec: transfer: with several sources, reuse, rename and map belong to each entry of `from`",
    ),
}


@pytest.mark.parametrize("name", BAD_SECTIONS)
def test_a_bad_section_is_a_problem_of_the_spec(name: str) -> None:
    section, message = BAD_SECTIONS[name]
    with pytest.raises(SpecError) as caught:
        spec_of(PAIR, {"from": "somewhere", **section})
    assert str(caught.value) == message


def test_a_bad_pattern_has_its_place_in_the_file(tmp_path: Path) -> None:
    from dnnrun.spec.load import load

    file = tmp_path / "bad.yaml"
    file.write_text(
        "data: {source: digits}\nmodel: {hidden: [4]}\ntransfer:\n  from: x\n  reuse: 'hidden['\n  unfreeze:\n"
        "    'a(': 3\n"
    )
    with pytest.raises(SpecError) as caught:
        load(file)
    assert caught.value.problems == (
        f"{file}:5:10: transfer.reuse: 'hidden[' is no regular expression: unterminated character set at position 6",
        f"{file}:7:11: transfer.unfreeze.'a(': 'a(' is no regular expression: "
        "missing ), unterminated subpattern at position 1",
    )


def test_every_misfit_is_listed_with_found_and_wanted(deep: str) -> None:
    model = {"hidden": [{"units": 5, "bias": False}, {"units": 4, "batch_norm": True}]}
    assert refused(model, {"from": deep}) == (
        "the reused layers do not fit:\n"
        "  hidden1/kernel: found 64x4 (hidden1/kernel), wanted 64x5\n"
        f"  hidden1/bias of {deep}: the new hidden1 has no such tensor\n"
        "  hidden2/kernel: found 4x4 (hidden2/kernel), wanted 5x4\n"
        f"  hidden2/batch_norm/scale: absent in {deep}, wanted 4\n"
        f"  hidden2/batch_norm/bias: absent in {deep}, wanted 4\n"
        f"  hidden2/batch_norm/mean: absent in {deep}, wanted 4\n"
        f"  hidden2/batch_norm/var: absent in {deep}, wanted 4\n"
        "make model.hidden, batch_norm, bias and activation of these layers what they are in the source, "
        "or reuse fewer layers"
    )


def test_batch_norm_of_the_source_alone_is_a_misfit(tmp_path: Path) -> None:
    source = str(written(tmp_path, "bn", {"hidden": [4], "batch_norm": True}))
    text = refused({"hidden": [4]}, {"from": source})
    assert text.count("the new hidden1 has no such tensor") == 4


def test_another_type_is_a_misfit(tmp_path: Path) -> None:
    source = str(written(tmp_path, "half", {"hidden": [4]}, dtype="float16"))
    assert "  hidden1/kernel: found float16 (hidden1/kernel), wanted float32\n" in refused(
        {"hidden": [4]}, {"from": source}
    )


def test_outputs_for_other_classes_do_not_fit(deep: str) -> None:
    text = refused({"hidden": [4] * 12}, {"from": deep, "reuse": ".*"}, classes="01234")
    assert (
        "  outputs/kernel: found 4x10 (outputs/kernel), wanted 4x5\n  outputs/bias: found 10 (outputs/bias), wanted 5\n"
        in text
    )


def test_a_layer_that_the_source_lacks(tmp_path: Path) -> None:
    source = str(written(tmp_path, "short", {"hidden": [4]}))
    assert refused({"hidden": [4, 4, 4]}, {"from": source}) == (
        f"transfer.reuse: 'hidden.*' matches hidden2, hidden3 of the new network, absent in {source}, whose layers are "
        "hidden1, outputs; narrow the pattern, or use transfer.rename"
    )


def test_rename_drops_a_layer(deep: str) -> None:
    plan = planned({"hidden": [4, 4]}, {"from": deep, "rename": {"hidden7": "hidden2"}})
    assert {name: taken.layer for name, taken in plan.taken.items()} == {"hidden1": "hidden1", "hidden2": "hidden7"}
    assert "hidden2" in plan.unused
    assert "hidden7" not in plan.unused


def test_rename_inserts_a_layer(deep: str) -> None:
    plan = planned({"hidden": [4, 4, 4]}, {"from": deep, "reuse": "hidden[13]", "rename": {"hidden2": "hidden3"}})
    assert {name: taken.layer for name, taken in plan.taken.items()} == {"hidden1": "hidden1", "hidden3": "hidden2"}
    assert plan.initialised == ["hidden2", "outputs"]


def test_a_checkpoint_named_twice_has_its_unused_layers_once(deep: str) -> None:
    plan = planned({"hidden": [4] * 4}, {"from": [{"from": deep, "reuse": "hidden[12]"}, deep]})
    assert list(plan.unused) == [*(f"hidden{number}" for number in range(5, 13)), "outputs"]


def test_of_several_sources_the_first_that_matches_gives(deep: str, tmp_path: Path) -> None:
    short = str(written(tmp_path, "short", {"hidden": [4, 4]}))
    sources = [{"from": deep, "reuse": "hidden[34]"}, short, {"from": deep, "reuse": "hidden[1-4]|outputs"}]
    with pytest.raises(TransferError, match=r"matches hidden5 of the new network, absent in"):
        planned({"hidden": [4] * 5}, {"from": sources})
    plan = planned({"hidden": [4] * 4}, {"from": sources})
    assert {name: (taken.donor.name, taken.layer) for name, taken in plan.taken.items()} == {
        "hidden3": (deep, "hidden3"),
        "hidden4": (deep, "hidden4"),
        "hidden1": (short, "hidden1"),
        "hidden2": (short, "hidden2"),
        "outputs": (deep, "outputs"),
    }
    assert f"{short}:outputs" in plan.unused
    assert plan.as_json()["source"] == [str(find_checkpoint(x).folder) for x in (deep, short, deep)]


def test_rows_tell_of_every_layer(tmp_path: Path) -> None:
    source = str(written(tmp_path, "bn", {"hidden": [4, 4], "batch_norm": True}))
    options = {"from": source, "train": "outputs", "unfreeze": {"hidden2": 3}, "rates": {"hidden2": 0.1}}
    plan = planned({"hidden": [4, 4], "batch_norm": True}, options)
    norm = "batch_norm/scale 4, batch_norm/bias 4, batch_norm/mean 4, batch_norm/var 4"
    still = "restored statistics, still"
    assert plan.rows() == [
        ["layer", "weights", "learns", "cached", "tensors", "batch norm"],
        ["hidden1", f"reused: hidden1 of {source}", "frozen", "yes", f"kernel 64x4, bias 4, {norm}", still],
        [
            "hidden2", f"reused: hidden2 of {source}", "after epoch 3, rate x 0.1", "yes",
            f"kernel 4x4, bias 4, {norm}", still,
        ],
        ["outputs", "new", "trainable", "-", "kernel 4x10, bias 10", "-"],
    ]  # fmt: skip
    assert plan.as_json() == {
        "source": str(find_checkpoint(source).folder),
        "reused": ["hidden1", "hidden2"],
        "initialised": ["outputs"],
        "frozen": ["hidden1", "hidden2"],
        "unused": ["outputs"],
        "cached_through": "hidden2",
        "unfreeze": [{"layers": ["hidden2"], "after_epoch": 3, "stalled": None}],
        "notes": [],
    }


def test_what_fits_and_computes_something_else_is_noted(tmp_path: Path) -> None:
    norm = {"position": "before", "epsilon": 0.001}
    source = str(written(tmp_path, "a", {"hidden": [4], "activation": "elu", "batch_norm": norm}))
    model = {
        "hidden": [4],
        "activation": {"type": "leaky_relu", "slope": 0.1},
        "batch_norm": {"position": "after", "epsilon": 0.01},
    }
    plan = planned(model, {"from": source, "reuse": ".*"}, classes="abcdefghij")
    assert plan.notes == (
        "hidden1: its activation here is leaky_relu (slope 0.1), in the source elu (alpha 1.0)",
        "hidden1: batch_norm.position here is after, in the source before",
        "hidden1: batch_norm.epsilon here is 0.01, in the source 0.001",
        "outputs: its classes here are a, b, c, d, e, f, g, h, i, j, in the source 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    )


@pytest.mark.parametrize(
    ("manifest", "what"),
    [
        ({"layers": ["hidden1", "conv1", "outputs"]}, "its layers are hidden1, conv1, outputs"),
        (
            {"spec": {"model": {"hidden": [{"units": 4, "kernel_size": 3}]}}},
            "model.hidden.0.kernel_size: Extra inputs are not permitted",
        ),
    ],
)
def test_layers_that_are_not_built_are_refused(manifest: dict[str, Any], what: str, tmp_path: Path) -> None:
    source = written(tmp_path, "odd", {"hidden": [4]}, manifest=manifest)
    with pytest.raises(TransferError) as caught:
        donor_of("runs/odd", find_checkpoint(source))
    assert str(caught.value) == (
        f"runs/odd: has layers that this dnnrun does not build ({what}); "
        "reuse another run, or install the dnnrun or the package that trained it"
    )


RANDOM: dict[str, tuple[dict[str, Any], int, str]] = {
    "nothing random": ({}, 3, ""),
    "dropout of the inputs": ({"dropout": {"input": 0.1}}, 0, "model.dropout.input draws anew at every step"),
    "dropout of a layer": (
        {"hidden": [4, {"units": 4, "dropout": 0.5}, 4]}, 1, "the dropout of hidden2 draws anew at every step",
    ),
    "a random activation": (
        {"hidden": [4, 4, {"units": 4, "activation": "rrelu"}]},
        2,
        "the activation of hidden3 draws anew at every step",
    ),
    "dropout above the cut": ({"hidden": [4, 4, 4, {"units": 4, "dropout": 0.5}]}, 3, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", RANDOM)
def test_what_cannot_be_cached_is_told(name: str, deep: str) -> None:
    model, count, why = RANDOM[name]
    model = {"hidden": [4, 4, 4, 4], **model}
    options = {"from": deep, "freeze": "hidden[123]"}
    plan = planned(model, options)
    assert plan.cached_through == (f"hidden{count}" if count else None)
    assert planned(model, {**options, "cache": "off"}).cached_through is None
    if why:
        through = f"only up to hidden{count}" if count else "nothing"
        assert f"cached: {through}; {why}" in plan.notes
        assert refused(model, {**options, "cache": "on"}) == (
            f"transfer.cache: on, and {why}; use auto or off, or change that"
        )
    else:
        assert planned(model, {**options, "cache": "on"}).cached_through == f"hidden{count}"


def test_moving_statistics_cannot_be_cached(tmp_path: Path) -> None:
    model = {"hidden": [4, 4], "batch_norm": True}
    source = str(written(tmp_path, "bn", model))
    options = {"from": source, "freeze": "hidden1", "freeze_batch_norm": False}
    plan = planned(model, options)
    why = "the batch-norm statistics of hidden1 move (freeze_batch_norm: false)"
    assert (plan.cached_through, plan.notes) == (None, (f"cached: nothing; {why}",))
    assert why in refused(model, {**options, "cache": "on"})


def test_cache_on_wants_a_frozen_first_layer(deep: str) -> None:
    assert refused(PAIR, {"from": deep, "freeze": "hidden2", "cache": "on"}) == (
        "transfer.cache: on, and the first layer, hidden1, is not frozen; use auto or off, or change that"
    )
    plan = planned(PAIR, {"from": deep, "unfreeze": {"hidden1": 3, "hidden2": 2}, "cache": "on"})
    assert [phase.first for phase in plan.phases] == [2, 1, 0]


def test_phases_are_in_the_order_of_epochs_or_as_stalls_are_written(deep: str) -> None:
    plan = planned({"hidden": [4] * 4}, {"from": deep, "unfreeze": {"hidden1": 9, "hidden[34]": 5, "hidden2": 9}})
    assert [(phase.joins, phase.after_epoch) for phase in plan.phases] == [
        ((), 0), (("hidden3", "hidden4"), 5), (("hidden1", "hidden2"), 9),
    ]  # fmt: skip
    plan = planned(PAIR, {"from": deep, "unfreeze": {"hidden2": {"stalled": 2}, "hidden1": {"stalled": 1}}})
    assert [(phase.joins, phase.stalled) for phase in plan.phases] == [((), None), (("hidden2",), 2), (("hidden1",), 1)]


def test_the_first_rate_that_matches_counts(deep: str) -> None:
    plan = planned(PAIR, {"from": deep, "rates": {"hidden1": 0.1, "hidden.*": 0.5}})
    assert plan.factors == {"hidden1": 0.1, "hidden2": 0.5}
    assert ADAM["type"] == "adam"
