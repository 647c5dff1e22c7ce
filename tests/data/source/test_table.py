"""Tables: what is read, what becomes of it, and the exact words for whatever is wrong with a file."""

from __future__ import annotations

import gzip
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from dnnrun.assemble import read_data
from dnnrun.data.dataset import Dataset
from dnnrun.data.source import Places, Source
from dnnrun.data.table.columns import Category, Columns, Numeric
from dnnrun.errors import CheckpointError, DataError
from dnnrun.spec.load import load_mapping
from tests.mixedtable import mixed

HEAD = "n,f,c,t\n"
ROWS = "".join(f"{i},{i * 0.5},{'ab'[i % 2]},{'yx'[i % 3 // 2]}\n" for i in range(40))
LINES = ROWS.splitlines()


def more(header: str, *values: str) -> str:
    """The table with columns added; `values` are repeated down the rows."""
    lines = [f"{line},{values[at % len(values)]}\n" for at, line in enumerate(LINES)]
    return HEAD.strip() + f",{header}\n" + "".join(lines)


def data(content: str | bytes, name: str = "a.csv", other: str | None = None, **options: Any) -> Dataset:
    """The dataset of a file with this content; options of the source, and under `data` those of the section."""
    for file, text in ((name, content), ("b.csv", other)):
        if text is not None:
            Path(file).write_bytes(text if isinstance(text, bytes) else text.encode())
    section = {"validation": 0.2, **options.pop("data", {})}
    source = {"type": "csv", "path": name, "target": "t", **options}
    return read_data(load_mapping({"data": {"source": source, **section}, "model": {"hidden": [2]}}), Places())


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def changed(old: str, new: str) -> str:
    assert old in ROWS
    return HEAD + ROWS.replace(old, new, 1)


HUGE = more("h", "1e200", "-2.5e200", "0")
TOO_LONG = more("last", "x").replace("5,2.5,b,", "5,2.5,b,b,")
GROUPED = more("g", *(f"g{number // 4}" for number in range(40)))

