"""Changes to a spec that may cure it, each measured at the first step, the promising ones trained for a while."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from dnnrun.diagnose.measure import Look
from dnnrun.diagnose.verdict import Finding, Growth
from dnnrun.errors import DnnrunError
from dnnrun.nn.architecture import lay_out
from dnnrun.optim.schedule import Schedule
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec

LEARNED = 0.9  # of the loss of guessing: what a remedy's short training must come below
TRAINED = 3  # candidates of those well at the start that are trained
RATES = (0.1, 10.0)  # tried where none of them learns at the spec's own rate

Changes = Mapping[str, Any]  # dotted key -> value, None to leave to the default
Seeing = Callable[[Spec, int, str, float | None], Look]
DEEP = 50  # layers beyond which orthogonal tanh is worth a try


@dataclass(frozen=True)
class Tried:
    """A candidate: its name, what it changes, its spec, and what was seen of it."""

    name: str
    changes: Changes
    look: Look
    findings: Sequence[Finding]

    @property
    def trained(self) -> bool:
        return self.look.course is not None

    @property
    def learned(self) -> bool:
        course = self.look.course
        return course is not None and course.loss < LEARNED * course.guess

    def as_json(self) -> dict[str, Any]:
        course = self.look.course
        return {
            "name": self.name,
            "changes": dict(self.changes),
            "gradients": _json(self.look.backward),
            "activations": _json(self.look.forward),
            "findings": [finding.as_json() for finding in self.findings],
            "training": course and course.as_json(),
        }


@dataclass(frozen=True)
class Remedy:
    """All that was tried, the best of it (None where nothing helped), and what there was no time for in `seconds`."""

    tried: Sequence[Tried]
    best: Tried | None
    untried: Sequence[str] = ()
    seconds: float = math.inf


class Allowance:
    """Time for remedies: `seconds` from now. `longest` is what one look may take, at first what the original's took."""

    def __init__(self, seconds: float, longest: float, clock: Callable[[], float] = time.monotonic):
        self.seconds, self.longest, self.clock = seconds, longest, clock
        self.began = self.at = clock()

    @property
    def left(self) -> float:
        return self.seconds - (self.clock() - self.began)

    def suffices(self) -> bool:
        """Whether one more look is likely to end in time; said before each."""
        self.at = self.clock()
        return self.left >= self.longest

    def spent(self) -> None:
        """A look has ended."""
        self.longest = max(self.longest, self.clock() - self.at)

    def expected(self, looks: int) -> float:
        """Seconds that so many looks more may take at most."""
        return max(0.0, min(self.left, looks * self.longest))


def _json(found: Growth | None) -> dict[str, float] | None:
    return found and found.as_json()


def candidates(spec: Spec, findings: Sequence[Finding]) -> dict[str, Changes]:
    """What might help against the findings, by name, the smallest change first."""
    kinds = {finding.kind for finding in findings}
    model, activation = spec.model, _type(spec.model.activation)
    entries = model.hidden
    fits = type(model.activation).default_initializer
    found: dict[str, Changes] = {}
    if model.initializer is not None or any(entry.initializer for entry in entries):
        found[fits] = {"model.initializer": fits}
    if activation in ("tanh", "identity", "softsign"):
        found["orthogonal"] = {"model.initializer": {"type": "orthogonal"}}
    elif len(entries) > DEEP:
        # Pennington, Schoenholz and Ganguli (2017): with orthogonal kernels tanh can keep gradients' size at any depth,
        # as ReLU cannot.
        found["orthogonal + tanh"] = {"model.initializer": {"type": "orthogonal"}, "model.activation": "tanh"}
    if not (activation == "elu" and "he_normal" in found):
        found["he_normal + elu"] = {"model.initializer": "he_normal", "model.activation": "elu"}
    if activation != "selu":
        found["lecun_normal + selu"] = {"model.initializer": "lecun_normal", "model.activation": "selu"}
    if not model.batch_norm:
        found["batch norm"] = {"model.batch_norm": {}}
        found["he_normal + elu + batch norm"] = {**found.get("he_normal + elu", {}), "model.batch_norm": {}}
    if kinds & {"exploding", "diverging"} and spec.train.clip is None:
        found["clipped gradients"] = {"train.clip": {"type": "global_norm", "threshold": 1.0}}
    if not kinds & {"vanishing", "exploding", "saturated"}:
        for factor in RATES if "stuck" in kinds else RATES[:1]:
            if changes := with_rate(spec, factor):
                found[f"learning rate x {factor:g}"] = changes
    return found


