"""Changes to a spec that may cure it, each measured at the first step, the promising ones trained for a while."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """All that was tried, and the best of it: None where nothing helped."""

    tried: Sequence[Tried]
    best: Tried | None


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


def find_remedy(
    spec: Spec,
    original: Look,
    look: Callable[[Spec, int, str], Look],
    steps: int,
) -> Remedy:
    """Try the candidates. `look(spec, steps, name)` measures one, with a short training where steps are not 0."""
    findings = original.findings()
    tried: dict[str, Tried] = {}
    for name, changes in candidates(spec, findings).items():
        try:
            if same(spec, changed(spec, changes)):
                continue
            tried[name] = _try(spec, name, changes, look, 0)
        except DnnrunError:
            continue  # a change that makes no valid spec cures nothing
    trainable = original.course is not None and steps > 0
    at_start = [t for t in tried.values() if not t.findings]
    at_start.sort(key=_distance)
    if not trainable:
        return Remedy(list(tried.values()), at_start[0] if at_start else None)
    for candidate in at_start[:TRAINED]:
        tried[candidate.name] = _try(spec, candidate.name, candidate.changes, look, steps)
    if not _best(tried.values()):
        for candidate in at_start[:TRAINED]:
            for factor in RATES:
                name = f"{candidate.name}, learning rate x {factor:g}"
                rate = with_rate(spec, factor)
                if rate and not candidate.changes.keys() & rate.keys():
                    tried[name] = _try(spec, name, {**candidate.changes, **rate}, look, steps)
            if _best(tried.values()):
                break
    best = _best(tried.values())
    worst = original.course.loss if original.course else math.inf
    if best and best.look.course and best.look.course.loss >= worst:
        best = None  # what has an ill start and learns all the same is not to be made worse
    return Remedy(list(tried.values()), best)


def _try(spec: Spec, name: str, changes: Changes, look: Callable[[Spec, int, str], Look], steps: int) -> Tried:
    seen = look(changed(spec, changes), steps, name)
    return Tried(name, changes, seen, seen.findings())


def _distance(tried: Tried) -> float:
    """How far the signals are from keeping their size, both ways."""
    flows = [flow for flow in (tried.look.forward, tried.look.backward) if flow]
    return max((abs(math.log(flow.total)) for flow in flows), default=0.0)


def _best(tried: Any) -> Tried | None:
    learned = [t for t in tried if t.learned and not t.findings]
    return min(learned, key=lambda t: t.look.course.loss if t.look.course else math.inf, default=None)


def _type(component: Any) -> str:
    return component.type