BAD: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "target": (HEAD + ROWS, {"target": "T"}, "data.source.target: a.csv has no column 'T'; did you mean 't'?"),
    "one part to play": (HEAD + ROWS, {"id": "t"}, "data.source.id: 't' is the target already; name another column"),
    "two parts to play": (
        HEAD + ROWS,
        {"weights": "n", "id": "n"},
        "data.source.id: 'n' is the weights already; name another column",
    ),
    "groups that are not read": (
        HEAD + ROWS,
        {"id": "n", "data": {"groups": "n"}},
        "data.groups: 'n' is not read from a.csv: data.source names it as target, id, weights or split, or ignores it; "
        "take it out there. Nothing is learned from a column of groups, and predict --id carries it along",
    ),
    "a mark and nothing else": (b"\xef\xbb\xbf\n", {}, "a.csv: the file is empty; give it data"),
    "line ends of old": (
        (HEAD + ROWS).replace("\n", "\r"),
        {},
        "a.csv: its lines end in CR alone, as on an old Macintosh; save it with line ends of LF or CRLF",
    ),
    "quotes within values": (
        changed("5,2.5,b,", '5,2.5,5" pipe,').replace("7,3.5,b,", '7,3.5,4" pipe,'),
        {},
        "a.csv:7: a quote within a value, '5\" pipe'; put the value in quotes and write those in it twice, or say "
        "data.source.quote: '' where quotes mean nothing",
    ),
    "one class to train on": (
        HEAD.replace("t\n", "t,s\n")
        + "".join(f"{n},1.5,a,{'xy'[n > 20]},{('train', 'test')[n > 20]}\n" for n in range(40)),
        {"split": "s"},
        "every training row is of class 'x', and there are x, y in the data; give training rows of two or more",
    ),
    "a target that 32 bits blur": (
        "a,t\n" + "".join(f"{n},{1_700_000_000 + 60 * n}\n" for n in range(40)),
        {},
        "a.csv: the target 't' lies around 1.7e+09 and deviates by 693, and numbers of 32 bits have steps of 128 "
        "there; subtract a constant from it, and add it to predictions",
    ),
    "a target beyond 32 bits": (
        "a,t\n" + "".join(f"{n},{n + 0.5}e38\n" for n in range(40)),
        {},
        "a.csv: row 4: the target 't' is '3.5e38', wanted a number of at most 3.4e+38 for regression; rows like it: 37",
    ),
    "huge": (
        HUGE,
        {},
        "the column 'h' goes from -2.5e+200 to 1e+200, and numbers of 64 bits do not hold the squares of that; write "
        "it in another unit, or leave it out with data.source.ignore: [h]",
    ),
    "a longer row whose last column is not read": (
        TOO_LONG,
        {"ignore": ["last"]},
        "a.csv:7: row 6 has 6 values, and the header names 5 columns; correct the row, or data.source.separator and "
        "quote",
    ),
    "target of no likeness": (
        HEAD + ROWS,
        {"target": "price"},
        "data.source.target: a.csv has no column 'price'; it has n, f, c, t",
    ),
    "one class": (
        HEAD + ROWS.replace("y\n", "x\n"),
        {},
        "a.csv: the target 't' is 'x' in every row, one class; wanted two or more: give it rows of other classes, or "
        "another target",
    ),
    "too many classes": (
        HEAD + "".join(f"{i},1,a,name{i}\n" for i in range(60)),
        {},
        "a.csv: the target 't' has 60 different values in 60 rows, too many for classes; name another target, or say "
        "data.task: regression where they are numbers",
    ),
    "text among numbers": (
        changed("7,3.5", "seven,3.5"),
        {},
        "a.csv: row 8, column 'n': 'seven' is no number, and 39 of 40 values of that column are; correct it, name it "
        "in data.source.null if it stands for a missing value, or say data.source.types: {n: category}",
    ),
    "no target": (
        changed("7,3.5,b,y", "7,3.5,b,"),
        {},
        "a.csv: row 8: the target 't' is missing; rows like it: 1; fill it in, or drop them (in CSV, NA, "
        "None, ? and the like are missing, unless data.source.null lists others)",
    ),
    "NaN target": (
        changed("7,3.5,b", "7,nan,b"),
        {"target": "f"},
        "a.csv: row 8: the target 'f' is missing; rows like it: 1; fill it in, or drop them (in CSV, NA, "
        "None, ? and the like are missing, unless data.source.null lists others)",
    ),
    "text for a number": (
        HEAD + ROWS,
        {"data": {"task": "regression"}},
        "a.csv: row 1: the target 't' is 'y', wanted a number for regression; rows like it: 40",
    ),
    "several targets of text": (
        HEAD + ROWS,
        {"target": ["c", "t"]},
        "a.csv: the targets c, t: several are either all numbers (regression) or all labels of 0 and 1 (multilabel), "
        "and 'c' is no number in 40 rows, first 'a' in row 1; 't' is no number in 40 rows, first 'y' in row 1. Predict "
        "one at a time, naming a single target, or write what is yes or no as 1 and 0",
    ),
    "a text among several targets": (
        changed("7,3.5,b,y", "7,3.5,c,y"),
        {"target": ["n", "c"], "data": {"task": "multilabel"}},
        "a.csv: the targets n, c: several are either all numbers (regression) or all labels of 0 and 1 (multilabel), "
        "and 'c' is no number in 40 rows, first 'a' in row 1. Predict one at a time, naming a single target",
    ),
    "duplicate names": ("n,f,n,t\n" + ROWS, {}, "a.csv: two columns are called 'n'; give each a name of its own"),
    "short row": (
        changed("7,3.5,b,y", "7,3.5,b"),
        {},
        "a.csv:9: row 8 has 3 values, and the header names 4 columns; correct the row, or data.source.separator and "
        "quote",
    ),
    "long row": (
        changed("7,3.5,b,y", "7,3.5,b,y,z"),
        {},
        "a.csv:9: row 8 has 5 values, and the header names 4 columns; correct the row, or data.source.separator and "
        "quote",
    ),
    "encoding": (
        changed("7,3.5,b", "7,3.5,é").encode("latin-1"),
        {},
        "a.csv:9: the byte 0xe9 is not UTF-8; if the file is written in another encoding, say which, as "
        "data.source.encoding: cp1252 (Windows) or latin-1",
    ),
    "no encoding": (
        HEAD + ROWS,
        {"encoding": "klingon"},
        "data.source.encoding: there is no encoding 'klingon'; use utf-8, latin-1, cp1252 ...",
    ),
    "UTF-16": ((HEAD + ROWS).encode("utf-16"), {}, "a.csv: its text is UTF-16; say data.source.encoding: utf-16"),
    "empty": ("", {}, "a.csv: the file is empty; give it data"),
    "quote in the header": (
        '"' + HEAD + ROWS,
        {},
        r"a.csv:1: the header has a name without end, 'n,f,c,t\n0,0.0,a,y\n1,' and so on; close the quote that opens "
        "there, or say data.source.quote: '' where quotes mean nothing",
    ),
    "header only": (HEAD, {}, "a.csv: no rows below the header; give it data"),
    "quote": (
        changed("7,3.5,b", '7,3.5,"b'),
        {},
        "a.csv: its last row has a quote that is not closed; close it, or say data.source.quote: '' where quotes mean "
        "nothing",
    ),
    "text column": (
        more("w", *(f"word {number}" for number in range(40))) + "".join(f"{i},1,a,x,more {i}\n" for i in range(40)),
        {},
        "the column 'w' (80 different values) of 80 rows holds text, which is not read; leave it out with "
        "data.source.ignore: [w], or take it as categories with data.source.types: {w: category}",
    ),
    "infinity": (
        changed("7,3.5", "inf,3.5"),
        {},
        "a.csv: row 8, column 'n': inf is infinite or too large; correct it, or leave it empty",
    ),
    "nothing but the target": ("t\nx\ny\n", {}, "a.csv: there is no column to learn from beside t"),
    "nothing that varies": (
        "n,t\n" + "1,x\n1,y\n" * 20,
        {},
        "no column is left to learn from (left out, as it is the same in all training rows: n)",
    ),
    "split of another name": (
        more("s", "train", "tset"),
        {"split": "s"},
        "data.source.split: the column 's' holds 'tset'; wanted train, validation, test",
    ),
    "split and test": (
        more("s", "train"),
        {"split": "s", "test": 0.2},
        "data.source.split: the column says which rows test and validate; leave test and validation out",
    ),
    "groups": (
        HEAD + ROWS,
        {"data": {"groups": "s"}},
        "data.groups: a.csv has no column 's' to learn from; it has n, f, c",
    ),
    "weights of text": (
        HEAD + ROWS,
        {"weights": "c"},
        "data.source.weights: the column 'c' holds no numbers, wanted 0 or more in each row",
    ),
    "target ignored": (HEAD + ROWS, {"ignore": ["t"]}, "data.source.ignore: 't' is the target; leave it out there"),
    "column of an option": (
        HEAD + ROWS,
        {"data": {"preprocessing": {"columns": {"ff": {"numeric": "log"}}}}},
        "data.preprocessing.columns: there is no column 'ff'; did you mean 'f'?",
    ),
    "too small a fraction": (
        HEAD + ROWS,
        {"test": 0.001},
        "data.source.test: 0.001 of 40 rows of 2 classes is no row; take more, or 0 for no validation",
    ),
    "cut off": (
        gzip.compress((HEAD + ROWS).encode())[:-20],
        {},
        "a.csv: cannot be read (Compressed file ended before the end-of-stream marker was reached); see to the file",
    ),
    "Parquet": (b"PAR1", {}, "a.csv: this is a Parquet file; say data.source.type: parquet, or call it .parquet"),
    "spreadsheet": (b"PK\3\4", {}, "a.csv: this is a zip file or a spreadsheet, wanted CSV; export it as CSV"),
    "no Parquet": (
        b"hello",
        {"name": "a.parquet", "type": "parquet"},
        "a.parquet: cannot be read as a Parquet file (parquet: File out of specification: A Parquet file must contain "
        "a header and footer with at least 12 bytes); replace the file",
    ),
    "test file of other columns": (
        HEAD + ROWS,
        {"test": "b.csv", "other": "n,c,t\n1,a,x\n"},
        "b.csv: without the column f, which a.csv has; all files of a table want the same columns",
    ),
    "test file of another class": (
        HEAD + ROWS,
        {"test": "b.csv", "other": HEAD + "1,0.5,a,z\n"},
        "b.csv: row 1: the target 't' is 'z', and the classes to train on are x, y; rows like it: 1",
    ),
    "files of other kinds": (
        HEAD + ROWS,
        {"path": ["a.csv", "b.csv"], "other": HEAD + "1,2,3,4\nz,2,3,y\n"},
        "b.csv: the column 'n' holds text, and in a.csv it holds numbers; make them alike, or say data.source.types: "
        "{n: category}",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_told(case: str) -> None:
    content, options, message = BAD[case]
    with pytest.raises(DataError) as caught:
        data(content, **options)
    assert str(caught.value) == message


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, message in {
        "none.csv": "none.csv: not found (. has a.csv); correct the path",
        "none-*.csv": "none-*.csv: no file fits this pattern; correct it",
        "folder": "folder: this is a folder, wanted a file; name its files, as folder/*",
    }.items():
        with pytest.raises(DataError) as caught:
            data(HEAD + ROWS, path=path)
        assert str(caught.value) == message


def test_the_parts_of_a_table_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for number in (10, 9, 1):
        (folder / f"part-{number}.csv").write_text(
            HEAD + "".join(f"{number},{at},a,{'xy'[at % 2]}\n" for at in range(4))
        )
    (folder / "part-0.csv").mkdir()
    (folder / "part-[1-9].csv").write_text(HEAD + ROWS)  # a name that looks like a pattern
    source = {"type": "csv", "target": "t"}
    places = Places(folders=(folder,))
    rows = Source.parse({**source, "path": "part-*0.csv"}).read(places).train
    assert rows.features.whole(["n"])["n"].to_list() == [10] * 4  # type: ignore[attr-defined]
    rows = Source.parse({**source, "path": ["part-1*.csv", "part-9.csv"]}).read(places).train
    assert rows.features.whole(["n"])["n"].to_list() == [1] * 4 + [10] * 4 + [9] * 4  # type: ignore[attr-defined]
    assert len(Source.parse({**source, "path": "part-[1-9].csv"}).read(places).train.labels) == 40


FORMS: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "tabs": ((HEAD + ROWS).replace(",", "\t"), {}),
    "semicolons": ((HEAD + ROWS).replace(",", ";").replace(".", ","), {"decimal": ","}),
    "gzip": (gzip.compress((HEAD + ROWS).encode()), {}),
    "spaces": ((HEAD + ROWS).replace(",", ", "), {}),
    "CRLF": ((HEAD + ROWS).replace("\n", "\r\n"), {}),
    "byte order mark": (b"\xef\xbb\xbf" + (HEAD + ROWS).encode(), {}),
    "UTF-16": ((HEAD + ROWS).encode("utf-16"), {"encoding": "utf-16"}),
    "no header": (ROWS, {"header": False, "target": "column_3"}),
    "empty lines": (HEAD + ROWS + "\n\n", {}),
    "an index": ("," + HEAD + "".join(f"{at},{line}\n" for at, line in enumerate(LINES)), {}),
    "a pattern": (HEAD + ROWS, {"path": "*.csv"}),
}


