"""Which rows are used: the order split, classes, limit is fixed, and each step a pure function."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dnnrun.data.dataset import Dataset
from dnnrun.data.select import Fold, PerClass, Selection, class_numbers, select
from dnnrun.data.source import Raw, Rows
from dnnrun.data.split import fold_rows, split_rows
from dnnrun.errors import DataError

NAMES = ("cat", "dog", "owl")


def raw(labels: Any, test: Any = (0, 1, 2), classes: tuple[str, ...] = NAMES, **changes: Any) -> Raw:
    """Rows that carry their own number: train row i holds (i, i), test row i holds (200 + i, 200 + i)."""

    def rows(values: Any, first: int) -> Rows:
        features = np.repeat(np.arange(first, first + len(values), dtype=np.uint8)[:, None], 2, axis=1)
        return Rows(features, np.asarray(values, np.int32))

    made: dict[str, Any] = {
        "train": rows(labels, 0),
        "test": None if test is None else rows(test, 200),
        "classes": classes,
        "image": (1, 2, 1),
        "largest": 255,
        "fingerprint": "f" * 64,
    }
    return Raw(**{**made, **changes})


def numbers(dataset: Dataset, split: str) -> list[int]:
    return dataset.rows(split).features[:, 0].tolist()


LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


def test_first_rows_as_the_book_does() -> None:
    made = select(raw(LABELS), Selection(validation=4), seed=0)
    assert made.splits == {"train": (0, 6), "validation": (6, 10), "test": (10, 13)}
    assert numbers(made, "train") == [4, 5, 6, 7, 8, 9]
    assert numbers(made, "validation") == [0, 1, 2, 3]
    assert numbers(made, "test") == [200, 201, 202]
    assert made.labels.tolist() == [1, 2, 0, 1, 2, 0, 0, 1, 2, 0, 0, 1, 2]
    assert made.features.flags.c_contiguous
    assert (made.labels.dtype, made.features.dtype, made.width) == (np.int32, np.uint8, 2)
    assert np.shares_memory(made.rows("validation").features, made.features)


def test_classes_then_limit() -> None:
    made = select(raw(LABELS), Selection(validation=4, classes=("owl", "cat"), limit=2), seed=0)
    assert made.classes == ("owl", "cat")
    assert numbers(made, "train") == [5, 6]  # 4 and 7 are dogs, 8 and 9 over the limit
    assert numbers(made, "validation") == [0, 2, 3]  # no limit here
    assert numbers(made, "test") == [200, 202]
    assert made.labels.tolist() == [0, 1, 1, 0, 1, 1, 0]


def test_per_class() -> None:
    made = select(raw(LABELS), Selection(validation=4, per_class=1), seed=0)
    assert numbers(made, "train") == [4, 5, 6]
    assert numbers(made, "validation") == [0, 1, 2, 3]
    both = Selection(validation=4, per_class=PerClass(train=1, validation=1))
    assert numbers(select(raw(LABELS), both, seed=0), "validation") == [0, 1, 2]


def test_no_validation_and_no_test() -> None:
    made = select(raw(LABELS, test=None), Selection(validation=0), seed=0)
    assert made.splits == {"train": (0, 10)}
    with pytest.raises(DataError, match="there are no validation rows; this dataset has train"):
        made.rows("validation")
    assert select(raw(LABELS, test=None), Selection(validation=0.0), seed=0).splits == {"train": (0, 10)}


def test_a_limit_after_a_fraction_draws_from_all_rows() -> None:
    made = select(raw([0] * 50 + [1] * 50 + [2] * 50), Selection(limit=60), seed=0)
    assert min(Counter(made.rows("train").labels.tolist()).values()) > 10


def test_the_split_of_a_seed_is_for_ever() -> None:
    train, validation = split_rows(np.asarray(LABELS), 0.3, seed=42)
    assert validation.tolist() == PINNED[0]
    assert train.tolist() == PINNED[1]


PINNED = ([6, 1, 2], [4, 9, 7, 0, 8, 3, 5])


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=200),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**40),
)
def test_a_fraction_is_stratified(labels: list[int], fraction: float, seed: int) -> None:
    values = np.asarray(labels, np.int32)
    try:
        train, validation = split_rows(values, fraction, seed)
    except DataError:
        counts = Counter(labels).values()
        assert round(len(labels) * fraction) == 0 or max(counts) == 1
        return
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert len(validation) <= round(len(labels) * fraction) or len(validation) < len(labels) * fraction + 1
    whole, kept, held = Counter(labels), Counter(values[train].tolist()), Counter(values[validation].tolist())
    for label, count in whole.items():
        assert kept[label] >= 1
        assert held[label] <= count * fraction + 1
        assert held[label] >= min(int(count * fraction), count - 1)
    again = split_rows(values, fraction, seed)
    np.testing.assert_array_equal(again[0], train)
    np.testing.assert_array_equal(again[1], validation)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=120),
    validation=st.one_of(st.integers(0, 5), st.floats(0, 0.9)),
    classes=st.one_of(st.none(), st.permutations(NAMES).flatmap(lambda p: st.sampled_from([p[:2], p]))),
    limit=st.one_of(st.none(), st.integers(1, 50)),
    seed=st.integers(0, 9),
)
def test_rows_keep_their_labels(labels: list[int], validation: Any, classes: Any, limit: Any, seed: int) -> None:
    options = Selection(validation=validation, classes=classes and tuple(classes), limit=limit)
    data = raw(labels)
    try:
        made = select(data, options, seed)
    except DataError:
        return
    seen = []
    for split in made.splits:
        part = made.rows(split)
        for row, label in zip(part.features, part.labels, strict=True):
            source, first = (data.test, 200) if split == "test" else (data.train, 0)
            assert source is not None
            assert made.classes[label] == NAMES[source.labels[row[0] - first]]
            seen.append(row[0])
    assert len(set(seen)) == len(seen)
    assert limit is None or len(made.rows("train").labels) <= limit
    assert select(data, options, seed).hash == made.hash
    free = select(data, Selection(validation=validation, classes=options.classes), seed)
    assert numbers(free, "train")[:limit] == numbers(made, "train")


def test_the_hash_tells_datasets_apart() -> None:
    data = raw(LABELS)
    other = raw([1, *LABELS[1:]])
    made = [
        select(data, Selection(validation=4), seed=0),
        select(data, Selection(validation=3), seed=0),
        select(data, Selection(validation=4, limit=5), seed=0),
        select(data, Selection(validation=4, classes=("cat", "dog")), seed=0),
        select(data, Selection(validation=4, classes=("dog", "cat")), seed=0),
        select(data, Selection(validation=0.4), seed=0),
        select(data, Selection(validation=0.4), seed=1),
        select(other, Selection(validation=4), seed=0),
        select(raw(LABELS, test=None), Selection(validation=4), seed=0),
        select(raw(LABELS, fingerprint="e" * 64), Selection(validation=4), seed=0),
        select(raw(LABELS, classes=("cat", "dog", "ant")), Selection(validation=4), seed=0),
    ]
    assert len({one.hash for one in made}) == len(made)
    assert select(data, Selection(validation=4), seed=9).hash == made[0].hash  # no draw, no seed


def floats(value: float) -> Rows:
    features = np.zeros((10, 2), np.float32)
    features[6, 1] = value
    return Rows(features, np.asarray(LABELS, np.int32))


BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"validation": 10}, "data.validation takes 10 rows, and there are 10 to train on; take less"),
    ({}, {"validation": 5000}, "data.validation takes 5,000 rows, and there are 10 to train on; take less"),
    (
        {},
        {"validation": 0.01},
        "data.validation: 0.01 of 10 rows of 3 classes is no row; take more, or 0 for no validation",
    ),
    ({}, {"classes": ("cat", "cow")}, "data.classes: there is no class 'cow'; there are cat, dog, owl"),
    ({}, {"classes": (0, 3)}, "data.classes: there is no class 3; there are cat, dog, owl"),
    ({}, {"classes": ("cat", 0)}, "data.classes: 'cat' stands there twice; name each class once"),
    (
        {},
        {"validation": 4, "per_class": 3},
        "data.per_class wants 3 train rows of class 'cat', and there are 2; take less, or another data.validation",
    ),
    (
        {},
        {"validation": 0, "per_class": {"validation": 1}},
        "data.per_class wants 1 validation rows of class 'cat', and there are 0; take less, or another data.validation",
    ),
    (
        {"labels": [0, 1, 2, 2, 2, 2]},
        {"validation": 2, "classes": ("cat", "dog")},
        "no training row is left of the classes cat, dog; name others in data.classes",
    ),
    (
        {"labels": [0, 1, 3, 3]},
        {},
        "train row 3 has label 3, wanted 0 to 2 (cat, dog, owl); rows like it: 2; correct or drop them",
    ),
    (
        {"test": [0, -1]},
        {},
        "test row 2 has label -1, wanted 0 to 2 (cat, dog, owl); rows like it: 1; correct or drop them",
    ),
    ({"classes": ("cat",)}, {}, "the data has 1 class, wanted two or more; give it rows of other classes"),
    ({"classes": ("cat", "dog", "cat")}, {}, "two classes of the data are called 'cat'; give them different names"),
    (
        {"train": floats(float("nan")), "test": None},
        {},
        "train row 7, column 2 holds nan, wanted a number; fill in or drop what is missing",
    ),
    (
        {"train": floats(float("-inf")), "test": None},
        {},
        "train row 7, column 2 holds -inf, wanted a number; fill in or drop what is missing",
    ),
    ({"train": floats(0)}, {}, "test features are uint8, those to train on float32"),
    ({"labels": []}, {}, "there is nothing in the train rows (0 of width 2); give it data"),
    ({"image": (2, 2, 1)}, {}, "train features are 10 x 2 uint8, wanted rows x 4 uint8 or float32"),
]


@pytest.mark.parametrize(("data", "options", "message"), BAD)
def test_bad_data_and_selections_have_exact_messages(
    data: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    changes = {"labels": LABELS, **data}
    with pytest.raises(DataError) as caught:
        select(raw(changes.pop("labels"), **changes), Selection.model_validate(options), seed=0)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (("0", "1", "2"), (2, "0"), [2, 0]),
        (("3", "1", "0"), (3, 0), [0, 2]),  # numbers are names where names are numbers
        (NAMES, (2, "cat"), [2, 0]),
        (("T-shirt/top", "Bag"), (1, 0), [1, 0]),
    ],
)
def test_how_classes_are_named(names: tuple[str, ...], wanted: tuple[int | str, ...], found: list[int]) -> None:
    assert class_numbers(names, wanted) == found


def test_options_take_yaml_and_stay_strict() -> None:
    made = Selection.model_validate({"classes": [5, "six"], "per_class": {"train": 100, "validation": 30}})
    assert made.classes == (5, "six")
    assert made.thinning() == PerClass(train=100, validation=30)
    assert Selection.model_validate({"per_class": 7}).thinning() == PerClass(train=7)
    assert Selection().validation == 0.1
    for bad in (
        {"validation": -1},
        {"validation": 1.0},
        {"validation": True},
        {"validation": "5"},
        {"classes": [True, 1]},
        {"classes": "cat"},
        {"limit": 0},
        {"limit": 1.5},
        {"per_class": 0},
        {"per_class": {"test": 1}},
        {"per_class": 1, "limit": 1},
    ):
        with pytest.raises(ValidationError):
            Selection.model_validate(bad)


@given(st.lists(st.integers(0, 3), min_size=5, max_size=60), st.integers(2, 5), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_every_row_is_validated_on_in_one_fold_and_folds_are_stratified(labels: list[int], of: int, seed: int) -> None:
    array = np.array(labels, np.int32)
    parts = [fold_rows(array, of, number, seed) for number in range(1, of + 1)]
    assert sorted(row for _, validation in parts for row in validation) == list(range(len(labels)))
    for train, validation in parts:
        assert sorted([*train, *validation]) == list(range(len(labels)))
    for kind in set(labels):
        counts = [int((array[validation] == kind).sum()) for _, validation in parts]
        assert max(counts) - min(counts) <= 1
    sizes = [len(validation) for _, validation in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_fold_stands_in_for_validation() -> None:
    made = select(raw(LABELS), Selection(validation=4, fold=Fold(of=5, number=2)), seed=0)
    assert made.splits == {"train": (0, 8), "validation": (8, 10), "test": (10, 13)}
    train, validation = fold_rows(np.array(LABELS), 5, 2, 0)
    assert numbers(made, "train") == train.tolist()
    assert numbers(made, "validation") == validation.tolist()
    with pytest.raises(DataError, match="12 folds of 10 training rows leave some empty; take fewer"):
        select(raw(LABELS), Selection(fold=Fold(of=12, number=1)), seed=0)
    with pytest.raises(ValidationError, match="there is no fold 6 of 5; wanted 1 to 5"):
        Fold(of=5, number=6)
