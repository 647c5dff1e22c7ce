"""The plan of a transfer: per layer where it comes from, whether it learns, and what of the source is left over."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnnrun.errors import TransferError
from dnnrun.nn.architecture import OUTPUTS, Architecture, Layer
from dnnrun.transfer.differ import differences
from dnnrun.transfer.donor import OPTIMIZER, Donor
from dnnrun.transfer.match import required
from dnnrun.transfer.options import Part, Transfer
from dnnrun.transfer.phases import Phase, phases_of


@dataclass(frozen=True)
class Taken:
    """A layer that comes from a donor, there under the name `layer`."""

    donor: Donor
    layer: str

    def tensor(self, name: str) -> str:
        """The donor's name of the new layer's tensor `name`."""
        return f"{self.layer}/{name.partition('/')[2]}"


@dataclass(frozen=True)
class Ahead:
    """What the plan has to know of the training: its epochs, the patience of early stopping (None without it), the
    optimizer's options, the classes (or targets) and the task of the data, and
    whether its rows change at every step."""

    epochs: int
    patience: int | None
    optimizer: Mapping[str, Any]
    classes: Sequence[str]
    task: str = "classification"
    augmented: bool = False


@dataclass(frozen=True)
class Plan:
    """What becomes of every layer. `notes` are things a person should know and may have meant."""

    architecture: Architecture
    donors: tuple[Donor, ...]
    taken: dict[str, Taken]
    phases: tuple[Phase, ...]
    factors: Mapping[str, float]
    unused: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def reused(self) -> list[str]:
        return [name for name in self.architecture.names if name in self.taken]

    @property
    def initialised(self) -> list[str]:
        return [name for name in self.architecture.names if name not in self.taken]

    @property
    def frozen(self) -> list[str]:
        """The layers that are frozen when training begins."""
        return [name for name in self.architecture.names if name not in self.phases[0].trainable]

    @property
    def cached_through(self) -> str | None:
        """The last layer whose outputs are computed once, in the first phase."""
        first = self.phases[0].first
        return self.architecture.names[first - 1] if first else None

    def rows(self) -> list[list[str]]:
        """A table with a line a layer."""
        found = [["layer", "weights", "learns", "cached", "tensors", "batch norm"]]
        for number, layer in enumerate(self.architecture.layers):
            source = self.taken.get(layer.name)
            where = f"reused: {source.layer} of {source.donor.name}" if source else "new"
            shapes = ", ".join(f"{t.name.partition('/')[2]} {_shape(t.shape)}" for t in layer.tensors)
            cached = "yes" if number < self.phases[0].first else "-"
            found.append([layer.name, where, self._learns(layer.name), cached, shapes, self._norm(layer)])
        return found

    def _learns(self, name: str) -> str:
        """From when on a layer learns, and how fast where it is not as fast as the others."""
        rate = f", rate x {self.factors[name]:g}" if name in self.factors else ""
        for phase in self.phases:
            if name in phase.trainable:
                if phase.stalled:
                    return f"when stalled for {phase.stalled} epochs{rate}"
                return (f"after epoch {phase.after_epoch}" if phase.after_epoch else "trainable") + rate
        return "frozen"

    def _norm(self, layer: Layer) -> str:
        if not layer.batch_norm:
            return "-"
        origin = "restored statistics" if layer.name in self.taken else "new statistics"
        first = self.phases[0]
        return f"{origin}, {'moving' if layer.name in first.trainable | first.moving else 'still'}"

    def as_json(self) -> dict[str, Any]:
        """What `--json` says under `transfer`."""
        source = [str(donor.where) for donor in self.donors]
        return {
            "source": source[0] if len(source) == 1 else source,
            "reused": self.reused,
            "initialised": self.initialised,
            "frozen": self.frozen,
            "unused": list(self.unused),
            "cached_through": self.cached_through,
            "unfreeze": [
                {"layers": list(phase.joins), "after_epoch": phase.after_epoch, "stalled": phase.stalled}
                for phase in self.phases[1:]
            ],
            "notes": list(self.notes),
        }


def make_plan(options: Transfer, architecture: Architecture, donors: Sequence[Donor], ahead: Ahead) -> Plan:
    """Who gives what. `donors` stand for `options.parts`, in order.

    Raises TransferError for a pattern that matches nothing, a layer or tensor that is absent or of another shape or
    type, an optimizer state that does not fit, and what freeze, train, unfreeze and rates contradict each other in.
    """
    taken: dict[str, Taken] = {}
    for part, donor in zip(options.parts, donors, strict=True):
        found = _take(part, donor, architecture, taken)
        taken |= {name: Taken(donor, layer) for name, layer in found.items()}
    _check_tensors(architecture, taken)
    phases, notes = phases_of(options, architecture, list(taken), ahead.epochs, ahead.patience, ahead.augmented)
    factors = factors_of(options, architecture.names, phases)
    if options.optimizer_state:
        _check_optimizer(donors, taken, phases[0], ahead)
    _check_task(taken, ahead.task)
    for name, source in taken.items():
        notes += differences(_layer(architecture, name), source.donor, source.layer, ahead.classes)
    return Plan(architecture, tuple(donors), taken, tuple(phases), factors, _unused(donors, taken), tuple(notes))


def _take(part: Part, donor: Donor, architecture: Architecture, before: Container[str]) -> dict[str, str]:
    """New layer -> the donor's layer, for one source; without those that come from a source `before`."""
    matched = required("transfer.reuse", part.reuse, architecture.names)
    rename = {donor.resolve(old): new for old, new in part.rename.items()}
    for old, new in rename.items():
        if old not in donor.layers:
            raise TransferError(
                f"transfer.rename: {donor.name} has no layer {old}; its layers are {', '.join(donor.layers)}"
            )
        if new not in matched:
            raise TransferError(
                f"transfer.rename: {old} -> {new}, and {new} is not among the reused layers ({', '.join(matched)})"
            )
    if len(set(rename.values())) < len(rename):
        raise TransferError("transfer.rename: two layers get the same name; give each its own")
    renamed = {new: old for old, new in rename.items()}
    found = {name: renamed.get(name, name) for name in matched if name not in before}
    given = [name for name in found if name not in renamed and name in rename]
    if given:
        raise TransferError(
            f"transfer.rename: {', '.join(f'{old} -> {rename[old]}' for old in given)}, and {part.reuse!r} wants "
            f"a layer of the source for {', '.join(given)} too; narrow the pattern, or rename another layer to it"
        )
    if absent := [name for name, source in found.items() if source not in donor.layers]:
        raise TransferError(
            f"transfer.reuse: {part.reuse!r} matches {', '.join(absent)} of the new network, absent in {donor.name}, "
            f"whose layers are {', '.join(donor.layers)}; narrow the pattern, or use transfer.rename"
        )
    return found


