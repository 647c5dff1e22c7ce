"""Frames of pandas in Python's `predict`: however a column is held, the rows are those of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dnnrun.errors import DataError, UnseenCategory
from dnnrun.trained import Trained, load
from tests.smallruns import trained
from tests.test_proposal import loaded

pd = pytest.importorskip("pandas")

ROWS = 120
GAPS = ("number", "count", "town", "day", "member")
SPEC = """
name: frames
data:
  source: {type: csv, path: "PATH", target: kind, types: {code: category}}
model: {hidden: [8]}
train: {epochs: 1, batch_size: 30}
"""


@pytest.fixture(scope="module")
def whole() -> Any:
    """The rows as pandas makes them of lists: floats, integers, text, datetimes, booleans, codes."""
    rng = np.random.default_rng(0)
    number = rng.normal(size=ROWS)
    return pd.DataFrame(
        {
            "number": number,
            "count": rng.integers(0, 9, ROWS),
            "town": rng.choice(["Rome", "Oslo", "Bath"], ROWS),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="D"),
            "member": rng.random(ROWS) < 0.5,
            "code": rng.choice([3, 10, 11], ROWS),
            "kind": np.where(number > 0, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def network(whole: Any, tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Trained:
    folder = tmp_path_factory.mktemp("frames")
    with_gaps(whole).to_csv(folder / "rows.csv", index=False)
    trained(loaded(SPEC.replace("PATH", str(folder / "rows.csv")), folder), folder / "runs", compiled)
    return load(folder / "runs" / "frames")


def with_gaps(frame: Any) -> Any:
    """Every seventh value of some columns missing, as pandas has it where nothing is said: floats, None, NaT."""
    found = frame.copy()
    found["count"] = found["count"].astype(float)
    found["member"] = found["member"].astype(object)
    for at, name in enumerate(GAPS):
        found.loc[found.index[at::7], name] = None
    return found


def read(frame: Any) -> pl.DataFrame:
    """The rows as polars holds those of a file."""
    return pl.DataFrame(
        {
            name: [None if pd.isna(value) else value for value in frame[name].astype(object).tolist()]
            for name in frame.columns
        },
        strict=False,
    )


HELD: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "objects": lambda frame: frame.astype(object),
    "another index": lambda frame: frame.set_index(np.arange(ROWS)[::-1] * 2),
    "columns in another order": lambda frame: frame[frame.columns[::-1]],
    "categories": lambda frame: frame.assign(town=frame["town"].astype("category")),
    "codes as categories": lambda frame: frame.assign(code=frame["code"].astype("category")),
    "codes as floats": lambda frame: frame.assign(code=frame["code"].astype(float)),
    "strings": lambda frame: frame.assign(town=frame["town"].astype("string")),
    "datetimes of seconds": lambda frame: frame.assign(day=frame["day"].astype("datetime64[s]")),
    "datetimes of nanoseconds": lambda frame: frame.assign(day=frame["day"].astype("datetime64[ns]")),
    "datetimes of UTC": lambda frame: frame.assign(day=frame["day"].dt.tz_localize("UTC")),
    "dates": lambda frame: frame.assign(day=frame["day"].dt.date),
    "periods": lambda frame: frame.assign(day=frame["day"].dt.to_period("D")),
    "dates as text": lambda frame: frame.assign(day=frame["day"].dt.strftime("%Y-%m-%d")),
    "a mapping of series": lambda frame: {name: frame[name] for name in frame.columns},
}


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("held", HELD)
def test_a_frame_is_predicted_however_it_is_held(held: str, gaps: bool, whole: Any, network: Trained) -> None:
    frame = with_gaps(whole) if gaps else whole
    known = network.predict_proba(read(frame))
    assert len(np.unique(known[:, 0])) > ROWS / 2
    np.testing.assert_array_equal(network.predict_proba(HELD[held](frame)), known)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(count=frame["count"].astype("Int64")),
        lambda frame: frame.assign(member=frame["member"].astype("boolean")),
        lambda frame: frame.assign(member=frame["member"].astype(int)),
        lambda frame: frame.assign(number=pd.arrays.SparseArray(frame["number"])),
        lambda frame: frame.astype({"code": str}),
    ],
    ids=["Int64", "boolean", "0 and 1", "sparse", "codes as text"],
)
def test_types_of_single_columns(change: Callable[[Any], Any], whole: Any, network: Trained) -> None:
    np.testing.assert_array_equal(network.predict_proba(change(whole)), network.predict_proba(read(whole)))


def test_codes_with_a_gap_become_floats_and_stay_what_they_are(whole: Any, network: Trained) -> None:
    frame = whole.assign(code=whole["code"].astype(float))
    frame.loc[frame.index[::5], "code"] = None
    text = [None if at % 5 == 0 else str(code) for at, code in enumerate(whole["code"])]
    known = network.predict_proba(read(whole).with_columns(code=pl.Series(text, dtype=pl.String)))
    np.testing.assert_array_equal(network.predict_proba(frame), known)


def test_categories_that_training_has_not_seen_are_warned_of_where_one_asks(whole: Any, network: Trained) -> None:
    frame = whole.assign(town=["Lima", "Ulm", "Lima", *whole["town"][3:]])
    for ask in (network.predict, network.predict_proba, network.logits):
        with pytest.warns(UnseenCategory) as caught:
            assert len(ask(frame)) == ROWS
        (warning,) = caught
        told = "town: 3 values that training has not seen, taken as unknown ('Lima', 'Ulm')"
        assert (str(warning.message), warning.filename) == (told, __file__)


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NaT])
@pytest.mark.parametrize("name", GAPS)
def test_columns_where_all_are_missing(name: str, nothing: Any, whole: Any, network: Trained) -> None:
    """As in a frame of one row."""
    frame = whole.iloc[4:5].assign(**{name: [nothing]})
    known = read(whole.iloc[4:5]).with_columns(pl.lit(None, pl.String).alias(name))
    np.testing.assert_array_equal(network.predict_proba(frame), network.predict_proba(known))


def test_a_lazy_frame_is_collected(whole: Any, network: Trained) -> None:
    frame = read(whole)
    np.testing.assert_array_equal(network.predict_proba(frame.lazy()), network.predict_proba(frame))


def test_no_rows_are_no_predictions(whole: Any, network: Trained) -> None:
    assert network.predict(whole.head(0)).shape == (0,)
    assert network.predict(whole.astype(object).head(0)).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="town"), "without the column 'town', which the network was trained on"),
        (lambda frame: pd.concat([frame, frame[["town"]]], axis=1), "there are several columns town; keep one of each"),
        (lambda frame: frame.iloc[0], r"inputs of shape \[7\]; wanted a data frame"),
        (lambda frame: frame.assign(number="x"), "row 1, column 'number': 'x' is no number"),
        (
            lambda frame: frame.assign(number=1e300),
            "row 1, column 'number': 1e\\+300 is infinite or too large; correct",
        ),
        (lambda frame: frame.assign(member=[1.0, 0, 2] * 40), "row 3, column 'member': 2.0 is neither true nor false"),
        (
            lambda frame: frame.assign(day=18000),
            "the column 'day' holds Int64, and it was of kind date in training; correct it",
        ),
        (lambda frame: frame.assign(town=[["Rome"]] * ROWS), r"the column 'town' holds List\(String\)"),
    ],
)
def test_what_is_no_table_of_that_kind(
    change: Callable[[Any], Any], message: str, whole: Any, network: Trained
) -> None:
    with pytest.raises(DataError, match=message):
        network.predict(change(whole))
