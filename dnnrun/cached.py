"""The inputs of a phase whose first layers are frozen: their outputs, computed once, in memory or mapped from disk."""

from __future__ import annotations

from collections.abc import Mapping
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
    import jax

    from dnnrun.train.prefix import outputs

    rows, width = len(parts.dataset.labels), parts.architecture.layers[first - 1].units
    names = parts.architecture.names[:first]
    mapped = 4 * rows * width > SHARE * free_memory()
    if mapped and (parts.outputs is None or parts.machine.platform != "cpu"):
        text = f"the outputs of {names[-1]} take {4 * rows * width / 2**30:,.1f} GiB, too much of the free memory"
        if parts.spec.transfer and parts.spec.transfer.cache == "on":
            raise DeviceError(f"transfer.cache: on, and {text}; use auto, or a larger machine")
        parts.notes.append(f"nothing is cached: {text}")
        return None
    weights = {name: value for name, value in tensors.items() if layer_of(name) in names}
    prepared = {
        "scaling": parts.scaling.to_json(),
        "resize": parts.resize,
        "precision": parts.spec.train.precision,
        "jax": [jax.__version__, repr(parts.machine)],
    }
    layers = [repr(layer) for layer in parts.architecture.layers[:first]]
    key = kept_outputs.key_of(weights, layers, parts.dataset.hash, prepared)
    told = f"cached: the outputs of {names[-1]}, {rows:,} rows of {width}" + ", mapped from disk" * mapped
    if parts.outputs and (found := kept_outputs.find(parts.outputs, key, rows, width)) is not None:
        parts.notes.append(f"{told}, kept from an earlier run")
        return found if mapped else np.array(found)
    pieces = outputs(parts.split, tensors, parts.rows, first)
    if parts.spread:
        del parts.rows  # they were needed on one device for this alone
    features = None if mapped else np.concatenate(list(pieces))
    if parts.outputs:
        try:
            kept_outputs.keep(parts.outputs, key, pieces if features is None else [features], rows, width)
        except DnnrunError as error:
            if features is None:
                raise
            parts.notes.append(f"the cached outputs are not kept for other runs: {error}")
    if features is None:
        features = parts.outputs and kept_outputs.find(parts.outputs, key, rows, width)
        if features is None:
            raise RunFailed(f"{parts.outputs}: {key}.npy was damaged as it was written; check the disk")
    parts.notes.append(f"{told}, computed once")
    return features