def _check_tensors(architecture: Architecture, taken: dict[str, Taken]) -> None:
    problems = []
    for name, source in taken.items():
        wanted = {tensor.name: tensor for tensor in _layer(architecture, name).tensors}
        for tensor in wanted.values():
            there = source.tensor(tensor.name)
            found = source.donor.described.get(there)
            if found is None:
                problems.append(f"{tensor.name}: absent in {source.donor.name}, wanted {_shape(tensor.shape)}")
            elif tuple(found["shape"]) != tensor.shape:
                problems.append(
                    f"{tensor.name}: found {_shape(found['shape'])} ({there}), wanted {_shape(tensor.shape)}"
                )
            elif found["dtype"] != "float32":
                problems.append(f"{tensor.name}: found {found['dtype']} ({there}), wanted float32")
        theirs = [t for t in source.donor.described if t.startswith(f"{source.layer}/")]
        for there in theirs:
            if f"{name}/{there.partition('/')[2]}" not in wanted:
                problems.append(f"{there} of {source.donor.name}: the new {name} has no such tensor")
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise TransferError(
            f"the reused layers do not fit:\n{lines}\nmake model.hidden, batch_norm, bias and activation of these "
            "layers what they are in the source, or reuse fewer layers"
        )


def _check_task(taken: Mapping[str, Taken], task: str) -> None:
    """Raise TransferError where the outputs are taken from a network that tells something else."""
    source = taken.get(OUTPUTS)
    if source and source.layer == OUTPUTS and source.donor.task not in (None, task):
        raise TransferError(
            f"transfer.reuse: takes the outputs of {source.donor.name}, whose task is {source.donor.task}, for a "
            f"{task}; reuse the layers below them alone, as hidden.*"
        )


