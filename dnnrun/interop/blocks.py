"""Steps put together: each dense layer with the batch norm and the activation that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dnnrun.errors import InteropError
from dnnrun.interop.weights import Step


@dataclass(frozen=True)
class Block:
    """A dense step, and what follows it. `position` is that of the batch norm, None where nobody knows."""

    dense: Step
    batch_norm: Step | None = None
    activation: Step | None = None
    position: str | None = None


@dataclass(frozen=True)
class Blocks:
    """The blocks in order. `told` is whether the file itself says how they follow each other and what lies between.

    `others` are steps that dnnrun does not build; `before` those ahead of the first dense: flatten, scaling.
    """

    blocks: tuple[Block, ...]
    told: bool
    before: tuple[Step, ...] = ()
    others: tuple[Step, ...] = ()
    notes: tuple[str, ...] = field(default=())


def blocks_of_chain(where: str, steps: Sequence[Step]) -> Blocks:
    """The blocks of a chain. Raises InteropError where dense, batch norm and activation come in no order of ours."""
    blocks: list[Block] = []
    before: list[Step] = []
    others: list[Step] = []
    for step in steps:
        last = blocks[-1] if blocks else None
        if step.kind == "other":
            others.append(step)
        elif step.kind == "dense":
            blocks.append(Block(step))
        elif step.kind == "flatten" and (last is None or others):
            before.append(step)
        elif step.kind == "flatten":
            continue  # of what is flat already
        elif step.kind == "scaling" and last is None:
            before.append(step)
        elif others and last is None:
            others.append(step)
        elif last is None or step.kind == "scaling":
            raise InteropError(
                f"{where}: {step.name}, a {_word(step)}, is not behind a dense layer; dnnrun has no such"
            )
        elif step.kind == "batch_norm":
            if last.batch_norm:
                raise InteropError(
                    f"{where}: {step.name}: a second batch norm behind {last.dense.name}; fold one of them"
                )
            blocks[-1] = replace(last, batch_norm=step, position="after" if last.activation else "before")
        elif step.options.get("type") == "identity":
            continue
        elif last.activation or last.position == "after":
            raise InteropError(f"{where}: {step.name}: a second activation behind {last.dense.name}")
        else:
            blocks[-1] = replace(last, activation=step)
    return Blocks(tuple(blocks), True, tuple(before), tuple(others))


def softmax_of(block: Block) -> str | None:
    """`softmax` or `logistic` where the block ends in one, which an output layer leaves out."""
    kind: Any = block.activation.options.get("type") if block.activation else None
    return kind if kind in ("softmax", "logistic") else None


def _word(step: Step) -> str:
    return {"batch_norm": "batch norm"}.get(step.kind, step.kind)