@pytest.mark.parametrize("case", FORMS)
def test_however_it_is_written_the_rows_are_the_same(case: str) -> None:
    plain, (content, options) = data(HEAD + ROWS), FORMS[case]
    found = data(content, **options)
    assert found.classes == plain.classes == ("x", "y")
    assert np.array_equal(found.labels, plain.labels)
    assert np.array_equal(found.features, plain.features)


def test_parquet_and_arrow_hold_the_same_rows() -> None:
    wanted = data(HEAD + ROWS)
    frame = polars.read_csv("a.csv")
    frame.write_parquet("a.parquet")
    frame.write_ipc("a.arrow")
    for kind in ("parquet", "arrow"):
        found = data("", name="unused.csv", type=kind, path=f"a.{kind}")
        assert np.allclose(found.features, wanted.features, atol=1e-6)
        assert found.hash != wanted.hash  # the content of another file


def test_columns_become_numbers_by_the_training_rows_alone() -> None:
    mixed(2000).write_csv("a.csv")
    found = data("", name="unused.csv", path="a.csv", target="churn", ignore=["spend"], id="id", test=0.2)
    start, stop = found.splits["train"]
    assert found.columns is not None
    names = found.columns.feature_names()
    train = found.features[start:stop]
    age, miss = names.index("age"), names.index("age missing")
    there = train[:, miss] == 0
    assert set(np.unique(found.features[:, miss])) == {0, 1}
    assert abs(train[there, age].mean()) < 1e-5
    assert abs(train[there, age].std() - 1) < 1e-5
    assert len(set(train[~there, age].tolist())) == 1  # the median
    cities = [at for at, name in enumerate(names) if name.startswith("city")]
    assert np.array_equal(train[:, cities].sum(1), np.ones(len(train)))
    assert "left out, as it is the same in all training rows: constant" in found.notes
    assert "left out, as no training row has a value: empty" in found.notes
    assert "churn: classification, since it holds text" in found.notes
    assert found.columns.unused == ("id", "churn", "spend", "empty", "constant")


