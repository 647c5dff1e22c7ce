"""Whether the new data fits what the reused first layer was trained on: its size, its channels, its scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dnnrun.data.dataset import Dataset
from dnnrun.data.scale import Scaling
from dnnrun.data.table.columns import Columns
from dnnrun.errors import TransferError
from dnnrun.transfer.columns import other_inputs, same_width
from dnnrun.transfer.donor import Donor
from dnnrun.transfer.match import matching
from dnnrun.transfer.options import Transfer


def inputs_of(
    options: Transfer | None, donors: Sequence[Donor], dataset: Dataset, scale: str | None, first: str
) -> tuple[Scaling | None, Mapping[str, Any] | None, list[str]]:
    """The scaling to take over (None to fit one), how images are resized (None: not), and notes.

    Where `first`, the first layer of the new network, is that of a source, its inputs are prepared as they were there,
    unless the spec names a scale; the columns of a table by what its own training rows show. Raises TransferError where
    the widths differ and no resizing is asked for or possible.
    """
    donor = _donor_of_first(options, donors, first)
    if options is None or donor is None:
        return None, None, []
    how, notes = None, []
    if donor.image and dataset.image and donor.image != dataset.image:
        sizes = f"the data's images are {_size(dataset.image)}, and the source was trained on {_size(donor.image)}"
        if not options.resize_inputs:
            raise TransferError(f"transfer: {sizes}; set transfer.resize_inputs: true, or do not reuse {first}")
        channels = {dataset.image[2], donor.image[2]}
        if len(channels) == 2 and channels != {1, 3}:
            raise TransferError(f"transfer: {sizes}; channels can be resized from 1 to 3 and from 3 to 1 only")
        method = "linear" if options.resize_inputs is True else options.resize_inputs
        how = {"from": list(dataset.image), "to": list(donor.image), "method": method}
        notes.append(f"resized: {sizes}; {method}")
    else:
        theirs = Columns.from_json(donor.preprocessing)
        same_width(first, donor, theirs, dataset.columns, dataset.width)
        notes += other_inputs(first, donor, theirs, dataset.columns)
        if theirs is not None or dataset.columns is not None:  # what prepares columns scales them
            return None, None, notes
    if donor.preprocessing is None:
        if scale is None:
            notes.append(f"{donor.name} does not say how its inputs were scaled; the data's own default is taken")
        return None, how, notes
    theirs = Scaling.from_json(donor.preprocessing)
    if scale is not None:
        if theirs.type != scale:
            notes.append(
                f"data.scale is {scale}, and {first} was trained on {theirs.type}; leave it unset to take that"
            )
        return None, how, notes
    if theirs.type == "unit":
        return None if dataset.image else theirs, how, notes
    ratio = _ratio(donor, dataset)
    brighter = "" if ratio == 1 else f", its pixels up to {donor.largest:g}, these up to {dataset.largest:g}"
    notes.append(f"scaled as in the source: {theirs.type}{brighter}")
    return _stretched(theirs, ratio), how, notes


def _donor_of_first(options: Transfer | None, donors: Sequence[Donor], first: str) -> Donor | None:
    """The donor whose own first layer becomes the first one here, None where another layer or a new one does."""
    if options is None:
        return None
    for part, donor in zip(options.parts, donors, strict=True):
        if matching(part.reuse, [first]):
            source = next((old for old, new in part.rename.items() if new == first), first)
            return donor if donor.resolve(source) == donor.layers[0] else None
    return None


def _ratio(donor: Donor, dataset: Dataset) -> float:
    """How many times larger a pixel can be here than it could in the source; 1 where that is not known."""
    if donor.image and dataset.image and donor.largest and dataset.largest:
        return dataset.largest / donor.largest
    return 1.0


def _stretched(scaling: Scaling, ratio: float) -> Scaling:
    """The scaling that makes of `ratio` times a value what `scaling` makes of the value."""
    if ratio == 1:
        return scaling
    if scaling.type == "standardize":
        return Scaling(
            "standardize",
            mean=tuple(value * ratio for value in scaling.mean),
            std=tuple(value * ratio for value in scaling.std),
        )
    return Scaling("unit", divide_by=ratio)


def _size(image: Sequence[int]) -> str:
    return "x".join(map(str, image))
