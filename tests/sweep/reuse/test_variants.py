from __future__ import annotations

import re

from dnnrun.sweep.reuse.variants import SCRATCH, first_layers, variants_of
from dnnrun.sweep.reuse.verdict import runs_in_words


def names(*arguments, **options) -> list[str]:
    return [str(variant) for variant in variants_of(*arguments, **options)]


def test_the_protocol_of_the_book() -> None:
    assert names([12, 10, 8], [2, 3], {"from": "s"}) == [
        "from scratch",
        "reuse 3, freeze 3",
        "reuse 3, freeze 2",
        "reuse 3, freeze 1",
        "reuse 3, freeze 0",
        "reuse 3, freeze 3, 1 added",
        "reuse 3, freeze 2, 1 added",
        "reuse 3, freeze 1, 1 added",
        "reuse 3, freeze 0, 1 added",
        "reuse 2, freeze 2, 1 dropped",
        "reuse 2, freeze 1, 1 dropped",
        "reuse 2, freeze 0, 1 dropped",
        "reuse 2, freeze 2, 1 replaced",
        "reuse 2, freeze 1, 1 replaced",
        "reuse 2, freeze 0, 1 replaced",
    ]
    assert len(names([90] * 5, [1, 2, 3, 4, 5], {})) == 35
    assert names([12, 10], [1], {}, unfreeze=["all"], tops=["dropped"]) == [
        "from scratch",
        "reuse 1, freeze 0, 1 dropped",
    ]
    assert names([12, 10], [1], {}, tops=[]) == ["from scratch"]


def test_what_a_variant_lays_over_the_spec() -> None:
    found = {str(variant): variant.setting for variant in variants_of([12, {"units": 10}, 8], [1, 2, 3], {"from": "s"})}
    assert found["reuse 3, freeze 2"] == {"transfer": {"from": "s", "reuse": "hidden[1-3]", "freeze": "hidden[1-2]"}}
    assert found["reuse 2, freeze 0, 1 dropped"] == {
        "model.hidden": [12, {"units": 10}],
        "transfer": {"from": "s", "reuse": "hidden[1-2]", "freeze": None},
    }
    assert found["reuse 3, freeze 3, 1 added"]["model.hidden"] == [12, {"units": 10}, 8, 8]
    assert found["reuse 1, freeze 1, 2 replaced"]["transfer"]["freeze"] == "hidden1"
    assert SCRATCH.setting == {}


def test_patterns_match_the_first_layers_alone() -> None:
    everything = [f"hidden{number}" for number in range(1, 25)] + ["outputs"]
    for count in (1, 2, 9, 10, 12, 23):
        pattern = re.compile(first_layers(count))
        assert [name for name in everything if pattern.fullmatch(name)] == everything[:count]


def test_runs_of_numbers_in_words() -> None:
    told = [runs_in_words(numbers) for numbers in ({2}, {2, 3}, {2, 3, 4}, {1, 3, 4, 5}, {1, 2, 4})]
    assert told == ["2", "2 and 3", "2 to 4", "1, 3 to 5", "1, 2, 4"]
