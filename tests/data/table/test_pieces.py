"""Tables read piece by piece: what they come to is the same in one piece and in many, in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.assemble import read_data
from dnnrun.data.dataset import Dataset
from dnnrun.data.source import Places
from dnnrun.data.table import csv as csv_module
from dnnrun.data.table import pieces, records
from dnnrun.errors import DataError
from dnnrun.spec.load import load_mapping
from tests.mixedtable import mixed


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(stream: bool = False, **options: Any) -> Dataset:
    source = {"type": "csv", "path": "a.csv", "target": "t", **options}
    spec = {
        "data": {"source": source, "validation": 0.2, **({"stream": 20} if stream else {})},
        "model": {"hidden": [2]},
    }
    return read_data(load_mapping(spec), Places(cache=Path("cache")))


def same(one: Dataset, other: Dataset) -> None:
    np.testing.assert_array_equal(one.features, other.features)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.columns == other.columns
    assert one.hash == other.hash


def in_pieces(monkeypatch: pytest.MonkeyPatch, size: int = 1000) -> None:
    monkeypatch.setattr(records, "PIECE", size)
    monkeypatch.setattr(pieces, "LARGE", 2000)


def test_pieces_and_room_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = mixed(600).rename({"churn": "t"})
    table.write_csv("a.csv")
    table.write_parquet("a.parquet")
    options: dict[str, Any] = {"ignore": ["id", "spend"]}
    whole = read(**options)
    in_pieces(monkeypatch)
    same(read(**options), whole)
    streamed = read(stream=True, **options)
    same(streamed, whole)
    assert isinstance(streamed.features, np.memmap)
    assert not [path for path in Path("cache/rows").rglob("*") if path.is_file()]
    typed = {"type": "parquet", "path": "a.parquet", **options}
    same(read(stream=True, **typed), read(**typed))


def rows(*late: str, count: int = 400) -> str:
    return "n,c,t\n" + "".join(f"{at % 90},{'ab'[at % 2]},{'xy'[at % 3 // 2]}\n" for at in range(count)) + "".join(late)


@pytest.mark.parametrize("stream", [False, True])
def test_whole_numbers_that_become_others(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    Path("a.csv").write_text(rows("0.5,a,x\n", "1e9,b,y\n", "-7,a,x\n"))
    in_pieces(monkeypatch)
    found = read(stream)
    assert found.columns is not None
    raw = found.features[:, 0] / found.columns.used[0].factor + found.columns.used[0].offset  # type: ignore[union-attr]
    np.testing.assert_allclose(raw.max(), 1e9, rtol=1e-6)


@pytest.mark.parametrize("stream", [False, True])
def test_what_stands_for_a_missing_value_comes_late(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    Path("a.csv").write_text(rows("NA,a,x\n", "3,N/A,y\n"))
    in_pieces(monkeypatch)
    names = read(stream).columns.feature_names()  # type: ignore[union-attr]
    assert "n missing" in names
    assert "c=N/A" not in names


def test_a_number_that_stands_for_a_missing_value() -> None:
    Path("a.csv").write_text(rows("-999,a,x\n" * 20))
    known = read(null=["-999"]).columns
    assert known is not None
    assert 0 < known.used[0].offset < 90  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_a_column_that_turns_out_to_be_text(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    Path("a.csv").write_text(
        "n,c,t\n" + "".join(f"{at % 9},{at % 5},{'xy'[at % 2]}\n" for at in range(400)) + "1,z,x\n" * 9
    )
    in_pieces(monkeypatch)
    names = read(stream).columns.feature_names()  # type: ignore[union-attr]
    assert {"c=0", "c=4", "c=z"} <= set(names)
    assert "n" in names


def test_a_mistake_among_numbers_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.csv").write_text(rows("many,a,x\n"))
    in_pieces(monkeypatch)
    with pytest.raises(DataError, match=r"a.csv: row 401, column 'n': 'many' is no number, and 400 of 401 values"):
        read()


def test_a_late_row_of_another_length(monkeypatch: pytest.MonkeyPatch) -> None:
    in_pieces(monkeypatch)
    for late, told in (("1,a\n", "has 2 values"), ("1,a,x,4\n", "has 4 values")):
        Path("a.csv").write_text(rows(late))
        with pytest.raises(DataError, match=f"a.csv:402: row 401 {told}, and the header names 3 columns"):
            read()


def test_empty_lines_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    in_pieces(monkeypatch)
    Path("a.csv").write_text(rows("\n\n1,a,x\n\n"))
    for stream in (False, True):
        assert len(read(stream).labels) == 401


def test_names_that_only_space_sets_apart() -> None:
    Path("a.csv").write_text(rows().replace("n,c,t", " n , c ,t"))
    assert read().columns.names == ("n", "c")  # type: ignore[union-attr]


def test_a_damaged_packed_file() -> None:
    import gzip

    Path("a.csv.gz").write_bytes(gzip.compress(rows().encode())[:-20])
    with pytest.raises(DataError, match=r"a.csv.gz: cannot be read \("):
        read(path="a.csv.gz")


def test_files_whose_numbers_differ_in_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.csv").write_text(rows())
    Path("b.csv").write_text(rows().replace("\n1,", "\n1.5,"))
    assert len(read(path=["a.csv", "b.csv"]).labels) == 800
    found = read(test=["b.csv"])
    assert not any("training rows too" in told and "400 of 400" in told for told in found.warnings)
    assert any("training rows too" in told for told in found.warnings)


def test_the_reader_holds_no_more_than_some_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    in_pieces(monkeypatch)
    Path("a.csv").write_text(rows())
    sizes: list[int] = []
    plain = csv_module.Parser.frame
    monkeypatch.setattr(csv_module.Parser, "frame", lambda self, piece: sizes.append(len(piece)) or plain(self, piece))
    read()
    assert max(sizes) < 2000
    assert len(sizes) > 2
