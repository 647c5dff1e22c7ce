"""The plan of a transfer: per layer where it comes from, whether it learns, and what of the source is left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnnrun.errors import TransferError
from dnnrun.nn.architecture import Architecture, Layer
from dnnrun.transfer.donor import Donor
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
class Plan:
    """What becomes of every layer. `notes` are things a person should know and may have meant."""

    architecture: Architecture
    donors: tuple[Donor, ...]
    taken: dict[str, Taken]
    phases: tuple[Phase, ...]
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
        """From when on a layer learns."""
        for phase in self.phases:
            if name in phase.trainable:
                if phase.stalled:
                    return f"when stalled for {phase.stalled} epochs"
                return f"after epoch {phase.after_epoch}" if phase.after_epoch else "trainable"
        return "frozen"

    def _norm(self, layer: Layer) -> str:
        if not layer.batch_norm:
            return "-"
        origin = "restored statistics" if layer.name in self.taken else "new statistics"
        first = self.phases[0]
        return f"{origin}, {'moving' if layer.name in first.trainable | first.moving else 'still'}"

    def as_json(self) -> dict[str, Any]:
        """What `--json` says under `transfer`."""
        source = [str(donor.folder) for donor in self.donors]
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


def make_plan(options: Transfer, architecture: Architecture, donors: Sequence[Donor], epochs: int) -> Plan:
    """Who gives what. `donors` stand for `options.parts`, in order.

    Raises TransferError for a pattern that matches nothing, a layer or tensor that is absent or of another shape or
    type, and what freeze, train and unfreeze contradict each other in.
    """
    taken: dict[str, Taken] = {}
    for part, donor in zip(options.parts, donors, strict=True):
        for name, layer in _take(part, donor, architecture).items():
            taken.setdefault(name, Taken(donor, layer))
    _check_tensors(architecture, taken)
    phases, notes = phases_of(options, architecture, list(taken), epochs)
    unused = _unused(donors, taken)
    for name, source in taken.items():
        mine = _layer(architecture, name).activation.model_dump(mode="json")
        theirs = source.donor.activations.get(source.layer)
        if theirs is not None and theirs != mine and name != "outputs":
            notes.append(f"{name}: its activation here is {_words(mine)}, in the source {_words(theirs)}")
    return Plan(architecture, tuple(donors), taken, tuple(phases), tuple(unused), tuple(notes))


def _take(part: Part, donor: Donor, architecture: Architecture) -> dict[str, str]:
    """New layer -> the donor's layer, for one source."""
    names = architecture.names
    matched = required("transfer.reuse", part.reuse, names)
    for old, new in part.rename.items():
        if old not in donor.layers:
            raise TransferError(
                f"transfer.rename: {donor.name} has no layer {old}; its layers are {', '.join(donor.layers)}"
            )
        if new not in matched:
            raise TransferError(
                f"transfer.rename: {old} -> {new}, and {new} is not among the reused layers ({', '.join(matched)})"
            )
    if len(set(part.rename.values())) < len(part.rename):
        raise TransferError("transfer.rename: two layers get the same name; give each its own")
    renamed = {new: old for old, new in part.rename.items()}
    found, absent = {}, []
    for name in matched:
        source = renamed.get(name, name)
        if source not in donor.layers or (name not in renamed and source in part.rename):
            absent.append(name)
        else:
            found[name] = source
    if absent:
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
            found = source.donor.shapes.get(there)
            if found is None:
                problems.append(f"{tensor.name}: absent in {source.donor.name}, wanted {_shape(tensor.shape)}")
            elif found != tensor.shape:
                problems.append(f"{tensor.name}: found {_shape(found)} ({there}), wanted {_shape(tensor.shape)}")
            elif source.donor.dtypes[there] != "float32":
                problems.append(f"{tensor.name}: found {source.donor.dtypes[there]} ({there}), wanted float32")
        theirs = [t for t in source.donor.shapes if t.startswith(f"{source.layer}/")]
        for there in theirs:
            if f"{name}/{there.partition('/')[2]}" not in wanted:
                problems.append(f"{there} of {source.donor.name}: the new {name} has no such tensor")
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise TransferError(
            f"the reused layers do not fit:\n{lines}\nmake model.hidden, batch_norm, bias and activation of these "
            "layers what they are in the source, or reuse fewer layers"
        )


def _unused(donors: Sequence[Donor], taken: dict[str, Taken]) -> list[str]:
    """The layers of every donor that nothing was taken from."""
    found = []
    for donor in donors:
        used = {source.layer for source in taken.values() if source.donor is donor}
        mark = "" if len(donors) == 1 else f"{donor.name}:"
        found += [mark + layer for layer in donor.layers if layer not in used]
    return found


def _layer(architecture: Architecture, name: str) -> Layer:
    return architecture.layers[architecture.names.index(name)]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _words(activation: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in activation.items() if key != "type")
    return f"{activation['type']} ({options})" if options else activation["type"]


def factors_of(options: Transfer, names: Sequence[str]) -> dict[str, float]:
    """Layer -> factor of the learning rate; the first pattern that matches it counts."""
    found: dict[str, float] = {}
    for pattern, factor in options.rates.items():
        for name in required("transfer.rates", pattern, names):
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
