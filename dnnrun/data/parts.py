"""The arrays of several files, one after the other: each with as many labels as it has rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dnnrun.data.arrays import Part, shape_of
from dnnrun.data.stacked import below
from dnnrun.errors import DataError


def part_of(
    features: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    wheres: Sequence[Sequence[str]],
    target: str = "target",
) -> Part:
    """The arrays of several files, one after the other; `wheres` are what errors call those of features and of labels.

    One file of labels may be for all. Raises DataError where the rows of the files differ, or one has not as many
    labels as rows, whatever others have.
    """
    _check_pairs(features, labels, wheres)
    told = [where[0] if len(where) == 1 else f"{where[0]} and {len(where) - 1} more" for where in wheres]
    return Part(_joined(features, wheres[0]), _joined(labels, wheres[1]), *told, target=target)


def _check_pairs(features: Sequence[np.ndarray], labels: Sequence[np.ndarray], wheres: Sequence[Sequence[str]]) -> None:
    if len(features) != len(labels):
        if len(labels) > 1:
            raise DataError(
                f"{wheres[1][0]} and {len(labels) - 1} more: {len(labels)} files of labels for {len(features)} of "
                "features; wanted one for each, or one for all"
            )
        return
    for x, y, where, labels_where in zip(features, labels, *wheres, strict=True):
        if len(features) > 1 and x.ndim and y.ndim and len(x) != len(y):  # of one file raw_of says more
            raise DataError(
                f"{labels_where}: of shape {shape_of(y.shape)}; wanted {len(x):,} labels, one for each row of {where}"
            )


def _joined(arrays: Sequence[np.ndarray], wheres: Sequence[str]) -> Any:
    """The arrays of several files, one after the other. Raises DataError where their rows differ."""
    first = arrays[0]
    for array, where in zip(arrays[1:], wheres[1:], strict=True):
        if array.ndim == 0 or array.shape[1:] != first.shape[1:]:
            raise DataError(f"{where}: of shape {shape_of(array.shape)}, and {wheres[0]} is {shape_of(first.shape)}")
    return below(arrays) if first.ndim else first
