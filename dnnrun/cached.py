"""The inputs of a phase whose first layers are frozen: their outputs, computed once, in memory or mapped from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dnnrun.errors import DeviceError, DnnrunError, RunFailed
from dnnrun.nn.architecture import layer_of
from dnnrun.train.device import free_memory
from dnnrun.transfer import cache as kept_outputs
from dnnrun.transfer.phases import Phase

if TYPE_CHECKING:
    from dnnrun.assembly import Assembly
    from dnnrun.train.state import Batches

SHARE = 0.25  # of the free memory that cached outputs may take; larger ones are mapped from disk


def cached_inputs(parts: Assembly, phase: Phase, tensors: Mapping[str, Any]) -> tuple[int, Batches]:
    """How many layers are cached, and the rows as the layer above them takes them; 0 and all rows where it cannot be.

    What was done is added to the notes of `parts`. Raises DeviceError under `cache: on` where it cannot be.
    """
    features = _features(parts, phase.first, tensors)
    return (0, parts.rows) if features is None else (phase.first, _inputs(parts.rows, features))


def _features(parts: Assembly, first: int, tensors: Mapping[str, Any]) -> np.ndarray | None:
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
        "jax": [jax.__version__, repr(parts.machine)],
    }
    layers = [repr(layer) for layer in parts.architecture.layers[:first]]
    key = kept_outputs.key_of(weights, layers, parts.dataset.hash, prepared)
    told = f"cached: the outputs of {names[-1]}, {rows:,} rows of {width}" + ", mapped from disk" * mapped
    if parts.outputs and (found := kept_outputs.find(parts.outputs, key, rows, width)) is not None:
        parts.notes.append(f"{told}, kept from an earlier run")
        return found if mapped else np.array(found)
    pieces = outputs(parts.split, tensors, parts.rows, first)
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


def _inputs(rows: Batches, features: np.ndarray) -> Batches:
    """The same rows with these features, taken as they are; mapped from disk, a CPU reads them where they lie."""
    import jax
    import jax.numpy as jnp

    mapped = isinstance(features, np.memmap)
    there = jax.device_put(features, may_alias=True) if mapped else jnp.asarray(features)
    return replace(rows, features=there, offset=jnp.float32(0), factor=jnp.float32(1))
