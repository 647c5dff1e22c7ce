"""The rows of a sweep's trials, read from their source once and mapped from disk by every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun import files
from dnnrun.assemble import read_data
from dnnrun.data.dataset import Dataset
from dnnrun.data.published import TOLD, described, encoded, opened, read_folder
from dnnrun.data.select import select
from dnnrun.data.source import Places, Raw, Rows
from dnnrun.errors import RunDirectoryError
from dnnrun.spec.sections import Spec

if TYPE_CHECKING:
    import numpy as np


class SharedRows:
    """Datasets by spec. What is read is kept under `folder`, for other processes too; None: in this process alone.

    Where no seed decides which rows validate, the chosen rows lie on disk in their order and are used where they lie.
    Where it does, the source's rows lie there, and each trial copies its own choice of them.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.key, self.newest = "", None
        self.raws: dict[str, Raw] = {}

    def read(self, spec: Spec, places: Places) -> Dataset:
        """The rows that the spec names; the newest ones again without reading. Raises DataError."""
        fixed = in_one_order(spec)
        key = _key(spec.data.model_dump(mode="json"), None if fixed else spec.seed)
        if self.newest is None or self.key != key:
            if spec.data.stream is not None:  # on disk already, and not to be in memory
                self.newest = read_data(spec, places)
            elif fixed:
                self.newest = self._arranged(spec, places, key)
            else:
                self.newest = select(self.raw(spec, places), *_of(spec))
            self.key = key
        return self.newest

    def raw(self, spec: Spec, places: Places) -> Raw:
        """The source's rows. Raises DataError."""
        key = _key(spec.data.source.model_dump(mode="json"))
        if key not in self.raws:
            self.raws[key] = self._source(spec, places, key)
        return self.raws[key]

    def _source(self, spec: Spec, places: Places, key: str) -> Raw:
        if self.folder is None:
            return spec.data.source.read(places)
        if not (self.folder / key).is_dir():
            raw = spec.data.source.read(places)
            if raw.undecoded is not None:  # columns of a table, which each trial learns to prepare from its own rows
                return raw
            arrays = _arrays("train", raw.train) | (_arrays("test", raw.test) if raw.test else {})
            what = {name: getattr(raw, name) for name in (*TOLD, "fingerprint", "validation")}
            _publish(self.folder / key, arrays, what)
        arrays, what = read_folder(self.folder / key)
        return Raw(_rows("train", arrays), _rows("test", arrays) if "test" in arrays else None, **what)

    def _arranged(self, spec: Spec, places: Places, key: str) -> Dataset:
        if self.folder is None:
            return select(self.raw(spec, places), *_of(spec))
        if not (self.folder / key).is_dir():
            found = select(spec.data.source.read(places), *_of(spec))
            _publish(self.folder / key, *described(found))
        return opened(self.folder / key)


def _arrays(split: str, rows: Rows) -> dict[str, np.ndarray]:
    found = {split: rows.features, f"{split}-labels": rows.labels}
    return found if rows.weights is None else {**found, f"{split}-weights": rows.weights}


def _rows(split: str, arrays: Mapping[str, np.ndarray]) -> Rows:
    return Rows(arrays[split], arrays[f"{split}-labels"], arrays.get(f"{split}-weights"))


def in_one_order(spec: Spec) -> bool:
    """Whether the chosen rows and their order are the same under every seed."""
    return isinstance(spec.data.validation, int) and spec.data.fold is None


def _of(spec: Spec) -> tuple[Any, int]:
    return spec.data, spec.seed


def _key(*what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _publish(folder: Path, arrays: Mapping[str, np.ndarray], what: Mapping[str, Any]) -> None:
    """Write a folder of arrays; another process that was faster has written the same."""
    files.make_folder(folder.parent, exist_ok=True)
    try:
        files.publish_folder(folder, encoded(arrays, what))
    except RunDirectoryError:
        if not folder.is_dir():
            raise
