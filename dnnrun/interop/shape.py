"""How dense kernels lie, and the order of dense layers that their shapes allow."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.names import convention
from dnnrun.interop.weights import Step, Weights

LAST = re.compile(r"(.*[/._])?(outputs?|logits|head|out|classifier|predictions?|final|score|last)([/._].*|\d*)?")
Size = tuple[int, int]  # inputs, units


def orientations(where: str, weights: Weights, dense: Sequence[Step], said: str | None) -> dict[str, str]:
    """Scope -> in_out or out_in. What the file says counts, then `said`, the format, the bias, the kernel's name.

    Raises InteropError where a kernel fits its bias in no way, and where nothing tells how square ones lie.
    """
    found: dict[str, str] = {}
    open_: list[Step] = []
    for step in dense:
        allowed = _allowed(where, weights.tensors, step)
        name = step.tensors["kernel"]
        wanted = step.options.get("orientation") or said or _usual(weights, name)
        if wanted in allowed:
            found[step.name] = wanted
        elif len(allowed) == 1:
            if wanted and (step.options.get("orientation") or said):
                rows, columns = weights.tensors[name].shape
                raise InteropError(f"{where}: {name} is {rows}x{columns}, which as {wanted} does not fit its bias")
            found[step.name] = allowed[0]
        else:
            open_.append(step)
    if open_:
        votes = {found[step.name] for step in dense if step.name in found}
        votes = votes or _that_chain(weights, open_)
        if len(votes) != 1:
            name = open_[0].tensors["kernel"]
            shape = "x".join(map(str, weights.tensors[name].shape))
            raise InteropError(
                f"{where}: {name} is {shape}, and nothing says which axis its inputs are; "
                "say so with --kernels in-out or --kernels out-in"
            )
        found |= dict.fromkeys((step.name for step in open_), votes.pop())
    return found


def _usual(weights: Weights, name: str) -> str | None:
    if weights.format == "torch":  # a parameter of one's own may lie either way
        return convention(name) and "out_in"
    return weights.orientation or convention(name)


def _allowed(where: str, tensors: Mapping[str, np.ndarray], step: Step) -> list[str]:
    rows, columns = tensors[step.tensors["kernel"]].shape
    if "bias" not in step.tensors:
        return ["in_out", "out_in"]
    bias = tensors[step.tensors["bias"]]
    fitting = [way for way, units in (("in_out", columns), ("out_in", rows)) if bias.size == units]
    if not fitting:
        raise InteropError(
            f"{where}: {step.tensors['bias']} has {bias.size} values, and {step.tensors['kernel']} is "
            f"{rows}x{columns}: not of one layer; say what belongs together with --map"
        )
    return fitting


def _that_chain(weights: Weights, dense: Sequence[Step]) -> set[str]:
    found = set()
    for way in ("in_out", "out_in"):
        sizes = [size_of(weights.tensors[step.tensors["kernel"]], way) for step in dense]
        if len(sizes) > 1 and all(a[1] == b[0] for a, b in itertools.pairwise(sizes)):
            found.add(way)
    return found


def size_of(kernel: np.ndarray, orientation: str) -> Size:
    """Inputs and units of a kernel that lies so."""
    rows, columns = kernel.shape
    return (rows, columns) if orientation == "in_out" else (columns, rows)


def ordered(where: str, names: Sequence[str], sizes: Mapping[str, Size]) -> tuple[list[str], str | None]:
    """The dense layers so that each takes what the one before gives, and a note where that is not as in `names`.

    The order of `names` counts where it is one; then with an output layer, by its name, moved to the end; then the
    only one there is. Raises InteropError where there is none, or more than one.
    """
    last = [name for name in names if LAST.fullmatch(name)]
    moved = [*(name for name in names if name not in last), *last]
    for order in (list(names), moved):
        if _chains(order, sizes) and (order == moved or len(last) != 1 or order[-1] == last[0]):
            return order, None
    ways = _ways(names, sizes)
    shapes = ", ".join(f"{name} {sizes[name][0]}x{sizes[name][1]}" for name in names)
    if len(ways) == 1:
        return ways[0], f"ordered by shape: {', '.join(ways[0])}"
    if ways:
        raise InteropError(f"{where}: its dense layers can follow each other in several orders ({shapes}); use --map")
    raise InteropError(
        f"{where}: its dense layers do not follow each other ({shapes}); name those to take, with --map in an import "
        "or --rename in a transfer"
    )


def _chains(order: Sequence[str], sizes: Mapping[str, Size]) -> bool:
    return all(sizes[a][1] == sizes[b][0] for a, b in itertools.pairwise(order))


def _ways(names: Sequence[str], sizes: Mapping[str, Size]) -> list[list[str]]:
    """Up to two orders that chain; none where there are too many layers to try."""
    ways: list[list[str]] = []
    budget = [20_000]

    def go(so_far: list[str]) -> None:
        budget[0] -= 1
        if len(ways) > 1 or budget[0] < 0:
            return
        if len(so_far) == len(names):
            ways.append(so_far)
            return
        for name in names:
            if name not in so_far and (not so_far or sizes[so_far[-1]][1] == sizes[name][0]):
                go([*so_far, name])

    go([])
    return ways if budget[0] >= 0 else ways * 2
