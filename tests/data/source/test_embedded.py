from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from dnnrun.data import bundled
from dnnrun.data.source import Places, Rows, Source
from dnnrun.errors import DataError

SETS: dict[str, Any] = {
    "breast_cancer": datasets.load_breast_cancer(),
    "wine": datasets.load_wine(),
    "iris": datasets.load_iris(),
    "diabetes": datasets.load_diabetes(scaled=False),
}


def ordered(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rows with what is told of them, sorted."""
    whole = np.column_stack([features, labels]).astype(np.float64)
    return whole[np.lexsort(whole.T[::-1])]


@pytest.mark.parametrize("name", SETS)
def test_the_rows_are_those_of_scikit_learn(name: str) -> None:
    raw = Source.parse(name).read(Places())
    assert raw.test is not None
    both = [ordered(rows.features, rows.labels) for rows in (raw.train, raw.test)]
    found = np.concatenate(both)
    wanted = ordered(SETS[name].data.astype(np.float32), SETS[name].target)
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], wanted)
    assert len(raw.test.labels) == round(len(wanted) * 0.2)
    assert raw.task == Source.parse(name).task
    if raw.task == "classification":
        assert raw.classes == tuple(map(str, SETS[name].target_names))
        share = np.bincount(raw.test.labels) / np.bincount(raw.train.labels)
        assert abs(share - 0.25).max() < 0.05


def test_another_draw_has_other_test_rows() -> None:
    def test_rows(draw: int) -> Rows:
        found = Source.parse({"type": "wine", "draw": draw}).read(Places()).test
        assert found is not None
        return found

    assert (test_rows(0).features == test_rows(0).features).all()
    assert (test_rows(0).features != test_rows(1).features).any()
    assert Source.parse({"type": "wine", "test": 0.0}).read(Places()).test is None


def test_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "_folder", lambda name, comes: tmp_path)
    with pytest.raises(DataError) as caught:
        Source.parse("iris").read(Places())
    assert str(caught.value) == (
        f"iris: {tmp_path / 'iris.csv'} cannot be read (No such file or directory); {bundled.ADVICE}"
    )
    (tmp_path / "iris.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match="has another content"):
        Source.parse("iris").read(Places())
