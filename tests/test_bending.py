"""Whether few rows show that their target bends, and the recipe that `dnnrun new` chooses by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dnnrun.data.advice import CHANCE, SURE
from dnnrun.data.source import Places
from dnnrun.proposal import propose
from dnnrun.proposal.bending import FEWEST, WIDEST, Bending, bending
from dnnrun.spec.load import load
from dnnrun.spec.sections import Spec


def rows(count: int, width: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, (count, width) float32, and standard normal noise, (count,)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)).astype(np.float32), rng.normal(size=count)


def shown(found: Bending | None) -> bool:
    """Whether there is a gain; where there is none, that it is not even near one."""
    assert found is not None
    assert not CHANCE < found.gain < SURE
    return found.gain > SURE


@pytest.mark.parametrize("seed", range(3))
def test_numbers_that_bend_and_numbers_that_do_not(seed: int) -> None:
    x, noise = rows(200, seed=seed)
    straight, bent = x[:, 0] - x[:, 1], np.sin(2 * x[:, 0]) * x[:, 1]
    assert not shown(bending(x, (straight + 0.5 * noise)[:, None], "regression"))
    assert shown(bending(x, (bent + 0.3 * noise)[:, None], "regression"))
    assert shown(bending(x, np.stack([straight, bent], 1), "regression"))


@pytest.mark.parametrize("seed", range(3))
def test_classes_and_labels(seed: int) -> None:
    x, noise = rows(300, seed=seed)
    half, ring = (x[:, 0] + 0.3 * noise > 0).astype(int), ((x[:, :2] ** 2).sum(1) > 1.4).astype(int)
    assert not shown(bending(x, half, "classification"))
    assert shown(bending(x, ring, "classification"))
    both = np.stack([half, ring, np.ones(300)], 1).astype(np.float32)
    assert shown(bending(x, both, "multilabel"))
    assert not shown(bending(x, both[:, [0, 2]], "multilabel"))


@pytest.mark.parametrize("width", [2, 400])
def test_noise_shows_no_bend(width: int) -> None:
    x, noise = rows(100, width)
    assert not shown(bending(x, noise[:, None], "regression"))
    assert not shown(bending((x > 0).astype(np.float32), (noise > 0).astype(int), "classification"))


def test_too_few_rows_to_say() -> None:
    x, noise = rows(FEWEST - 1)
    assert bending(x, noise[:, None], "regression") is None
    x, _ = rows(60)
    rare = np.zeros(60, int)
    rare[:3] = 1
    assert bending(x, rare, "classification") is None


def spec_of(folder: Path, x: np.ndarray, y: np.ndarray) -> tuple[Spec, str]:
    path = folder / "few.csv"
    pl.DataFrame({**{f"x{at}": x[:, at] for at in range(x.shape[1])}, "y": y}).write_csv(path)
    text = propose(str(path), ["y"], places=Places()).text
    (folder / "few.yaml").write_text(text)
    return load(folder / "few.yaml"), text


def test_a_straight_table_is_held_back_hard_and_told_why(tmp_path: Path) -> None:
    x, noise = rows(200)
    spec, text = spec_of(tmp_path, x, x[:, 0] + 0.5 * noise)
    assert (spec.model.activation.type, spec.train.l2) == ("elu", 0.03)  # type: ignore[attr-defined]
    assert "than linear ones here (squared error" in text
    assert "5-fold), so held back hard" in text


def test_a_bent_table_is_held_back_less(tmp_path: Path) -> None:
    x, _ = rows(200)
    spec, text = spec_of(tmp_path, x, np.sin(2 * x[:, 0]) * x[:, 1])
    assert (spec.model.activation.type, spec.train.l2) == ("relu", 0.01)  # type: ignore[attr-defined]
    assert "l2: 0.01  # smooth functions tell more than linear ones here (squared error" in text


def test_of_many_rows_some_are_asked(tmp_path: Path) -> None:
    x, noise = rows(2_000)
    spec, text = spec_of(tmp_path, x, x[:, 0] + 0.5 * noise)
    assert (spec.model.activation.type, spec.train.l2) == ("elu", 0.01)  # type: ignore[attr-defined]
    assert "l2: 0.01  # smooth functions tell less than linear ones here (squared error" in text
    assert "5-fold, 1,000 rows), so held back hard" in text
    spec, text = spec_of(tmp_path, x, np.sin(2 * x[:, 0]) * x[:, 1])
    assert (spec.model.activation.type, spec.train.l2) == ("relu", 0.01)  # type: ignore[attr-defined]
    assert "l2: 0.01  # smooth functions tell more than linear ones here (squared error" in text


def test_many_wide_rows_are_not_asked(tmp_path: Path) -> None:
    x, noise = rows(1_300, WIDEST + 1)
    spec, text = spec_of(tmp_path, x, x[:, 0] + 0.5 * noise)
    assert (spec.model.activation.type, spec.train.l2) == ("relu", 0.01)  # type: ignore[attr-defined]
    assert "linear ones" not in text


def test_test_rows_have_no_say(tmp_path: Path) -> None:
    from dnnrun.data.split import split_rows

    x, noise = rows(300)
    y = x[:, 0] + 0.5 * noise
    before = spec_of(tmp_path, x, y)[1]
    _, test = split_rows(np.zeros(300, np.int32), 0.2, 0)
    y[test] = 50 * x[test, 1] ** 2
    y[test] = y[test].clip(y.min(), y.max())  # as the spec's head tells the range
    after = spec_of(tmp_path, x, y)[1]

    def line(text: str) -> str:
        return next(line for line in text.splitlines() if "l2:" in line)

    assert line(after) == line(before)
