"""A foreign file understood: its layers under our names, our shapes, our types, and where each tensor comes from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.attach import blocks_by_name
from dnnrun.interop.blocks import Block, Blocks, blocks_of_chain, softmax_of
from dnnrun.interop.mapping import Map
from dnnrun.interop.names import steps_by_name
from dnnrun.interop.scaling import scaling_of
from dnnrun.interop.shape import ordered, orientations, size_of
from dnnrun.interop.weights import Step, Weights
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import OUTPUTS

OURS = re.compile(rf"hidden\d+|{OUTPUTS}")
Image = tuple[int, int, int]


@dataclass(frozen=True)
class Origin:
    """The tensor of the file that one of ours is made of, and how."""

    tensor: str
    shape: tuple[int, ...]
    how: str


@dataclass(frozen=True)
class ForeignLayer:
    """A dense layer. `tensors` and `origins` are by what they are here, as `kernel` or `batch_norm/scale`.

    `activation` is None where the file does not say it; `batch_norm` has the options it says, None without one.
    `ends` is the softmax or logistic function that is left out behind an output layer.
    """

    name: str
    foreign: str
    tensors: Mapping[str, np.ndarray]
    origins: Mapping[str, Origin]
    activation: Activation | None
    batch_norm: Mapping[str, Any] | None
    ends: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.tensors["kernel"].shape[0], self.tensors["kernel"].shape[1]


@dataclass(frozen=True)
class ForeignNetwork:
    """The layers of a file. `whole` is None where they are all of it, else what dnnrun does not build of it."""

    path: Path
    format: str
    layers: tuple[ForeignLayer, ...]
    whole: str | None
    image: Image | None
    preprocessing: Mapping[str, Any] | None
    own: Mapping[str, Any]
    epsilon: float
    leftover: tuple[str, ...]
    passed: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def features(self) -> int:
        return self.layers[0].size[0]

    def rows(self) -> list[list[str]]:
        """A table with a line a tensor."""
        found = [["tensor of the file", "shape", "becomes", "shape", "how"]]
        for layer in self.layers:
            for part, origin in layer.origins.items():
                here = layer.tensors[part].shape
                found.append([origin.tensor, _shape(origin.shape), f"{layer.name}/{part}", _shape(here), origin.how])
        return found

    def mapping(self) -> dict[str, dict[str, Any]]:
        """The table as JSON: our tensor -> where it comes from."""
        return {
            f"{layer.name}/{part}": {
                "tensor": origin.tensor,
                "shape": list(origin.shape),
                "how": origin.how,
            }
            for layer in self.layers
            for part, origin in layer.origins.items()
        }


@dataclass(frozen=True)
class Said:
    """What a person says of a file that it may not say itself."""

    map: Map | None = None
    orientation: str | None = None
    image: Image | None = None
    channel_first: bool = False
    normalized: Sequence[bool] | None = None  # whether each dense layer has batch norm, outputs last


def understand(path: Path, weights: Weights, said: Said) -> ForeignNetwork:
    """The layers of `weights`. Raises InteropError where they are ambiguous, or there are none."""
    where, notes = str(path), list(weights.notes)
    if said.map is not None:
        blocks, passed, leftover = said.map.blocks(where, weights)
        steps: Sequence[Step] = [block.dense for block in blocks.blocks]
    elif weights.steps is not None:
        blocks, passed, leftover = blocks_of_chain(where, weights.steps), list(weights.passed), []
        steps = [block.dense for block in blocks.blocks]
    else:
        steps, passed = steps_by_name(weights)
        blocks, leftover = Blocks((), False), []
    dense = [step for step in steps if step.kind == "dense"]
    if not dense:
        raise InteropError(f"{where}: no dense layer found among {_some(list(weights.tensors))}; name them with --map")
    lies = orientations(where, weights, dense, said.orientation)
    sizes = {step.name: size_of(weights.tensors[step.tensors["kernel"]], lies[step.name]) for step in dense}
    if not blocks.blocks:
        blocks, note = _by_name(where, weights, steps, sizes, said.normalized)
        notes += [note] if note else []
    leftover = [*leftover, *(name for step in blocks.others for name in step.tensors.values())]
    whole = _whole(blocks, sizes, leftover if said.map is None else ())
    names = _names(blocks.blocks, whole, blocks.told, said.map is not None)
    image, channel_first = _image(where, weights, blocks, said, sizes[blocks.blocks[0].dense.name][0], whole)
    layers = []
    for number, (name, block) in enumerate(zip(names, blocks.blocks, strict=True)):
        permuted = image if channel_first and number == 0 and image and image[2] > 1 else None
        layers.append(_layer(where, weights, block, name, lies[block.dense.name], permuted, blocks.told))
    scaling, more = scaling_of(where, blocks.before, layers[0].size[0], image, channel_first)
    own = weights.own or {}
    return ForeignNetwork(
        path=path,
        format=weights.format,
        layers=tuple(layers),
        whole=whole,
        image=image or _own_image(own),
        preprocessing=own.get("preprocessing") or scaling,
        own=own,
        epsilon=weights.epsilon,
        leftover=tuple(leftover),
        passed=tuple(passed),
        notes=(*notes, *(() if own else more), *blocks.notes),
    )


def _by_name(
    where: str,
    weights: Weights,
    steps: Sequence[Step],
    sizes: Mapping[str, tuple[int, int]],
    normalized: Sequence[bool] | None,
) -> tuple[Blocks, str | None]:
    """The blocks of names in the order of their shapes; where a model says who has batch norm, as it says."""
    note = None
    others = any(step.kind == "other" for step in steps)
    try:
        order, note = ordered(where, list(sizes), sizes)
    except InteropError:
        if not others:
            raise
        order = list(sizes)  # only single layers can be taken, each by its name
    dense = sorted((step for step in steps if step.kind == "dense"), key=lambda step: order.index(step.name))
    norms = [step for step in steps if step.kind == "batch_norm"]
    widths = {name: size[1] for name, size in sizes.items()}
    if normalized and len(normalized) == len(dense) and sum(normalized) == len(norms):
        takers = [step.name for step, takes in zip(dense, normalized, strict=True) if takes]
        renamed = {norm.name: taker for norm, taker in zip(norms, takers, strict=True)}
        steps = [
            Step(step.kind, renamed[step.name], step.tensors, step.options) if step in norms else step for step in steps
        ]
    if note is None and [step.name for step in steps if step.kind == "dense"] == order:
        return blocks_by_name(where, weights, steps, widths), note
    rest = [step for step in steps if step.kind != "dense"]
    return blocks_by_name(where, weights, [*dense, *rest], widths), note


def _whole(blocks: Blocks, sizes: Mapping[str, tuple[int, int]], leftover: Sequence[str]) -> str | None:
    """Why the blocks are not a network of their own, None where they are."""
    if blocks.others:
        kinds = [str(step.options["what"]) for step in blocks.others]
        return f"it has parts that dnnrun does not build: {_some(list(dict.fromkeys(kinds)))}"
    if leftover:
        return f"its tensors {_some(list(leftover))} belong to no dense layer, batch norm or learned slope"
    order = [sizes[block.dense.name] for block in blocks.blocks]
    for before, after in itertools.pairwise(order):
        if before[1] != after[0]:
            return f"a layer of {before[1]} units is followed by one of {after[0]} inputs"
    return None


def _names(blocks: Sequence[Block], whole: str | None, told: bool, mapped: bool) -> list[str]:
    """hidden1, hidden2, ..., outputs; a layer of a network that is not whole keeps its own name."""
    own = [block.dense.name.replace(".", "/").rpartition("/")[2] for block in blocks]
    if mapped or (all(OURS.fullmatch(name) for name in own) and len(set(own)) == len(own)):
        return own
    if whole is not None:
        return [block.dense.name for block in blocks]
    last = blocks[-1]
    hidden = last.activation is not None and softmax_of(last) is None
    names = [f"hidden{number}" for number in range(1, len(blocks) + 1)]
    return names if hidden else [*names[:-1], OUTPUTS]


def _image(
    where: str, weights: Weights, blocks: Blocks, said: Said, features: int, whole: str | None
) -> tuple[Image | None, bool]:
    flattens = [step for step in blocks.before if step.kind == "flatten"]
    image = said.image or weights.image
    if whole is None and image is not None and image[0] * image[1] * image[2] != features:
        shape = "x".join(map(str, image))
        raise InteropError(f"{where}: its first layer takes {features} inputs, and an image of {shape} has others")
    told = any(step.options["channel_first"] for step in flattens)
    return image if whole is None else None, told or (said.channel_first and image is not None)


def _own_image(own: Mapping[str, Any]) -> Image | None:
    image = own.get("image")
    if isinstance(image, list) and len(image) == 3 and all(isinstance(extent, int) for extent in image):
        return image[0], image[1], image[2]
    return None


def _layer(
    where: str, weights: Weights, block: Block, name: str, lies: str, permuted: Image | None, told: bool
) -> ForeignLayer:
    tensors: dict[str, np.ndarray] = {}
    origins: dict[str, Origin] = {}

    def put(part: str, source: str, value: np.ndarray, *how: str) -> None:
        original = weights.tensors[source]
        words = [*how]
        if value.dtype != np.float32:
            words.append(f"{original.dtype} to float32")
        tensors[part] = _float32(where, source, value)
        origins[part] = Origin(source, tuple(original.shape), ", ".join(words) or "as it is")

    source = block.dense.tensors["kernel"]
    kernel = weights.tensors[source]
    how = []
    if lies == "out_in":
        kernel, how = kernel.T, ["transposed"]
    if permuted:
        height, width, channels = permuted
        kernel = kernel.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(len(kernel), -1)
        how.append("rows from channel-first")
    put("kernel", source, kernel, *how)
    units = kernel.shape[1]
    if "bias" in block.dense.tensors:
        put("bias", block.dense.tensors["bias"], weights.tensors[block.dense.tensors["bias"]].reshape(-1))
    norm: dict[str, Any] | None = None
    if block.batch_norm:
        for part, source in sorted(block.batch_norm.tensors.items(), key=lambda item: _NORM.index(item[0])):
            value = weights.tensors[source].reshape(-1)
            if value.size != units:
                raise InteropError(
                    f"{where}: {source} has {value.size} values, and {block.dense.name} has {units} units"
                )
            put(f"batch_norm/{part}", source, value)
        norm = {key: value for key, value in block.batch_norm.options.items() if key in ("epsilon", "momentum")}
        norm |= {"scale": "scale" in block.batch_norm.tensors, "center": "bias" in block.batch_norm.tensors}
        if block.position:
            norm["position"] = block.position
    activation, ends = _activation(where, block, name, told)
    if block.activation and "slope" in block.activation.tensors:
        source = block.activation.tensors["slope"]
        slope = weights.tensors[source].reshape(-1)
        if slope.size not in (1, units):
            raise InteropError(f"{where}: {source} has {slope.size} values, wanted 1 or {units}")
        shared = slope.size == 1 and units != 1
        activation = Activation.parse({"type": "prelu", "shared": shared})
        put("activation/slope", source, slope)
    return ForeignLayer(name, block.dense.name, tensors, origins, activation, norm, ends)


_NORM = ("scale", "bias", "mean", "var")


def _activation(where: str, block: Block, name: str, told: bool) -> tuple[Activation | None, str | None]:
    if block.activation is None:
        return (Activation.parse("identity") if told or name == OUTPUTS else None), None
    ends = softmax_of(block)
    if name == OUTPUTS and ends:
        return Activation.parse("identity"), ends
    if block.activation.options.get("type") == "softmax":
        raise InteropError(
            f"{where}: {block.dense.name} is followed by a softmax within the network; dnnrun has no such"
        )
    return Activation.parse(dict(block.activation.options)), None


def _float32(where: str, name: str, value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.ascontiguousarray(value).astype(np.float32)
    if not np.isfinite(found).all():
        raise InteropError(f"{where}: {name} has values that are not finite as float32")
    return found


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
