"""Pairs: half of one class, by the law of the notebook's rejection sampling; and what a run on them answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnnrun.errors import CheckpointError, DataError, SpecError
from dnnrun.matching import answer
from dnnrun.pretrain.scheme.pairs import drawn_pairs
from tests.pretrain.test_stages import spec, trained

LABELS = np.repeat([0, 1, 2], [2, 5, 13])


def test_half_of_the_pairs_are_of_one_class() -> None:
    pairs = drawn_pairs(LABELS, 2000, np.random.default_rng(0), "training").reshape(-1, 2)
    same = LABELS[pairs[:, 0]] == LABELS[pairs[:, 1]]
    assert same.sum() == 1000
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert 400 < same[:1000].sum() < 600  # shuffled


def test_every_pair_is_as_likely_as_any_other_of_its_kind() -> None:
    count = 200_000
    pairs = drawn_pairs(LABELS, count, np.random.default_rng(1), "training").reshape(-1, 2)
    seen = np.zeros((20, 20))
    np.add.at(seen, (pairs[:, 0], pairs[:, 1]), 1)
    alike = LABELS[:, None] == LABELS
    for kind in (alike & ~np.eye(20, dtype=bool), ~alike):
        wanted = count / 2 / kind.sum()
        assert np.abs(seen[kind] - wanted).max() < 5 * wanted**0.5
    assert not np.diag(seen).any()


def test_an_odd_number_of_pairs() -> None:
    pairs = drawn_pairs(LABELS, 7, np.random.default_rng(0), "training").reshape(-1, 2)
    assert (LABELS[pairs[:, 0]] == LABELS[pairs[:, 1]]).sum() in (3, 4)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_pairs_want_two_kinds(labels: list[int]) -> None:
    with pytest.raises(SpecError, match="pairs wants two classes and two rows of one among the test rows"):
        drawn_pairs(np.array(labels), 4, np.random.default_rng(0), "test")


@pytest.mark.parametrize("shared", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_on_pairs_tells_which_reference_a_row_matches(shared: bool, tmp_path: Path, compiled: Path) -> None:
    from sklearn.datasets import load_digits

    scheme = {"type": "pairs", "epochs": 60, "shared": shared, "optimizer": {"type": "adam", "learning_rate": 0.01}}
    options = ("data.limit=null", "model.hidden=[40, 20]", "model.activation=elu", "train.batch_size=50")
    result = trained(spec(scheme, *options), tmp_path, compiled, only_stages=True)
    pixels, labels = load_digits(return_X_y=True)
    references = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    np.save(tmp_path / "rows.npy", pixels[-300:])
    np.save(tmp_path / "references.npy", pixels[references].reshape(-1, 8, 8))
    found = answer(result.run, tmp_path / "rows.npy", tmp_path / "references.npy")
    assert found.probabilities.shape == (300, 10)
    assert (found.matches == labels[-300:]).mean() > 0.5
    assert result.metrics["test"]["accuracy"] > 0.75
    said = found.as_json()
    assert said["references"] == 10
    assert said["matches"][0]["row"] == 0
    assert said["matches"][0].keys() == {"row", "reference", "probability"}
    bad = {
        "absent.npy": "absent.npy: not found; wanted a .npy file of rows",
        "narrow.npy": r"narrow.npy: of shape \[3, 7\]; wanted \[rows, 64\], one row an example",
        "holes.npy": "holes.npy: nan or infinity, first in row 1; wanted finite numbers",
        "none.npy": "none.npy: no rows; wanted one reference or more",
    }
    np.save(tmp_path / "narrow.npy", np.zeros((3, 7)))
    np.save(tmp_path / "holes.npy", np.array([np.zeros(64), np.full(64, np.nan)]))
    np.save(tmp_path / "none.npy", np.zeros((0, 64)))
    for name, wanted in bad.items():
        with pytest.raises(DataError, match=wanted):
            answer(result.run, tmp_path / "rows.npy", tmp_path / name)


def test_other_runs_match_nothing(tmp_path: Path, compiled: Path) -> None:
    result = trained(spec("margin"), tmp_path, compiled)
    np.save(tmp_path / "rows.npy", np.zeros((2, 64)))
    with pytest.raises(CheckpointError, match="a classifier; --against wants a run of `dnnrun pretrain` with pretrain"):
        answer(result.run, tmp_path / "rows.npy", tmp_path / "rows.npy")
    with pytest.raises(CheckpointError, match="pretrained by margin; --against wants"):
        answer(result.run / "stages" / "1-margin", tmp_path / "rows.npy", tmp_path / "rows.npy")
