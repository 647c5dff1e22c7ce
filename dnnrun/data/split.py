"""Taking validation rows from the training rows: the first ones, or a stratified fraction by a seed."""

from __future__ import annotations

import hashlib

import numpy as np

from dnnrun.errors import DataError


def split_rows(labels: np.ndarray, validation: int | float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (int64) to train on and to validate on, from labels of shape (rows,).

    An int takes the first rows. A fraction takes that part of all rows, rounded, spread over the classes in
    proportion (largest remainders first) and leaving each at least one row to train on; both parts are shuffled, by
    (seed, "split") alone. Raises DataError where no row would be left to train on.
    """
    rows = np.arange(len(labels))
    if isinstance(validation, int):
        if validation >= len(labels):
            raise DataError(
                f"data.validation takes {validation:,} rows, and there are {len(labels):,} to train on; take less"
            )
        return rows[validation:], rows[:validation]
    order = _shuffled(len(labels), seed)
    _, kind, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    quota = counts * validation
    take = np.minimum(np.floor(quota).astype(np.int64), counts - 1)
    missing = round(len(labels) * validation) - int(take.sum())
    for number in np.argsort(take - quota, kind="stable"):
        if missing > 0 and take[number] < counts[number] - 1:
            take[number] += 1
            missing -= 1
    if validation > 0 and not take.any():
        raise DataError(
            f"data.validation: {validation} of {len(labels):,} rows of {len(counts)} classes is no row; "
            "take more, or 0 for no validation"
        )
    chosen = ranks(kind) < take[kind]
    return order[~chosen], order[chosen]


def fold_rows(labels: np.ndarray, of: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (int64) to train on and to validate on: fold `number` (1 the first) of `of`, labels of shape (rows,).

    Every row is validated on in exactly one fold; each class is dealt out over the folds in turn, so that their sizes
    differ by one row at most, in all and within a class. A function of (seed, "split") alone; both parts are shuffled.
    Raises DataError where there are fewer rows than folds.
    """
    if of > len(labels):
        raise DataError(f"data.fold: {of} folds of {len(labels):,} training rows leave some empty; take fewer")
    order = _shuffled(len(labels), seed)
    dealt = np.empty(len(labels), np.int64)
    dealt[np.argsort(labels[order], kind="stable")] = np.arange(len(labels)) % of
    chosen = dealt == number - 1
    return order[~chosen], order[chosen]


def _shuffled(count: int, seed: int) -> np.ndarray:
    key = int.from_bytes(hashlib.sha256(f"{seed}/split".encode()).digest()[:16], "little")
    # The raw stream of a bit generator never changes between versions of NumPy; its shuffle may.
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")


def ranks(labels: np.ndarray) -> np.ndarray:
    """How many rows of the same label come before each row; labels (rows,) are 0, 1, ..."""
    counts = np.bincount(labels)
    ranks = np.empty(len(labels), np.int64)
    ranks[np.argsort(labels, kind="stable")] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def split_groups(groups: np.ndarray, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As split_rows for a fraction, but rows of one group, (rows,) numbers 0, 1, ..., stay together.

    Groups are taken in an order shuffled by (seed, "split") until the fraction is reached. Raises DataError where that
    leaves no group on one of the sides.
    """
    order = _shuffled(len(groups), seed)
    if validation == 0:
        return order, order[:0]
    taken = _dealt(groups, seed)
    sizes = np.bincount(groups)
    below = np.cumsum(sizes[taken]) <= round(len(groups) * validation)
    below[0] = True
    chosen = np.isin(groups[order], taken[below])
    if chosen.all():
        raise DataError(f"data.groups: {len(taken)} group{'s' * (len(taken) != 1)} cannot be split; wanted two or more")
    return order[~chosen], order[chosen]


def fold_groups(groups: np.ndarray, of: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As fold_rows, but rows of one group stay together: each group goes to the fold that is smallest so far."""
    order, taken = _shuffled(len(groups), seed), _dealt(groups, seed)
    if of > len(taken):
        raise DataError(f"data.fold: {of} folds of {len(taken)} groups leave some empty; take fewer")
    sizes, filled = np.bincount(groups), np.zeros(of, np.int64)
    fold = np.empty(len(sizes), np.int64)
    for group in taken[np.argsort(-sizes[taken], kind="stable")]:
        fold[group] = int(filled.argmin())
        filled[fold[group]] += sizes[group]
    chosen = fold[groups[order]] == number - 1
    return order[~chosen], order[chosen]


def _dealt(groups: np.ndarray, seed: int) -> np.ndarray:
    """The groups that have rows, shuffled."""
    there = np.unique(groups)
    return there[_shuffled(len(there), seed)]