SCALES: dict[str, Any] = {
    "standardize": lambda x: (x - x.mean()) / x.std(),
    "min_max": lambda x: (x - x.min()) / (x.max() - x.min()),
    "none": lambda x: x,
    "log": lambda x: SCALES["standardize"](np.sign(x) * np.log1p(np.abs(x))),
}


@pytest.mark.parametrize("scale", SCALES)
def test_scales(scale: str) -> None:
    values = np.random.default_rng(0).normal(0, 50, 100).round(3)
    content = "v,t\n" + "".join(f"{value},{'xy'[at % 2]}\n" for at, value in enumerate(values))
    found = data(content, data={"validation": 0, "preprocessing": {"numeric": scale}})
    assert np.allclose(found.features[:, 0], SCALES[scale](values), atol=1e-5)


def test_one_column_has_options_of_its_own() -> None:
    content = "v,w,t\n1,,x\n2,5,y\n3,5,x\n,6,y\n"
    options = {"numeric": "none", "columns": {"v": {"missing": {"constant": -9}, "indicator": False}}}
    found = data(content, data={"validation": 0, "preprocessing": options})
    assert found.features.tolist() == [[1, 5, 1], [2, 5, 0], [3, 5, 0], [-9, 6, 0]]


@pytest.mark.parametrize(
    ("written", "days"),
    [("2024-03-{:02}", 19783), ("{:02}.03.2024", 19783), ("{}/3/2024", 19783), ("3/{}/2024", 19783)],
)
def test_dates_are_days(written: str, days: int) -> None:
    content = "d,t\n" + "".join(f"{written.format(day)},{'xy'[day % 2]}\n" for day in range(1, 29))
    found = data(content, data={"validation": 0, "preprocessing": {"numeric": "none"}})
    assert found.features[:, 0].tolist() == [days + day - 1 for day in range(1, 29)]