def _check_optimizer(donors: Sequence[Donor], taken: Mapping[str, Taken], first: Phase, ahead: Ahead) -> None:
    """Raise TransferError unless every layer that learns at first has a state of this optimizer in the one source."""
    what, advice = "transfer.optimizer_state", "; or begin with a new one: optimizer_state: false"
    if len(donors) > 1:
        raise TransferError(f"{what}: one source is wanted, and there are {len(donors)}{advice}")
    (donor,) = donors
    if new := [name for name in sorted(first.trainable) if name not in taken]:
        raise TransferError(f"{what}: {', '.join(new)} is new and has no state in the source; reuse '.*'{advice}")
    if moved := [f"{taken[name].layer} -> {name}" for name in sorted(first.trainable) if taken[name].layer != name]:
        raise TransferError(f"{what}: the state belongs to the old names ({', '.join(moved)}){advice}")
    theirs, mine = donor.optimizer.get("type"), ahead.optimizer["type"]
    if theirs != mine:
        raise TransferError(f"{what}: found that of {theirs} in {donor.name}, wanted {mine}; use {theirs}{advice}")
    names = donor.optimizer_tensors()
    if names is None:
        raise TransferError(f"{what}: {donor.where} holds the weights alone; name the run's `last`{advice}")
    if any(not name.startswith(f"{OPTIMIZER}0/") for name in names):
        raise TransferError(f"{what}: layers of {donor.name} began to learn at different times{advice}")


def _unused(donors: Sequence[Donor], taken: dict[str, Taken]) -> tuple[str, ...]:
    """The layers of every donor that nothing was taken from; a checkpoint that is named twice is one donor."""
    once = {donor.where: donor for donor in donors}
    found: list[str] = []
    for where, donor in once.items():
        used = {source.layer for source in taken.values() if source.donor.where == where}
        mark = "" if len(once) == 1 else f"{donor.name}:"
        found += [mark + layer for layer in donor.layers if layer not in used]
    return tuple(found)


def _layer(architecture: Architecture, name: str) -> Layer:
    return architecture.layers[architecture.names.index(name)]


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def factors_of(options: Transfer, names: Sequence[str], phases: Sequence[Phase]) -> dict[str, float]:
    """Layer -> factor of the learning rate; the first pattern that matches it counts.

    Raises TransferError for a pattern that matches no layer, or none that ever learns.
    """
    learning = phases[-1].trainable
    found: dict[str, float] = {}
    for pattern, factor in options.rates.items():
        matched = required("transfer.rates", pattern, names)
        if not learning.intersection(matched):
            raise TransferError(f"transfer.rates: {pattern!r} matches {', '.join(matched)}, frozen to the end")
        for name in matched:
            if name in learning:
                found.setdefault(name, factor)
    return found


def restore(plan: Plan) -> dict[str, np.ndarray]:
    """The reused tensors by their new names; only these are read, and verified. Raises CheckpointError."""
    found: dict[str, np.ndarray] = {}
    for donor in plan.donors:
        names = {
            tensor.name: source.tensor(tensor.name)
            for name, source in plan.taken.items()
            if source.donor is donor
            for tensor in _layer(plan.architecture, name).tensors
        }
        read = donor.read(sorted(set(names.values())))
        found |= {new: read[old] for new, old in names.items()}
    return found
