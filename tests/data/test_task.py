"""What is told of a row: taken as something else where it can be, refused where it is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dnnrun.data.select import Selection, select
from dnnrun.data.source import Raw, Rows
from dnnrun.data.task import as_task
from dnnrun.errors import DataError


def table(labels: Any, weights: Any = None, **changes: Any) -> Raw:
    labels = np.asarray(labels)
    features = np.arange(2 * len(labels), dtype=np.float32).reshape(-1, 2)
    train = Rows(features, labels, None if weights is None else np.asarray(weights, np.float32))
    made: dict[str, Any] = {"classes": (), "image": None, "largest": 1.0, "fingerprint": "0"}
    return Raw(train, None, **{**made, **changes})


def numbers(*values: float, **changes: Any) -> Raw:
    labels = np.array(values, np.float32)[:, None]
    return table(labels, task="regression", targets=("price",), **changes)


CLASSES = table(np.array([0, 1, 2, 1], np.int32), classes=("3", "1", "7"))


def test_classes_that_are_numbers_are_told_as_numbers() -> None:
    found = as_task(CLASSES, "regression")
    assert found.train.labels.ravel().tolist() == [3, 1, 7, 1]
    assert (found.task, found.classes, found.targets) == ("regression", (), ("target",))


def test_classes_are_told_as_labels() -> None:
    found = as_task(CLASSES, "multilabel")
    assert found.train.labels.tolist() == np.eye(3)[[0, 1, 2, 1]].tolist()
    assert found.targets == ("3", "1", "7")


def test_whole_numbers_are_told_as_classes() -> None:
    found = as_task(numbers(5, -2, 5, 9), "classification")
    assert found.classes == ("-2", "5", "9")
    assert found.train.labels.tolist() == [1, 0, 1, 2]
    assert found.train.labels.dtype == np.int32


def test_numbers_keep_their_rows_and_weights() -> None:
    raw = numbers(*range(10))
    raw = replace(raw, train=replace(raw.train, weights=np.arange(1, 11, dtype=np.float32)))
    data = select(raw, Selection(validation=0.2), seed=1)
    assert data.weights is not None
    np.testing.assert_array_equal(data.labels[:, 0], data.origin)
    np.testing.assert_array_equal(data.weights, data.origin + 1)
    assert data.names == ("price",)
    other = select(numbers(*range(10)), Selection(validation=0.2), seed=1)
    assert data.hash != other.hash


BAD = {
    "a fraction as a class": (numbers(1, 2.5), "classification",
        "data.task: classification wants classes, and price has 2 different numbers; use regression"),
    "numbers as labels": (numbers(1, 3), "multilabel",
        "train row 2: its target 'price' is 3, wanted 0 or 1; rows like it: 1; correct or drop them"),
    "nan": (numbers(1, np.nan, 2, np.inf), None,
        "train row 2: its target 'price' is nan, wanted a number; rows like it: 2; correct or drop them"),
    "constant": (numbers(4, 4, 4), None,
        "the target 'price' is 4 in every row to train on: there is nothing to learn; take another target, or other "
        "rows"),
    "no targets": (table(np.zeros((3, 0), np.float32), task="regression"), None,
        "train labels are 3 x 0 float32, wanted 3 x targets float32"),
    "two of one name": (table(np.eye(2, dtype=np.float32), task="multilabel", targets=("a", "a")), None,
        "two targets of the data are called 'a'; give them different names"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    raw, task, message = BAD[name]
    with pytest.raises(DataError) as caught:
        select(raw, Selection(validation=0, task=task), seed=0)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -2, 1, 1], "train row 2 has weight -2, wanted 0 or more; rows like it: 1; correct or drop them"),
        ([1, np.nan, np.inf, 1], "train row 2 has weight nan, wanted 0 or more; rows like it: 2; correct or drop them"),
        ([0, 0, 0, 0], "every train row has weight 0; give some more"),
        ([1, 1], "train weights are 2 float32, wanted 4 float32"),
    ],
)
def test_weights_that_are_none(weights: list[float], message: str) -> None:
    raw = replace(CLASSES, train=replace(CLASSES.train, weights=np.asarray(weights, np.float32)))
    with pytest.raises(DataError) as caught:
        select(raw, Selection(validation=0), seed=0)
    assert str(caught.value) == message