def test_large_numbers_keep_their_differences() -> None:
    content = "d,t\n" + "".join(f"{1700000000 + second},{'xy'[second % 2]}\n" for second in range(20))
    found = data(content, data={"validation": 0, "preprocessing": {"numeric": "min_max"}})
    assert np.allclose(found.features[:, 0], np.arange(20) / 19, atol=1e-6)


def test_rare_and_unknown_categories() -> None:
    values = ["a"] * 10 + ["b"] * 9 + ["c"] * 2
    content = "k,t\n" + "".join(f"{value},{'xy'[at % 2]}\n" for at, value in enumerate(values))
    columns = data(content, data={"validation": 0}).columns
    assert columns is not None
    assert columns.used == (Category("k", ("a", "b"), ("c",), False),)
    found = columns.encode(polars.DataFrame({"k": ["b", "c", "new", None]}))
    assert found.matrix.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert (found.unseen.counts, found.unseen.examples) == ({"k": 1}, {"k": ["new"]})
    many = columns.encode(polars.DataFrame({"k": [*"defgh", "a", "x" * 50, *"ddd"] * 300})).unseen
    assert many.lines() == ["k: 2,700 values that training has not seen, taken as unknown ('d', 'e', 'f')"]
    (line,) = columns.encode(polars.DataFrame({"k": ["x" * 50]})).unseen.lines()
    assert line == f"k: 1 value that training has not seen, taken as unknown ('{'x' * 37}...')"


