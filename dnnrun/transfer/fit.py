"""Whether the new data fits what the reused first layer was trained on: its size, its channels, its scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dnnrun.data.scale import Scaling
from dnnrun.data.select import Dataset
from dnnrun.errors import TransferError
from dnnrun.transfer.donor import Donor
from dnnrun.transfer.match import matching
from dnnrun.transfer.options import Transfer

FIRST = "hidden1"


def inputs_of(
    options: Transfer | None, donors: Sequence[Donor], dataset: Dataset, scale: str | None
) -> tuple[Scaling | None, Mapping[str, Any] | None, list[str]]:
    """The scaling to take over (None to fit one), how images are resized (None: not), and notes.

    Where the first layer is reused, its inputs are prepared as they were for its source, unless the spec names a
    scale. Raises TransferError where the widths differ and no resizing is asked for or possible.
    """
    donor = _first(options, donors)
    if options is None or donor is None:
        return None, None, []
    how, notes = None, []
    if donor.image and dataset.image and donor.image != dataset.image:
        sizes = f"the data's images are {_size(dataset.image)}, and the source was trained on {_size(donor.image)}"
        if not options.resize_inputs:
            raise TransferError(f"transfer: {sizes}; set transfer.resize_inputs: true, or do not reuse {FIRST}")
        method = "linear" if options.resize_inputs is True else options.resize_inputs
        how = {"from": list(dataset.image), "to": list(donor.image), "method": method}
        notes.append(f"resized: {sizes}; {method}")
    elif donor.features != dataset.width:
        raise TransferError(
            f"transfer: the data has {dataset.width} features and {FIRST} of {donor.name} takes {donor.features}; "
            f"no image is known on both sides, so nothing can be resized. Use the same columns, or do not reuse {FIRST}"
        )
    theirs = Scaling.from_json(donor.preprocessing)
    if scale is None:
        if theirs.type == "unit":
            return None if dataset.image else theirs, how, notes
        notes.append(f"scaled as in the source: {theirs.type}")
        return theirs, how, notes
    if theirs.type != scale:
        notes.append(f"data.scale is {scale}, and {FIRST} was trained on {theirs.type}; leave it unset to take that")
    return None, how, notes


def _first(options: Transfer | None, donors: Sequence[Donor]) -> Donor | None:
    """The donor of the first hidden layer, where it is reused."""
    if options is None:
        return None
    for part, donor in zip(options.parts, donors, strict=True):
        if matching(part.reuse, [FIRST]):
            return donor
    return None


def _size(image: Sequence[int]) -> str:
    return "x".join(map(str, image))
