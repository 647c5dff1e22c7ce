"""The digits inside scikit-learn, read without importing it."""

from __future__ import annotations

import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from dnnrun.data.source import Places, Source
from dnnrun.data.source.digits import SHA256
from dnnrun.errors import DataError


def test_the_same_as_scikit_learn_gives() -> None:
    from sklearn.datasets import load_digits

    raw = Source.parse("digits").read(Places())
    assert raw.test is not None
    x, y = load_digits(return_X_y=True)
    np.testing.assert_array_equal(np.concatenate([raw.train.features, raw.test.features]), x)
    np.testing.assert_array_equal(np.concatenate([raw.train.labels, raw.test.labels]), y)
    assert (len(raw.train.labels), len(raw.test.labels)) == (1438, 359)
    assert raw.train.features.dtype == np.uint8
    assert raw.train.labels.dtype == np.int32
    assert (raw.image, raw.largest, raw.classes) == ((8, 8, 1), 16, tuple("0123456789"))


@pytest.mark.parametrize(("test", "rows"), [(0, None), (0.0, None), (0.5, 898), (0.999, 1795)])
def test_how_many_are_held_out(test: float, rows: int | None) -> None:
    raw = Source.parse({"type": "digits", "test": test}).read(Places())
    assert (raw.test and len(raw.test.labels)) == rows


def test_nothing_left_to_train_on() -> None:
    with pytest.raises(DataError) as caught:
        Source.parse({"type": "digits", "test": 0.9999}).read(Places())
    assert str(caught.value) == "digits: test 0.9999 of 1,797 rows leaves no row to train on; take less"
    for test in (1, -0.1, True, "0.2"):
        with pytest.raises(ValidationError):
            Source.parse({"type": "digits", "test": test})


def test_scikit_learn_is_not_imported() -> None:
    code = (
        "import sys; from dnnrun.data.source import Source, Places; source = Source.parse('digits');"
        "assert 'numpy' not in sys.modules; source.read(Places()); assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "datasets" / "data" / "digits.csv.gz"
    advice = "install the scikit-learn that constraints.txt names"
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])

    def message() -> str:
        with pytest.raises(DataError) as caught:
            Source.parse("digits").read(Places())
        return str(caught.value)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    wanted = "digits: they come with scikit-learn, which is not installed; pip install scikit-learn"
    assert message() == wanted
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert message() == f"digits: {path} cannot be read (No such file or directory); {advice}"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"1,2,3\n4,5,6\n"))
    assert message().startswith(f"digits: {path} has another content (sha256 ")
    assert message().endswith(f", wanted {SHA256}); {advice}")
    path.write_bytes(gzip.compress(b"1,2,x\n"))
    assert message().startswith(f"digits: {path} is no table of numbers (")
