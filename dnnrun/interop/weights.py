"""What a reader finds in a file of another framework, and how that comes from one process to another."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

Orientation = str  # "in_out" or "out_in": which axis of a dense kernel its inputs are


@dataclass(frozen=True)
class Step:
    """One operation of a network: `dense`, `batch_norm`, `activation`, `flatten`, `scaling`, or `other`.

    `tensors` maps a role (kernel, bias, scale, mean, var, slope) to the tensor's name in the file; `options` has what
    the file says: of a dense its `orientation`, of a batch norm its `epsilon` and `momentum`, of an activation its
    `type` and options here, of a flatten `channel_first`, of a scaling what Scaling.from_json reads, of `other` its
    `what`.
    """

    kind: str
    name: str
    tensors: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """The tensors of a file in its order, and what it says of the network they belong to.

    `steps` is the network as a chain, None where the file has names alone. `orientation` is that of the format, None
    where it has none. `epsilon` is the framework's own default. `image` is (height, width, channels). `own` is what
    an export of dnnrun says of itself. `passed` are entries that are no part of a network, as an optimizer's.
    """

    format: str
    tensors: Mapping[str, np.ndarray]
    steps: tuple[Step, ...] | None = None
    orientation: Orientation | None = None
    ordered: bool = False
    epsilon: float = 1e-3
    image: tuple[int, int, int] | None = None
    own: Mapping[str, Any] | None = None
    passed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def pack(weights: Weights) -> bytes:
    """As bytes: a length, JSON, safetensors."""
    from safetensors.numpy import save

    order = list(weights.tensors)
    numbered = {str(number): np.ascontiguousarray(weights.tensors[name]) for number, name in enumerate(order)}
    shapes = [list(weights.tensors[name].shape) for name in order]  # ascontiguousarray makes a scalar one long
    steps = None if weights.steps is None else [asdict(step) for step in weights.steps]
    rest = {name: getattr(weights, name) for name in _PLAIN}
    header = json.dumps({"order": order, "shapes": shapes, "steps": steps, **rest}).encode()
    return struct.pack("<Q", len(header)) + header + save(numbered)


def unpack(data: bytes) -> Weights:
    """What `pack` made."""
    from safetensors.numpy import load

    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    numbered = load(data[8 + length :])
    order, shapes, steps = header.pop("order"), header.pop("shapes"), header.pop("steps")
    tensors = {name: numbered[str(at)].reshape(shapes[at]) for at, name in enumerate(order)}
    image = header.pop("image")
    return Weights(
        tensors=tensors,
        steps=None if steps is None else tuple(Step(**step) for step in steps),
        image=image and (image[0], image[1], image[2]),
        passed=tuple(header.pop("passed")),
        notes=tuple(header.pop("notes")),
        **header,
    )


_PLAIN: Sequence[str] = ("format", "orientation", "ordered", "epsilon", "image", "own", "passed", "notes")
