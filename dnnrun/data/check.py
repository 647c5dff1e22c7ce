"""Whether what a source read can be used at all."""

from __future__ import annotations

import math

import numpy as np

from dnnrun.data.source import Raw, Rows
from dnnrun.data.stacked import pieces
from dnnrun.errors import DataError


def check(raw: Raw) -> None:
    """Raises DataError for shapes that do not fit, an empty split, NaN or inf, or labels that name no class."""
    if raw.task == "classification" and len(raw.classes) < 2:
        raise DataError(f"the data has {len(raw.classes)} class, wanted two or more; give it rows of other classes")
    for names, what in ((raw.classes, "classes"), (raw.targets, "targets")):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"two {what} of the data are called {twice!r}; give them different names")
    for split, rows in (("train", raw.train), ("test", raw.test)):
        if rows is not None:
            _check_rows(split, rows, raw)
            _check_labels(split, rows, raw)
            _check_weights(split, rows)


def _check_rows(split: str, rows: Rows, raw: Raw) -> None:
    features = rows.features
    if raw.undecoded is not None:  # data frames, which are checked as they are encoded
        return
    width = raw.train.features.shape[-1] if raw.image is None else math.prod(raw.image)
    if features.ndim != 2 or features.shape[1] != width or features.dtype not in (np.uint8, np.float32):
        found = f"{' x '.join(map(str, features.shape))} {features.dtype}"
        raise DataError(f"{split} features are {found}, wanted rows x {width} uint8 or float32")
    if features.dtype != raw.train.features.dtype:
        raise DataError(f"{split} features are {features.dtype}, those to train on {raw.train.features.dtype}")
    if not math.prod(features.shape):
        raise DataError(f"there is nothing in the {split} rows ({len(features):,} of width {width}); give it data")
    if features.dtype == np.float32:
        for start, part in pieces(features):
            finite = np.isfinite(part)
            if not finite.all():
                row, column = np.argwhere(~finite)[0]
                raise DataError(
                    f"{split} row {start + row + 1:,}, column {column + 1} holds {part[row, column]}, wanted a number; "
                    "fill in or drop what is missing"
                )


def _check_labels(split: str, rows: Rows, raw: Raw) -> None:
    labels, count = rows.labels, len(rows.features)
    found = f"{split} labels are {' x '.join(map(str, labels.shape))} {labels.dtype}"
    if raw.task == "classification":
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise DataError(f"{found}, wanted one integer for each of {count:,} rows")
        wrong = np.flatnonzero((labels < 0) | (labels >= len(raw.classes)))
        if len(wrong):
            raise DataError(
                f"{split} row {wrong[0] + 1:,} has label {labels[wrong[0]]}, wanted 0 to {len(raw.classes) - 1} "
                f"({', '.join(raw.classes)}); rows like it: {len(wrong):,}; correct or drop them"
            )
        return
    if labels.shape != (count, len(raw.targets)) or labels.dtype != np.float32 or not raw.targets:
        raise DataError(f"{found}, wanted {count:,} x {len(raw.targets) or 'targets'} float32")
    wanted = "a number" if raw.task == "regression" else "0 or 1"
    wrong = ~np.isfinite(labels) if raw.task == "regression" else (labels != 0) & (labels != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{split} row {row + 1:,}: its target {raw.targets[column]!r} is {labels[row, column]:g}, wanted {wanted}; "
            f"rows like it: {wrong.any(1).sum():,}; correct or drop them"
        )
    if split == "train" and (same := np.flatnonzero(labels.min(0) == labels.max(0))).size:
        raise DataError(
            f"the target {raw.targets[same[0]]!r} is {labels[0, same[0]]:g} in every row to train on: there is nothing "
            "to learn; take another target, or other rows"
        )


def _check_weights(split: str, rows: Rows) -> None:
    if (weights := rows.weights) is None:
        return
    if weights.shape != (len(rows.features),) or weights.dtype != np.float32:
        found = f"{' x '.join(map(str, weights.shape))} {weights.dtype}"
        raise DataError(f"{split} weights are {found}, wanted {len(rows.features):,} float32")
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise DataError(
            f"{split} row {wrong[0] + 1:,} has weight {weights[wrong[0]]:g}, wanted 0 or more; "
            f"rows like it: {len(wrong):,}; correct or drop them"
        )
    if not weights.any():
        raise DataError(f"every {split} row has weight 0; give some more")
