"""What is to be told of a row: which class, which labels, or which numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dnnrun.data.source import Raw, Rows, TaskName
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np

WORDS = {"classification": "classes", "multilabel": "labels, each 0 or 1", "regression": "numbers"}
MOST_CLASSES = 1000  # distinct whole numbers of a target that can be taken for classes


def as_task(raw: Raw, task: TaskName | None) -> Raw:
    """The rows for `task`, None: as the source has them. Raises DataError where they are none for it.

    Classes whose names are numbers become the numbers, and any classes labels of which each row has one; a target of
    few whole numbers becomes classes, in their order; targets that are 0 and 1 become labels, and the other way round.
    """
    if task is None or task == raw.task:
        return raw
    if raw.task == "classification" and task == "regression":
        return _as_numbers(raw)
    if raw.task == "classification" and task == "multilabel":
        return _as_labels(raw)
    if raw.task == "regression" and task == "classification":
        return _as_classes(raw)
    if raw.task == "multilabel" and task == "regression":
        return replace(raw, task="regression")
    if raw.task == "regression" and task == "multilabel":
        return replace(raw, task="multilabel")  # that they are 0 and 1 is checked like every source's
    raise DataError(f"data.task: {task} wants {WORDS[task]}, and the source has {WORDS[raw.task]}; use {raw.task}")


def _as_numbers(raw: Raw) -> Raw:
    import numpy as np

    try:
        values = np.array([float(name) for name in raw.classes], np.float32)
    except ValueError as error:
        raise DataError(f"data.task: regression wants numbers, and the classes are names ({error})") from None

    def numbers(rows: Rows) -> Rows:
        return replace(rows, labels=values[rows.labels][:, None])

    test = raw.test and numbers(raw.test)
    targets = raw.targets or ("target",)
    return replace(raw, train=numbers(raw.train), test=test, classes=(), task="regression", targets=targets)


def _as_labels(raw: Raw) -> Raw:
    import numpy as np

    each = np.eye(len(raw.classes), dtype=np.float32)
    train = replace(raw.train, labels=each[raw.train.labels])
    test = raw.test and replace(raw.test, labels=each[raw.test.labels])
    return replace(raw, train=train, test=test, classes=(), task="multilabel", targets=raw.classes)


def _as_classes(raw: Raw) -> Raw:
    import numpy as np

    if len(raw.targets) != 1:
        raise DataError(f"data.task: classification wants one target, and the source has {len(raw.targets)}")
    every = [rows.labels[:, 0] for rows in (raw.train, raw.test) if rows is not None]
    values, numbers = np.unique(np.concatenate(every), return_inverse=True)
    if len(values) > MOST_CLASSES or not (np.isfinite(values) & (values == np.floor(values))).all():
        raise DataError(
            f"data.task: classification wants classes, and {raw.targets[0]} has {len(values):,} different numbers; "
            "use regression"
        )
    count = len(raw.train.labels)
    train = replace(raw.train, labels=numbers[:count].astype(np.int32))
    test = raw.test and replace(raw.test, labels=numbers[count:].astype(np.int32))
    names = tuple(str(int(value)) for value in values)
    return replace(raw, train=train, test=test, classes=names, task="classification")


def kinds(raw: Raw) -> np.ndarray:
    """What rows to train on are stratified by: the class, (rows,); the same for all where there are none."""
    import numpy as np

    return raw.train.labels if raw.task == "classification" else np.zeros(len(raw.train.labels), np.int32)
