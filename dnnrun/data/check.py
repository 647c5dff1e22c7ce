"""Whether what a source read can be used at all."""

from __future__ import annotations

import math

import numpy as np

from dnnrun.data.source import Raw, Rows
from dnnrun.errors import DataError

CELLS = 1 << 22  # looked at in one go, so that no mask of a large table is held


def check(raw: Raw) -> None:
    """Raises DataError for shapes that do not fit, an empty split, NaN or inf, or labels that name no class."""
    if len(raw.classes) < 2:
        raise DataError(f"the data has {len(raw.classes)} class, wanted two or more; give it rows of other classes")
    if len(set(raw.classes)) < len(raw.classes):
        twice = next(name for name in raw.classes if raw.classes.count(name) > 1)
        raise DataError(f"two classes of the data are called {twice!r}; give them different names")
    for split, rows in (("train", raw.train), ("test", raw.test)):
        if rows is not None:
            _check_rows(split, rows, raw)


def _check_rows(split: str, rows: Rows, raw: Raw) -> None:
    features, labels = rows.features, rows.labels
    width = raw.train.features.shape[-1] if raw.image is None else math.prod(raw.image)
    if features.ndim != 2 or features.shape[1] != width or features.dtype not in (np.uint8, np.float32):
        found = f"{' x '.join(map(str, features.shape))} {features.dtype}"
        raise DataError(f"{split} features are {found}, wanted rows x {width} uint8 or float32")
    if features.dtype != raw.train.features.dtype:
        raise DataError(f"{split} features are {features.dtype}, those to train on {raw.train.features.dtype}")
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        found = f"{' x '.join(map(str, labels.shape))} {labels.dtype}"
        raise DataError(f"{split} labels are {found}, wanted one integer for each of {len(features):,} rows")
    if not features.size:
        raise DataError(f"there is nothing in the {split} rows ({len(features):,} of width {width}); give it data")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(raw.classes)))
    if len(wrong):
        raise DataError(
            f"{split} row {wrong[0] + 1:,} has label {labels[wrong[0]]}, wanted 0 to {len(raw.classes) - 1} "
            f"({', '.join(raw.classes)}); rows like it: {len(wrong):,}; correct or drop them"
        )
    if features.dtype == np.float32:
        step = max(1, CELLS // width)
        for start in range(0, len(features), step):
            part = features[start : start + step]
            finite = np.isfinite(part)
            if not finite.all():
                row, column = np.argwhere(~finite)[0]
                raise DataError(
                    f"{split} row {start + row + 1:,}, column {column + 1} holds {part[row, column]}, wanted a number; "
                    "fill in or drop what is missing"
                )