def test_splits_of_a_column_and_of_files() -> None:
    found = data(more("s", "train", "test", "val", "train"), split="s")
    assert {name: stop - start for name, (start, stop) in found.splits.items()} == {
        "train": 20,
        "validation": 10,
        "test": 10,
    }
    assert "10 validation rows of the source's own; data.validation (0.2) takes none from training" in found.notes
    files = data(HEAD + ROWS, test="b.csv", other=HEAD + "100,7,a,x\n3,1.5,b,y\n", data={"validation": 0})
    assert files.splits == {"train": (0, 40), "test": (40, 42)}
    assert files.warnings == (
        "1 of 2 test rows are training rows too, the same in every column: what is measured on them is too good",
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_training_rows_in_a_test_file_are_found_however_they_are_read(kind: str) -> None:
    rows = [f"{n},{1_000_000 + 700.25 * n},2024-01-{n % 28 + 1:02},{'xy'[n % 3 > 0]}\n" for n in range(40)]
    Path("b.csv").write_text("n,f,d,t\n" + "".join(rows[20:23]))
    if kind == "parquet":
        polars.read_csv("b.csv", try_parse_dates=True).write_parquet("b.parquet")
    found = data("n,f,d,t\n" + "".join(rows), test=f"b.{kind}", data={"validation": 0})
    assert [line[:45] for line in found.warnings] == ["3 of 3 test rows are training rows too, the s"]


def test_groups_of_files_and_split_columns_are_compared() -> None:
    told = "test rows are of groups that training rows are of too: what is measured on them may be too good"
    header, *lines = GROUPED.splitlines()
    split = "\n".join([f"{header},s", *(f"{line},{'train' if at < 30 else 'test'}" for at, line in enumerate(lines))])
    assert data(split, split="s", data={"groups": "g", "validation": 0}).warnings == (f"2 of 10 {told}",)
    train, test = "\n".join([header, *lines[:30]]), "\n".join([header, *lines[30:]])
    found = data(train, test="b.csv", other=test, data={"groups": "g", "validation": 0})
    assert found.warnings == (f"2 of 10 {told}",)
    clean = data("\n".join([header, *lines[:28]]), test="b.csv", other=test, data={"groups": "g", "validation": 0})
    assert clean.warnings == ()


def test_columns_of_some_files_alone_are_said() -> None:
    Path("part-2.csv").write_text(more("extra", "1"))
    found = data(HEAD + ROWS, "part-1.csv", path=["part-1.csv", "part-2.csv"])
    assert "left out, as part-1.csv has none: extra" in found.notes


def test_rows_of_a_group_stay_together() -> None:
    Path("a.csv").write_text(GROUPED)
    group = [number // 4 for number in range(40)]
    for section in ({"validation": 0.2}, {"fold": {"of": 3, "number": 2}}):
        found = data(GROUPED, test=0.2, data={**section, "groups": "g"})
        where = {name: {group[at] for at in found.origin[slice(*rows)]} for name, rows in found.splits.items()}
        assert set(where) == {"train", "validation", "test"}
        assert sum(map(len, where.values())) == 10
        assert found.columns is not None
        assert "g" not in found.columns.names


def test_test_rows_are_the_same_for_every_seed() -> None:
    Path("a.csv").write_text(HEAD + ROWS)
    source = {"type": "csv", "path": "a.csv", "target": "t", "test": 0.25}
    made = [
        read_data(load_mapping({"seed": seed, "data": {"source": source}, "model": {"hidden": [2]}}), Places())
        for seed in (1, 2)
    ]
    tests = [found.origin[slice(*found.splits["test"])].tolist() for found in made]
    assert tests[0] == tests[1]
    assert made[0].hash != made[1].hash


TASKS: dict[str, tuple[list[str], str, tuple[str, ...]]] = {
    "text": (["no", "yes"] * 20, "classification", ("no", "yes")),
    "few whole numbers": ([str(at % 3 + 9) for at in range(40)], "classification", ("9", "10", "11")),
    "true and false": (["true", "false"] * 20, "classification", ("false", "true")),
    "as written": (["1.0", "02"] * 20, "classification", ("1.0", "02")),
    "many whole numbers": ([str(at) for at in range(40)], "regression", ()),
    "fractions": ([str(at / 8) for at in range(40)], "regression", ()),
}


@pytest.mark.parametrize("case", TASKS)
def test_the_task_is_told_from_the_target(case: str) -> None:
    values, task, classes = TASKS[case]
    content = "n,t\n" + "".join(f"{at},{value}\n" for at, value in enumerate(values))
    found = data(content)
    assert (found.task, found.classes) == (task, classes)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            polars.Series([[1], [2]] * 20),
            "the target 't' holds List(Int64), wanted classes or numbers; write it as text",
        ),
        (polars.Series([b"a", b"\xff"] * 20), "the target 't' holds Binary, wanted classes or numbers"),
        (polars.Series([timedelta(1), timedelta(2)] * 20), "the target 't' holds Duration"),
        (polars.Series([1.0, float("inf")] * 20), "row 2: the target 't' is infinite; rows like it: 20"),
    ],
)
def test_targets_of_other_types(target: polars.Series, message: str) -> None:
    polars.DataFrame({"a": range(40), "t": target}).write_parquet("a.parquet")
    with pytest.raises(DataError, match=re.escape(message)):
        data(Path("a.parquet").read_bytes(), "a.parquet", type="parquet")


