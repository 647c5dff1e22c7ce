"""What is advised for so many rows: it loads, steps fit into the rows, and few rows are all learned from."""

from __future__ import annotations

import pytest

from dnnrun.data.advice import advised
from dnnrun.spec.load import load_mapping


@pytest.mark.parametrize(
    ("rows", "validation", "activation"),
    [
        (3, 0, "relu"),
        (999, 0, "relu"),
        (1_000, 0, "relu"),
        (4_999, 0, "relu"),
        (5_000, 0.1, "relu"),
        (16_000, 0.06, "relu"),
        (10**6, 0.02, "relu"),
    ],
)
def test_the_recipe_goes_by_the_rows(rows: int, validation: float, activation: str) -> None:
    sections = advised(rows)
    data = {"source": "digits", **sections.pop("data")}
    spec = load_mapping({"name": "advised", "data": data, **sections})
    assert spec.data.validation == validation
    assert spec.model.activation.type == activation  # type: ignore[attr-defined]
    assert spec.train.batch_size <= rows * (1 - validation)
    steps = spec.train.epochs * (rows // spec.train.batch_size)
    assert steps >= 300
    assert (spec.train.early_stopping is None) == (validation == 0)


def test_few_rows_that_gain_nothing_by_bends_are_held_back_harder() -> None:
    none, perhaps, sure = (advised(999, gain) for gain in (0.9, 1.9, 2.1))
    assert [one["train"]["l2"] for one in (none, perhaps, sure)] == [0.03, 0.01, 0.01]
    assert [one["model"]["activation"] for one in (none, perhaps, sure)] == ["elu", "elu", "relu"]


@pytest.mark.parametrize(("rows", "l2"), [(1_000, 0.01), (8_000, 0.003), (40_000, 0.003)])
def test_many_rows_are_held_back_where_bends_tell_less(rows: int, l2: float) -> None:
    assert advised(rows, -0.9) == advised(rows, 1.5) == advised(rows)
    held = advised(rows, -1.1)
    assert (held["model"]["activation"], held["train"]["l2"]) == ("elu", l2)
    assert held["data"] == advised(rows)["data"]
