"""What a reused first layer was trained to take, and what it takes here: the columns of tables, by name and place."""

from __future__ import annotations

from dnnrun.data.table.columns import Columns
from dnnrun.data.table.kinds import listed
from dnnrun.errors import TransferError
from dnnrun.transfer.donor import Donor

SHOWN = 3  # inputs that are named


def same_width(first: str, donor: Donor, theirs: Columns | None, mine: Columns | None, width: int) -> None:
    """Raise TransferError where the widths differ, with the columns that only one of the two has."""
    if width == donor.features:
        return
    told = f"transfer: the data has {width} features and {first} of {donor.name} takes {donor.features}"
    if theirs is None or mine is None:
        told += "; no image is known on both sides, so nothing can be resized"
    else:
        pairs = (("lacks", theirs, mine), ("has", mine, theirs))
        found = {verb: _only(one.feature_names(), other.feature_names()) for verb, one, other in pairs}
        told += "".join(f"; it {verb} {names}" for verb, names in found.items() if names)
    raise TransferError(f"{told}. Use the same columns, or do not reuse {first}")


def other_inputs(first: str, donor: Donor, theirs: Columns | None, mine: Columns | None) -> list[str]:
    """What a person should know of the inputs of `first`, which have as many columns as in the source."""
    if theirs is None and mine is None:
        return []
    if theirs is None or mine is None:
        was = "rows without names" if theirs is None else f"the columns {listed(theirs.feature_names())}"
        now = "rows without names" if mine is None else f"the columns {listed(mine.feature_names())}"
        return [f"{first}: {donor.name} was trained on {was}, and here it takes {now}: see that they are the same"]
    was, now = theirs.feature_names(), mine.feature_names()
    other = [(at, old, new) for at, (old, new) in enumerate(zip(was, now, strict=True), 1) if old != new]
    if other:
        named = "; ".join(f"{at} was {old!r} and is {new!r}" for at, old, new in other[:SHOWN])
        more = f"; {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        order = "bring the columns into the source's order" if sorted(was) == sorted(now) else "use its columns"
        return [
            f"{first}: its inputs are others than in {donor.name}: {named}{more}. Its weights are those of the old "
            f"ones; {order}, or do not reuse {first}"
        ]
    if theirs.used != mine.used:
        return [f"{first}: its columns are those of {donor.name}, prepared by what these training rows show"]
    return []


def _only(names: list[str], others: list[str]) -> str:
    there = set(others)
    return listed([name for name in names if name not in there])
