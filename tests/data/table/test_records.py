"""Pieces of records: nothing lost, none cut, whatever is quoted, packed or encoded."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnnrun.data.table import records as module
from dnnrun.data.table.records import records
from dnnrun.errors import DataError

CELLS = st.text("ab,\"\n é'", max_size=6)


def written(rows: list[list[str]], end: str = "\n") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue()


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=20),
    size=st.integers(1, 40),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "utf-16"]),
    packed=st.booleans(),
)
def test_pieces_are_whole_records(
    rows: list[list[str]], size: int, end: str, encoding: str, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("records") / "a.csv"
    text = written(rows, end)
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", size)
        pieces = [piece.decode() for piece in records(path, encoding, '"')]
    assert "".join(pieces) == text
    apart = [row for piece in pieces for row in csv.reader(io.StringIO(piece, newline=""))]
    assert apart == list(csv.reader(io.StringIO(text, newline="")))


def test_a_mark_at_the_beginning_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert list(records(tmp_path / "a.csv", "utf-8", '"')) == [b"a,b\n1,2\n"]


def test_a_quote_that_means_nothing_holds_no_piece_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 8)
    (tmp_path / "a.csv").write_text('5" pipe,1\n6,2\n7,3\n')
    assert len(list(records(tmp_path / "a.csv", "utf-8", ""))) > 1


def test_how_far_it_is_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 8)
    (tmp_path / "a.csv").write_text("1,2\n" * 10)
    told: list[int] = []
    list(records(tmp_path / "a.csv", "utf-8", '"', told.append))
    assert told == [8, 16, 24, 32, 40]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_quote_that_is_never_closed_is_told_before_the_file_is_held(
    encoding: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", 1 << 16)
    monkeypatch.setattr(module, "LONGEST", 1 << 20)
    path, rows = tmp_path / "a.csv", '1,"two\nlines"\n' * 50
    data = (rows + '5,"7" pipe"\n' + '6,"seven"\n' * 600_000).encode(encoding)
    path.write_bytes(gzip.compress(data) if packed else data)
    told: list[int] = []
    pieces = records(path, encoding, '"', told.append)
    assert next(pieces).decode() == rows
    with pytest.raises(DataError) as caught:
        next(pieces)
    assert str(caught.value) == (
        f"{path}:101: a quote opens there and is not closed within 1 MB; close it, or say data.source.quote: '' where "
        "quotes mean nothing"
    )
    assert packed or told[-1] < len(data) / 2


def test_a_text_as_long_as_may_be_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 64)
    monkeypatch.setattr(module, "LONGEST", 1 << 10)
    text = '1,"' + "a\n" * 500 + '"\n'
    (tmp_path / "a.csv").write_text("0,b\n" + text + "2,c\n")
    pieces = list(records(tmp_path / "a.csv", "utf-8", '"'))
    assert any(piece.decode().find(text) >= 0 for piece in pieces)
    (tmp_path / "b.csv").write_text("0,b\n" + "1," * 2000)
    with pytest.raises(DataError, match=r"b.csv:2: a row of more than 0 MB; wanted a row on a line of its own"):
        list(records(tmp_path / "b.csv", "utf-8", '"'))
