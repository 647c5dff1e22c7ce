"""Explicit names: which tensor of a file becomes which of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from dnnrun.errors import InteropError
from dnnrun.interop.blocks import Block, Blocks
from dnnrun.interop.names import TRAINING, plain
from dnnrun.interop.weights import Step, Weights
from dnnrun.nn.architecture import OUTPUTS

PARTS = (
    "kernel",
    "bias",
    "batch_norm/scale",
    "batch_norm/bias",
    "batch_norm/mean",
    "batch_norm/var",
    "activation/slope",
)
TENSOR = re.compile(rf"(hidden[1-9]\d*|{OUTPUTS})/({'|'.join(PARTS)})")


@dataclass(frozen=True)
class Named:
    """A tensor of the file, and whether it is transposed on the way; None where that is to be found out."""

    tensor: str
    transpose: bool | None = None


@dataclass(frozen=True)
class Map:
    """Our tensor -> a tensor of the file, in the order of the layers; patterns of tensors that are not wanted."""

    where: str
    tensors: Mapping[str, Named]
    ignore: tuple[str, ...] = ()

    def blocks(self, where: str, weights: Weights) -> tuple[Blocks, list[str], list[str]]:
        """The blocks, the tensors that training alone has, and those that nothing wants.

        Raises InteropError for tensors that the file lacks, and layers that make no network.
        """
        for ours, named in self.tensors.items():
            if named.tensor not in weights.tensors:
                raise self._absent(where, ours, named.tensor, weights)
        layers: dict[str, dict[str, Named]] = {}
        for ours, named in self.tensors.items():
            layer, _, part = ours.partition("/")
            layers.setdefault(layer, {})[part] = named
        order = sorted(layers, key=lambda name: (name == OUTPUTS, int(name[6:]) if name != OUTPUTS else 0))
        found = tuple(self._block(where, name, layers[name], weights) for name in order)
        used = {named.tensor for named in self.tensors.values()}
        rest = [name for name in weights.tensors if name not in used]
        wanted = [name for name in rest if not any(re.fullmatch(pattern, name) for pattern in self.ignore)]
        passed = [name for name in wanted if TRAINING.fullmatch(plain(name))]
        return Blocks(found, False), [*weights.passed, *passed], [name for name in wanted if name not in passed]

    def _block(self, where: str, name: str, parts: Mapping[str, Named], weights: Weights) -> Block:
        if "kernel" not in parts:
            raise InteropError(f"{self.where}: {name} has no kernel; every layer wants one")
        kernel = parts["kernel"]
        shape = weights.tensors[kernel.tensor].shape
        if len(shape) != 2:
            raise InteropError(f"{where}: {kernel.tensor} has {len(shape)} axes, and the kernel of {name} wants 2")
        lies = {} if kernel.transpose is None else {"orientation": "out_in" if kernel.transpose else "in_out"}
        dense = {role: parts[role].tensor for role in ("kernel", "bias") if role in parts}
        norm = {part.partition("/")[2]: named.tensor for part, named in parts.items() if part.startswith("batch_norm/")}
        if norm and not {"mean", "var"} <= norm.keys():
            raise InteropError(f"{self.where}: {name}/batch_norm wants mean and var")
        slope = parts.get("activation/slope")
        return Block(
            Step("dense", name, dense, lies),
            Step("batch_norm", name, norm) if norm else None,
            Step("activation", name, {"slope": slope.tensor}, {"type": "prelu"}) if slope else None,
        )

    def _absent(self, where: str, ours: str, tensor: str, weights: Weights) -> InteropError:
        close = get_close_matches(tensor, list(weights.tensors), 1)
        names = list(weights.tensors)
        there = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names[:8])}"
        return InteropError(f"{self.where}: {ours}: {where} has no tensor {tensor!r}; {there}")