def with_rate(spec: Spec, factor: float) -> Changes | None:
    """The learning rate times `factor`, None where it is no constant."""
    rate: Schedule = spec.train.optimizer.learning_rate
    value = rate.model_dump().get("value") if _type(rate) == "constant" else None
    return {"train.optimizer.learning_rate": float(f"{value * factor:.6g}")} if value else None


def changed(spec: Spec, changes: Changes) -> Spec:
    """The spec with the changes; what an entry of `model.hidden` says of a changed key goes. Raises SpecError."""
    mapping = spec.model_dump(mode="json")
    for key, value in changes.items():
        *path, last = key.split(".")
        place = mapping
        for part in path:
            place = place[part]
        place[last] = value
        if path == ["model"]:
            mapping["model"]["hidden"] = [{**entry, last: None} for entry in mapping["model"]["hidden"]]
    return load_mapping(mapping, where="the remedy")


def same(spec: Spec, other: Spec) -> bool:
    """Whether two specs train the same layers in the same way: an initializer may be named or the default."""
    one, two = (lay_out(s.model, 2, 2).layers for s in (spec, other))
    return spec.train == other.train and all(
        replace(a, why_initializer="") == replace(b, why_initializer="") for a, b in zip(one, two, strict=True)
    )


def find_remedy(spec: Spec, original: Look, look: Seeing, steps: int, allowance: Allowance) -> Remedy:
    """Try the candidates, as long as the allowance lasts.

    `look(spec, steps, name, left)` measures one, with a short training where steps are not 0; `name` is to be shown, as
    are the seconds left.
    """
    search = _Search(spec, look, allowance)
    search.all(_valid(spec, candidates(spec, original.findings())), 0)
    tried = search.tried
    trainable = original.course is not None and steps > 0
    at_start = [t for t in tried.values() if not t.findings]
    at_start.sort(key=_distance)
    if not trainable:
        return Remedy(list(tried.values()), at_start[0] if at_start else None, search.untried, allowance.seconds)
    search.all({t.name: t.changes for t in at_start[:TRAINED]}, steps)
    for candidate in at_start[:TRAINED]:
        if _best(tried.values()):
            break
        rates = {f"{candidate.name}, learning rate x {factor:g}": with_rate(spec, factor) for factor in RATES}
        new = {name: rate for name, rate in rates.items() if rate and not candidate.changes.keys() & rate.keys()}
        search.all({name: {**candidate.changes, **rate} for name, rate in new.items()}, steps)
    best = _best(tried.values())
    worst = original.course.loss if original.course else math.inf
    if best and best.look.course and best.look.course.loss >= worst:
        best = None  # what has an ill start and learns all the same is not to be made worse
    return Remedy(list(tried.values()), best, search.untried, allowance.seconds)


@dataclass
class _Search:
    """What was tried so far, by name, and what there was no time for."""

    spec: Spec
    look: Seeing
    allowance: Allowance
    tried: dict[str, Tried] = field(default_factory=dict)
    untried: list[str] = field(default_factory=list)

    def all(self, found: Mapping[str, Changes], steps: int) -> None:
        """Look at these candidates, with a training of so many steps."""
        for number, (name, changes) in enumerate(found.items()):
            if not self.allowance.suffices():
                self.untried.append(f"{name} trained" if steps else name)
                continue
            left = self.allowance.expected(len(found) - number)
            told = f"{name} ({number + 1} of {len(found)})"
            try:
                seen = self.look(changed(self.spec, changes), steps, told, left)
            except DnnrunError:
                continue  # a change that makes no network that can be had cures nothing
            finally:
                self.allowance.spent()
            self.tried[name] = Tried(name, changes, seen, seen.findings())


def _valid(spec: Spec, found: Mapping[str, Changes]) -> dict[str, Changes]:
    """The candidates that make a valid spec, and another one."""
    kept: dict[str, Changes] = {}
    for name, changes in found.items():
        with suppress(DnnrunError):
            if not same(spec, changed(spec, changes)):
                kept[name] = changes
    return kept


def _distance(tried: Tried) -> float:
    """How far the signals are from keeping their size, both ways."""
    flows = [flow for flow in (tried.look.forward, tried.look.backward) if flow]
    return max((abs(math.log(flow.total)) for flow in flows), default=0.0)


def _best(tried: Any) -> Tried | None:
    learned = [t for t in tried if t.learned and not t.findings]
    return min(learned, key=lambda t: t.look.course.loss if t.look.course else math.inf, default=None)


def _type(component: Any) -> str:
    return component.type
