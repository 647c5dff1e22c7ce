"""The inputs of a phase whose first layers are frozen: their outputs, computed once, in memory or mapped from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnrun.errors import DeviceError, DnnrunError, RunFailed
from dnnrun.nn.architecture import layer_of
from dnnrun.train.device import free_memory
from dnnrun.transfer import cache as kept_outputs

if TYPE_CHECKING:
    from dnnrun.assembly import Assembly

SHARE = 0.25  # of the free memory that cached outputs may take; larger ones are mapped from disk


def cached_features(parts: Assembly, first: int, tensors: Mapping[str, Any]) -> np.ndarray | None:
    """All rows as layer number `first` takes them, (rows, units) float32; None where they cannot be kept.

    What was done is added to the notes of `parts`. Raises DeviceError under `cache: on` where it cannot be.
    """
    rows, width = len(parts.dataset.labels), parts.architecture.layers[first - 1].units
    names = parts.architecture.names[:first]
    if parts.spec.data.stream:
        return _uncached(parts, "data.stream lets rows pass by the device, which is not done with outputs", "use auto")
    mapped = 4 * rows * width > SHARE * free_memory()
    if mapped and (parts.outputs is None or parts.machine.platform != "cpu"):
        size = f"{4 * rows * width / 2**30:,.1f} GiB"
        why = f"the outputs of {names[-1]} take {size}, too much of the free memory"
        return _uncached(parts, why, "use auto, or a larger machine")
    order = None if mapped else np.argsort(parts.dataset.origin, kind="stable")
    kept = _Kept(parts, first, tensors, mapped, order)
    told = f"cached: the outputs of {names[-1]}, {rows:,} rows of {width}" + ", mapped from disk" * mapped
    if parts.outputs is None:
        features, how = np.concatenate(list(kept.pieces())), "computed once"
    elif (found := kept.find(parts.outputs)) is not None:
        features, how = found, "kept from an earlier run"
    else:
        with kept_outputs.claim(parts.outputs, kept.key):
            features, how = kept.find_or_compute(parts.outputs)
    parts.notes.append(f"{told}, {how}")
    if order is None:
        return features
    mine = np.empty_like(features)
    mine[order] = features
    return mine


def _uncached(parts: Assembly, why: str, advice: str) -> None:
    if parts.spec.transfer and parts.spec.transfer.cache == "on":
        raise DeviceError(f"transfer.cache: on, and {why}; {advice}")
    parts.notes.append(f"nothing is cached: {why}")


class _Kept:
    """The outputs of the first layers as they are kept on disk.

    They stand in the source's order of rows, so that runs whose seeds shuffle the same rows otherwise share them, and
    come to the same bits whoever computes them. Those mapped from disk stand in the run's own order, since it uses
    them where they lie.
    """

    def __init__(self, parts: Assembly, first: int, tensors: Mapping[str, Any], mapped: bool, order: np.ndarray | None):
        import jax

        self.parts, self.first, self.tensors, self.mapped, self.order = parts, first, tensors, mapped, order
        layers = parts.architecture.layers[:first]
        self.rows, self.width = len(parts.dataset.labels), layers[-1].units
        names = [layer.name for layer in layers]
        weights = {name: value for name, value in tensors.items() if layer_of(name) in names}
        prepared = {
            "scaling": parts.scaling.to_json(),
            "resize": parts.resize,
            "precision": parts.spec.train.precision,
            "jax": [jax.__version__, repr(parts.machine)],
        }
        content = parts.dataset.hash if order is None else parts.dataset.content
        self.key = kept_outputs.key_of(weights, [repr(layer) for layer in layers], content, prepared)

    def pieces(self) -> Iterator[np.ndarray]:
        """Computed, a piece at a time."""
        from dnnrun.train.prefix import outputs

        made = outputs(self.parts.task.split, self.tensors, self.parts.all_rows, self.first, self.order)
        if self.parts.spread:
            del self.parts.rows  # they were needed on one device for this alone
        return made

    def find(self, folder: Path) -> np.ndarray | None:
        """What is there already, mapped from disk."""
        return kept_outputs.find(folder, self.key, self.rows, self.width)

    def find_or_compute(self, folder: Path) -> tuple[np.ndarray, str]:
        """What another process has left while this one waited for it, or computed and kept; and which of the two."""
        if (found := self.find(folder)) is not None:
            return found, "kept from an earlier run"
        features = None if self.mapped else np.concatenate(list(self.pieces()))
        try:
            pieces = self.pieces() if features is None else [features]
            kept_outputs.keep(folder, self.key, pieces, self.rows, self.width)
        except DnnrunError as error:
            if features is None:
                raise
            self.parts.notes.append(f"the cached outputs are not kept for other runs: {error}")
        if features is None and (features := self.find(folder)) is None:
            raise RunFailed(f"{folder}: {self.key}.npy was damaged as it was written; check the disk")
        return features, "computed once"
