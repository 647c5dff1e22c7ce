"""Blocks of a file that has names alone: which batch norm and which slope belongs to which dense layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.blocks import Block, Blocks
from dnnrun.interop.weights import Step, Weights

Widths = Mapping[str, int]  # of a dense, by its scope: how many units it has
COUNTERS = {"dense", "batch_normalization", "batch_norm", "p_re_lu"}  # which Keras counts each by itself


def blocks_by_name(where: str, weights: Weights, steps: Sequence[Step], widths: Widths) -> Blocks:
    """The blocks of steps found by name, in the order of their dense layers. Raises InteropError where unclear."""
    dense = [step for step in steps if step.kind == "dense"]
    blocks = {step.name: Block(step) for step in dense}
    for kind in ("batch_norm", "activation"):
        loose = [step for step in steps if step.kind == kind]
        for step, owner in zip(loose, _owners(where, weights, steps, loose, dense, widths), strict=True):
            block = blocks[owner]
            blocks[owner] = replace(block, **{kind: step})
    found = tuple(replace(block, position=_position(block)) for block in blocks.values())
    return Blocks(found, False, others=tuple(step for step in steps if step.kind == "other"))


def _owners(
    where: str,
    weights: Weights,
    steps: Sequence[Step],
    loose: Sequence[Step],
    dense: Sequence[Step],
    widths: Widths,
) -> list[str]:
    """The dense layer of each loose step."""
    if not loose:
        return []
    sizes = [_size(step, weights.tensors) for step in loose]
    fits = [[d.name for d in dense if size in (1, widths[d.name])] for size in sizes]
    for step, size, fitting in zip(loose, sizes, fits, strict=True):
        if not fitting:
            raise InteropError(f"{where}: {step.name} has {size} values, and no dense layer has {size} units")
    by_scope = [_within(step.name, fitting) for step, fitting in zip(loose, fits, strict=True)]
    if all(by_scope):
        return [owner for owner in by_scope if owner]
    ways = [_by_number(loose, fits), _by_place(weights, steps, loose, fits)]
    certain = [way for way in ways if way is not None]
    if not certain:
        certain = _in_order(fits, [d.name for d in dense])
    if len({tuple(way) for way in certain}) == 1:
        return list(certain[0])
    names = ", ".join(step.name for step in loose)
    raise InteropError(
        f"{where}: it is not clear which layers {names} belong to ({', '.join(d.name for d in dense)}); "
        "say so with --map, or with --model where that tells which layers have batch norm"
    )


def _size(step: Step, tensors: Mapping[str, np.ndarray]) -> int:
    return max(tensors[name].size for name in step.tensors.values())


def _within(scope: str, dense: Sequence[str]) -> str | None:
    """The dense layer in whose scope this one lies: hidden1/batch_norm, hidden1_batch_norm, or the same scope."""
    longest = sorted(dense, key=len, reverse=True)
    return next((name for name in longest if name and re.match(re.escape(name) + r"($|[/._])", scope)), None)


def _by_number(loose: Sequence[Step], fits: Sequence[Sequence[str]]) -> list[str] | None:
    """bn1 to fc1, bn2 to fc2; None unless all of them have such a partner."""
    found = []
    for step, fitting in zip(loose, fits, strict=True):
        base, number = _numbered(step.name)
        same = [name for name in fitting if _numbered(name)[1] == number and _numbered(name)[0] not in COUNTERS]
        if number is None or base in COUNTERS or not base or len(same) != 1:
            return None
        found.append(same[0])
    return found if len(set(found)) == len(found) else None


def _numbered(scope: str) -> tuple[str, str | None]:
    last = re.split(r"[/.]", scope)[-1]
    match = re.fullmatch(r"(.*?)_?(\d+)", last)
    return (match[1], match[2]) if match else (last, None)


def _by_place(
    weights: Weights, steps: Sequence[Step], loose: Sequence[Step], fits: Sequence[Sequence[str]]
) -> list[str] | None:
    """To the dense layer right before, where the order of the file or its numbers is that of the network."""
    indices = [re.split(r"[/.]", step.name)[-1] for step in steps if step.kind != "other"]
    if not (weights.ordered or all(index.isdecimal() for index in indices)):
        return None
    found = []
    for step, fitting in zip(loose, fits, strict=True):
        ahead = [s for s in steps[: steps.index(step)] if s.kind != "other"]
        while ahead and ahead[-1].kind != "dense" and ahead[-1].kind != step.kind:
            ahead.pop()
        if not ahead or ahead[-1].kind != "dense" or ahead[-1].name not in fitting:
            return None
        found.append(ahead[-1].name)
    return found


def _in_order(fits: Sequence[Sequence[str]], order: Sequence[str]) -> list[list[str]]:
    """Every way to give the loose steps, in order, to dense layers in order; three are enough to know it unclear."""
    ways: list[list[str]] = []

    def go(at: int, after: int, so_far: list[str]) -> None:
        if len(ways) > 2:
            return
        if at == len(fits):
            ways.append(so_far)
            return
        for place in range(after, len(order)):
            if order[place] in fits[at]:
                go(at + 1, place + 1, [*so_far, order[place]])

    go(0, 0, [])
    if len(ways) > 1 and len(fits) == len(order) - 1:  # one a hidden layer and none for the outputs
        usual = [order[:-1]] if all(name in fit for name, fit in zip(order, fits, strict=False)) else []
        return [list(way) for way in usual] or ways
    return ways


def _position(block: Block) -> str | None:
    """Where the numbers of a torch Sequential tell: 0 dense, 1 batch norm, 2 activation, or the last two swapped."""
    if block.batch_norm is None:
        return None
    numbers = [
        re.split(r"[/.]", step.name)[-1] if step else "" for step in (block.dense, block.batch_norm, block.activation)
    ]
    if numbers[2].isdecimal() and numbers[1].isdecimal():
        return "before" if int(numbers[1]) < int(numbers[2]) else "after"
    if numbers[0].isdecimal() and numbers[1].isdecimal() and int(numbers[1]) == int(numbers[0]) + 1:
        return "before"
    return None
