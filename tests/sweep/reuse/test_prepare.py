"""What a reuse search settles before anything runs, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dnnrun.errors import CheckpointError, DataError, DnnrunError, SpecError, TransferError
from dnnrun.store.find import find_checkpoint
from tests.sweep.reuse.searches import prepared
from tests.transfer.sources import written


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sources"), "source", {"hidden": [12, 10, 8]})


def test_every_depth_is_tried_with_the_checkpoint_of_now(source: Path, tmp_path: Path) -> None:
    found = prepared(source, tmp_path)
    assert found.source == find_checkpoint(source).folder.resolve()
    assert {variant.reuse for variant in found.variants} == {0, 1, 2, 3}
    assert found.base.transfer is None
    assert list(found.sweep.settings) == [dict(variant.setting) for variant in found.variants]
    assert {variant.setting["transfer"]["from"] for variant in found.variants[1:]} == {str(found.source)}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("hidden", "depths", "why"),
    [
        ([12, 10], {1, 2}, "the source has 2 hidden layers"),
        ([12, 10, 9], {1, 2}, "hidden3/kernel: found 10x9 (hidden3/kernel), wanted 10x8"),
        ([12, 11, 8], {1}, "hidden2/kernel: found 12x11 (hidden2/kernel), wanted 12x10"),
    ],
)
def test_depths_end_where_the_source_does_not_fit(
    hidden: list[int], depths: set[int], why: str, tmp_path: Path
) -> None:
    source = written(tmp_path, "other", {"hidden": hidden})
    found = prepared(source, tmp_path)
    assert {variant.reuse for variant in found.variants} == {0, *depths}
    assert found.notes == (f"at most {max(depths)} of 3 hidden layers can be reused: {why}",)
    added = [variant for variant in found.variants if variant.top == "added"]
    assert {variant.reuse for variant in added} == {max(depths)}
    with pytest.raises(TransferError) as caught:
        prepared(source, tmp_path, {"depths": {1, 3}})
    assert str(caught.value) == (
        f"--depths 3: wanted 1 to {max(depths)}; at most {max(depths)} of 3 hidden layers can be reused: {why} "
        f"(source: {found.source})"
    )


def test_options_that_are_not_tried_go_into_every_variant(source: Path, tmp_path: Path) -> None:
    found = prepared(source, tmp_path, transfer={"cache": "off", "freeze_batch_norm": False})
    for variant in found.variants[1:]:
        assert variant.setting["transfer"]["cache"] == "off"
        assert variant.setting["transfer"]["freeze_batch_norm"] is False


def test_what_computes_something_else_is_noted_once(source: Path, tmp_path: Path) -> None:
    found = prepared(source, tmp_path, model={"hidden": [12, 10, 8], "activation": "elu"})
    assert found.notes[0] == "hidden1: its activation here is elu (alpha 1.0), in the source relu"
    assert len(found.notes) == len(set(found.notes)) == 3


REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[DnnrunError], str]] = [
    (
        {"transfer": {"freeze": "hidden1", "rates": {"hidden1": 0.1}}},
        {},
        SpecError,
        "transfer.freeze: reuse-search tries what to reuse and freeze by itself; leave it out, or set it to null\n"
        "transfer.rates: reuse-search tries what to reuse and freeze by itself; leave it out, or set it to null",
    ),
    (
        {"transfer": {"cache": "on"}},
        {},
        SpecError,
        "transfer.cache: on, and variants that freeze nothing have nothing to cache; use auto or off",
    ),
    (
        {"transfer": {"from": ["a", "b"]}},
        {},
        SpecError,
        "transfer.from: several sources; reuse-search takes the layers of one",
    ),
    (
        {"sweep": {"grid": {"train.epochs": [1, 2]}}},
        {},
        SpecError,
        "sweep.grid: reuse-search varies the reuse alone; leave it out, or use dnnrun sweep",
    ),
    ({"model": {"hidden": []}}, {}, SpecError, "model.hidden: no hidden layer, so none to reuse; wanted one or more"),
    (
        {"data": {"source": "digits", "validation": 0}},
        {},
        DataError,
        "data.validation leaves no rows, and variants are compared by validation.accuracy; leave some, or give --folds",
    ),
    (
        {},
        {"depths": {2}, "tops": ["added"], "unfreeze": [3]},
        SpecError,
        "nothing is left to try: these depths leave hidden layers of the spec above them; let --variants have dropped "
        "or replaced, or --unfreeze numbers no larger than the depths",
    ),
    (
        {"model": {"hidden": [9, 10, 8]}},
        {},
        TransferError,
        "the reused layers do not fit:\n"
        "  hidden1/kernel: found 64x12 (hidden1/kernel), wanted 64x9\n"
        "  hidden1/bias: found 12 (hidden1/bias), wanted 9\n"
        "make model.hidden, batch_norm, bias and activation of these layers what they are in the source, or reuse "
        "fewer layers",
    ),
]


@pytest.mark.parametrize(("sections", "options", "kind", "message"), REFUSED, ids=[row[3][:40] for row in REFUSED])
def test_refused(
    sections: dict[str, Any],
    options: dict[str, Any],
    kind: type[DnnrunError],
    message: str,
    source: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(kind) as caught:
        prepared(source, tmp_path, options, **sections)
    assert str(caught.value) == message


def test_depths_beyond_the_spec(source: Path, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"--depths 0, 4: wanted 1 to 3; the spec has 3 hidden layers \(source: "):
        prepared(source, tmp_path, {"depths": {0, 2, 4}})


def test_images_of_another_size_are_resized_only_on_request(tmp_path: Path) -> None:
    large = written(tmp_path, "large", {"hidden": [12, 10, 8]}, image=(16, 16, 1))
    with pytest.raises(TransferError, match=r"set transfer\.resize_inputs: true, or do not reuse hidden1"):
        prepared(large, tmp_path)
    found = prepared(large, tmp_path, transfer={"resize_inputs": True})
    assert found.variants[1].setting["transfer"]["resize_inputs"] is True


def test_no_source(source: Path, tmp_path: Path) -> None:
    with pytest.raises(TransferError) as caught:
        prepared(None, tmp_path)
    told = f"no source to take layers from; name a run with --from (there is no finished run under {tmp_path})"
    assert str(caught.value) == told
    runs = source.parent.parent
    with pytest.raises(TransferError, match=rf"\(finished here: {source.parent}\)"):
        prepared(None, runs)
    with pytest.raises(CheckpointError, match="not found; wanted a run or a checkpoint folder"):
        prepared(tmp_path / "absent", tmp_path)
