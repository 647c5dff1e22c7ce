"""Dates in text: in which forms they are read, and whether the day or the month comes first in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars

Order = Literal["day", "month"]
# By column what comes first in its dates, None where they leave no doubt.
Orders = dict[str, Order | None]
CLEAR = (
    "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y/%m/%d",
    "%d.%m.%Y", "%d.%m.%Y %H:%M",
)  # fmt: skip
IN_DOUBT: dict[Order, tuple[str, ...]] = {
    "day": ("%d/%m/%Y", "%d/%m/%Y %H:%M"),
    "month": ("%m/%d/%Y", "%m/%d/%Y %H:%M"),
}
GUESSED: tuple[Order, ...] = ("day", "month")  # the day comes first unless that does not fit all values


def as_dates(
    series: polars.Series, orders: Sequence[Order | None] = GUESSED
) -> tuple[polars.Series, Order | None] | None:
    """A column of text that is not all missing as dates, and what comes first; None where no form fits all values.

    01/02/2024 is read in the first of `orders` that fits; those of None are not read.
    """
    import polars as pl

    there = series.drop_nulls()
    if not there.head(1)[0][:1].isdigit():
        return None
    forms: list[tuple[str, Order | None]] = [(form, None) for form in CLEAR]
    for order in orders:
        forms.extend((form, order) for form in (() if order is None else IN_DOUBT[order]))
    for form, order in forms:
        if there.head(100).str.to_datetime(form, strict=False).null_count():
            continue
        dates = series.str.to_datetime(form, strict=False)
        if dates.null_count() == series.null_count():
            return (dates if "%H" in form else dates.cast(pl.Date)), order
    return None


def either_way(series: polars.Series) -> bool:
    """Whether these dates would be dates too with day and month exchanged."""
    most = series.dt.day().max()
    return most is not None and int(most) <= 12  # pyright: ignore[reportArgumentType]


def wanted(name: str, orders: Orders) -> str:
    """What the dates of a column are to look like, for a message."""
    order = orders.get(name)
    return "write them as 2024-12-31" + ("" if order is None else f", or with the {order} first, as elsewhere")
