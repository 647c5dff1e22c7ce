"""A reused first layer over the columns of a table: whose weights they meet is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dnnrun.assemble import plan_transfer
from dnnrun.data.source import Places
from dnnrun.errors import TransferError
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from tests.smallruns import trained
from tests.transfer.sources import written

MODEL = {"hidden": [6]}


def spec_of(frame: pl.DataFrame, path: Path, source: Path | None = None) -> Spec:
    frame.write_csv(path)
    table = {"type": "csv", "path": str(path), "target": "y"}
    transfer = {} if source is None else {"transfer": {"from": str(source)}}
    return load_mapping(
        {"name": "t", "data": {"source": table}, "model": MODEL, "train": {"epochs": 1, "batch_size": 10}, **transfer}
    )


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 100))
    return pl.DataFrame({"a": a, "b": b, "k": rng.choice(["p", "q"], 100), "y": np.where(a > b, "yes", "no")})


@pytest.fixture(scope="module")
def source(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    folder = tmp_path_factory.mktemp("source")
    return trained(spec_of(frame, folder / "a.csv"), folder, compiled).run


OTHER = "Its weights are those of the old ones"


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda frame: frame, None),
        (
            lambda frame: frame.with_columns(pl.col("a") * 2),
            "hidden1: its columns are those of {source}, prepared by what these training rows show",
        ),
        (
            lambda frame: frame.select("b", "a", "k", "y"),
            "hidden1: its inputs are others than in {source}: 1 was 'a' and is 'b'; 2 was 'b' and is 'a'. "
            f"{OTHER}; bring the columns into the source's order, or do not reuse hidden1",
        ),
        (
            lambda frame: frame.rename({"a": "c", "b": "d", "k": "l"}),
            "hidden1: its inputs are others than in {source}: 1 was 'a' and is 'c'; 2 was 'b' and is 'd'; 3 was 'k=p' "
            f"and is 'l=p'; 1 more. {OTHER}; use its columns, or do not reuse hidden1",
        ),
        (
            lambda frame: frame.with_columns(pl.col("k").replace({"q": "r"})),
            "hidden1: its inputs are others than in {source}: 4 was 'k=q' and is 'k=r'. "
            f"{OTHER}; use its columns, or do not reuse hidden1",
        ),
    ],
    ids=["the same", "other numbers", "another order", "other names", "another category"],
)
def test_other_columns_are_told(change, note, frame: pl.DataFrame, source: Path, tmp_path: Path) -> None:
    plan = plan_transfer(spec_of(change(frame), tmp_path / "b.csv", source), Places())
    assert list(plan.notes) == ([] if note is None else [note.format(source=source)])


def test_another_number_of_columns_is_refused_by_name(frame: pl.DataFrame, source: Path, tmp_path: Path) -> None:
    changed = frame.drop("b", "k").with_columns(more=pl.col("a") ** 2)
    with pytest.raises(TransferError) as caught:
        plan_transfer(spec_of(changed, tmp_path / "b.csv", source), Places())
    assert str(caught.value) == (
        f"transfer: the data has 2 features and hidden1 of {source} takes 4; it lacks b, k=p, k=q; it has more. "
        "Use the same columns, or do not reuse hidden1"
    )


def test_columns_on_one_side_alone(frame: pl.DataFrame, source: Path, tmp_path: Path) -> None:
    plain = written(tmp_path, "plain", MODEL, image=None, features=4, preprocessing={"type": "none"})
    assert plan_transfer(spec_of(frame, tmp_path / "b.csv", plain), Places()).notes[0] == (
        f"hidden1: {plain} was trained on rows without names, and here it takes the columns a, b, k=p, k=q: see that "
        "they are the same"
    )
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).normal(size=(60, 4)), y=np.arange(60) % 2)
    rows = {"data": {"source": {"type": "npz", "path": str(tmp_path / "rows.npz")}}, "model": MODEL}
    spec = load_mapping({**rows, "transfer": {"from": str(source)}})
    assert plan_transfer(spec, Places()).notes == (
        f"hidden1: {source} was trained on the columns a, b, k=p, k=q, and here it takes rows without names: see that "
        "they are the same",
    )