def test_whole_numbers_beyond_64_bits_are_classes_as_they_are_written() -> None:
    polars.DataFrame({"a": range(40), "t": [1e20, 2e20] * 20}).write_parquet("a.parquet")
    assert data(Path("a.parquet").read_bytes(), "a.parquet", type="parquet").classes == ("1e+20", "2e+20")


def test_a_class_without_training_rows_is_said() -> None:
    rows = "".join(f"{n},{'xyz'[(n > 9) + (n > 29)]},{('train', 'test')[n > 19]}\n" for n in range(40))
    found = data("a,t,s\n" + rows, split="s")
    assert found.warnings == ("no training row is of class z: rows of it cannot be told right; see to the splits",)


def test_several_targets() -> None:
    content = "n,p,q\n" + "".join(f"{at},{at % 2},{at % 3 % 2}\n" for at in range(40))
    found = data(content, target=["p", "q"])
    assert (found.task, found.targets, found.labels.shape) == ("multilabel", ("p", "q"), (40, 2))
    assert data(content, target=["p", "q"], data={"task": "regression"}).task == "regression"


def test_columns_survive_json() -> None:
    columns = Columns(
        (Numeric("n", "number", "log", 0.5, 2.0, 1.0, True), Category("k", ("a",), ("b",), True)), ("t", "id")
    )
    assert Columns.from_json(columns.to_json()) == columns
    assert Columns.from_json({"type": "unit", "divide_by": 255}) is None
    with pytest.raises(CheckpointError, match="written in version 2, and this dnnrun reads 1"):
        Columns.from_json({**columns.to_json(), "version": 2})
    broken = columns.to_json()
    broken["columns"][0]["factor"] = float("nan")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Columns.from_json(broken)
