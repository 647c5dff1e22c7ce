"""Phases of a run: between two unfreezings the same layers learn, and the same first layers can be cached."""

from __future__ import annotations

from dataclasses import dataclass, field

from dnnrun.errors import TransferError
from dnnrun.nn.architecture import Architecture
from dnnrun.transfer.match import required
from dnnrun.transfer.options import Stall, Transfer


@dataclass(frozen=True)
class Phase:
    """What learns from here on.

    Begins after `after_epoch` epochs, or when the metric has stalled for `stalled` epochs. `joins` are the layers that
    begin to learn with it. `moving`: frozen layers whose batch-norm statistics move all the same. `first`: the
    number of layers, from the input, whose outputs are computed once.
    """

    trainable: frozenset[str]
    moving: frozenset[str] = frozenset()
    first: int = 0
    joins: tuple[str, ...] = ()
    after_epoch: int | None = 0
    stalled: int | None = None


@dataclass
class _Freezing:
    frozen: list[str]
    all: bool
    steps: list[tuple[list[str], int | Stall]] = field(default_factory=list)


def phases_of(
    options: Transfer,
    architecture: Architecture,
    reused: list[str],
    epochs: int,
    patience: int | None = None,
    augmented: bool = False,
) -> tuple[list[Phase], list[str]]:
    """The phases in order, and notes for the person. `patience` is that of early stopping, None without it.

    `augmented`: the rows change at every step, so that nothing can be computed once. Raises
    TransferError for contradictions.
    """
    freezing = _freezing(options, architecture, reused)
    _check(options, freezing, reused, epochs, patience)
    notes: list[str] = []
    frozen, phases = set(freezing.frozen), []
    steps: list[tuple[list[str], int | Stall]] = [([], 0), *_in_order(freezing.steps)]
    for joins, when in steps:
        frozen -= set(joins)
        trainable = frozenset(architecture.names) - frozen
        moving = frozenset() if options.freeze_batch_norm else frozenset(frozen)
        first, why = cacheable(options, architecture, frozen, not phases, augmented)
        if why and why not in notes:
            notes.append(why)
        after = when if isinstance(when, int) else None
        stalled = when.stalled if isinstance(when, Stall) else None
        phases.append(Phase(trainable, moving, first, tuple(joins), after, stalled))
    return phases, notes


def _freezing(options: Transfer, architecture: Architecture, reused: list[str]) -> _Freezing:
    names = architecture.names
    if options.freeze is not None:
        frozen = required("transfer.freeze", options.freeze, names)
    elif options.train is not None:
        learning = required("transfer.train", options.train, names)
        frozen = [name for name in names if name not in learning]
    else:
        frozen = [name for name in names if name in reused] if options.unfreeze else []
    found = _Freezing(frozen, len(frozen) == len(names))
    seen: dict[str, str] = {}
    for pattern, when in options.unfreeze.items():
        joins = required("transfer.unfreeze", pattern, names)
        for name in joins:
            if name in seen:
                raise TransferError(f"transfer.unfreeze: {name} is in {seen[name]!r} and {pattern!r}; name it once")
            if name not in frozen:
                raise TransferError(
                    f"transfer.unfreeze: {name} is not frozen; frozen are {', '.join(frozen) or 'none'}. "
                    "Leave it out, or freeze it first"
                )
            seen[name] = pattern
        found.steps.append((joins, when))
    return found


def _check(options: Transfer, freezing: _Freezing, reused: list[str], epochs: int, patience: int | None) -> None:
    if freezing.all:
        until = " at first" if freezing.steps else ""
        raise TransferError(
            f"transfer: every layer is frozen{until}, and nothing would learn; let one learn, as `train: outputs`"
        )
    joining = {name for joins, _ in freezing.steps for name in joins}
    for name in freezing.frozen:
        if name not in reused and name not in joining:
            raise TransferError(
                f"transfer.{'train' if options.train is not None else 'freeze'}: {name} is not reused, and frozen it "
                "would keep its random first values; let it learn, or reuse it"
            )
    for joins, when in freezing.steps:
        if isinstance(when, int) and when >= epochs:
            raise TransferError(
                f"transfer.unfreeze: {', '.join(joins)} after epoch {when}, and the run has {epochs}; "
                "choose an earlier one or raise train.epochs"
            )
        if isinstance(when, Stall) and patience is not None and patience <= when.stalled:
            raise TransferError(
                f"transfer.unfreeze: {', '.join(joins)} when stalled for {when.stalled} epochs, and "
                f"train.early_stopping ends the run after {patience}; make its patience larger"
            )


def _in_order(steps: list[tuple[list[str], int | Stall]]) -> list[tuple[list[str], int | Stall]]:
    """By epoch, layers of one epoch together; stalls stay in the order of the spec."""
    by_epoch: dict[int, list[str]] = {}
    for joins, when in steps:
        if isinstance(when, Stall):
            return steps
        by_epoch.setdefault(when, []).extend(joins)
    return [(by_epoch[epoch], epoch) for epoch in sorted(by_epoch)]


def cacheable(
    options: Transfer, architecture: Architecture, frozen: set[str], required: bool, augmented: bool = False
) -> tuple[int, str | None]:
    """How many layers from the input can be computed once, and why it is not all that are frozen.

    Raises TransferError under `cache: on` where not all can be, or where none is frozen and some are `required` to be.
    """
    if options.cache == "off":
        return 0, None
    names = architecture.names
    prefix = next((number for number, name in enumerate(names) if name not in frozen), len(names))
    count, why = prefix, None
    if prefix and augmented:
        count, why = 0, "data.augment draws anew at every step"
    elif prefix and architecture.input_dropout:
        count, why = 0, "model.dropout.input draws anew at every step"
    for number, layer in enumerate(architecture.layers[:prefix]):
        if number >= count:
            break
        if layer.dropout:
            count, why = number, f"the dropout of {layer.name} draws anew at every step"
        elif layer.activation.random:
            count, why = number, f"the activation of {layer.name} draws anew at every step"
        elif layer.batch_norm and not options.freeze_batch_norm:
            count, why = number, f"the batch-norm statistics of {layer.name} move (freeze_batch_norm: false)"
    if options.cache == "on" and count < max(prefix, int(required)):
        reason = why or f"the first layer, {names[0]}, is not frozen"
        raise TransferError(f"transfer.cache: on, and {reason}; use auto or off, or change that")
    if why is None:
        return count, None
    through = f"only up to {names[count - 1]}" if count else "nothing"
    return count, f"cached: {through}; {why}"
