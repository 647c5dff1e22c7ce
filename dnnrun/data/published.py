"""A dataset as a folder of arrays, which other processes map."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.dataset import Dataset
from dnnrun.data.npy import head
from dnnrun.data.table.columns import Columns

TOLD = ("classes", "image", "largest", "task", "targets")  # of Raw too
WHAT = "what.json"


def described(dataset: Dataset) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a dataset by name, and what else it has, for JSON."""
    what = {name: getattr(dataset, name) for name in (*TOLD, "hash", "fingerprint", "notes", "warnings")}
    what |= {"columns": dataset.columns and dataset.columns.to_json(), "splits": dict(dataset.splits)}
    arrays = {name: getattr(dataset, name) for name in ("features", "labels", "origin")}
    if dataset.weights is not None:
        arrays["weights"] = dataset.weights
    return arrays, what


def opened(folder: Path) -> Dataset:
    """The dataset whose arrays, as .npy files, and WHAT lie in a folder; mapped."""
    arrays, what = read_folder(folder)
    splits = {name: tuple(rows) for name, rows in what.pop("splits").items()}
    what["columns"] = Columns.from_json(what["columns"])
    return Dataset(**arrays, **what, splits=splits)


def read_folder(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a folder, mapped, and what else is known of them."""
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
    what = json.loads((folder / WHAT).read_text("utf-8"))
    what |= {name: tuple(what[name]) for name in ("classes", "targets", "notes", "warnings") if name in what}
    what["image"] = what["image"] and tuple(what["image"])
    return arrays, what


def encoded(arrays: Mapping[str, np.ndarray], what: Mapping[str, Any]) -> dict[str, Any]:
    """The files of such a folder by name: their bytes, in pieces."""
    files: dict[str, Any] = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    return {**files, WHAT: json.dumps(what).encode()}


def _npy(array: np.ndarray) -> Iterator[bytes | memoryview]:
    array = np.ascontiguousarray(array)
    yield head(array.shape, array.dtype)
    yield array.data
