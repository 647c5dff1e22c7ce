"""A case from a person's argument to its account: look, judge, try remedies, write the cured spec."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.data.source import Places
from dnnrun.diagnose.measure import DEEPEST, Look, look
from dnnrun.diagnose.remedy import Allowance, Remedy, changed, find_remedy
from dnnrun.diagnose.verdict import Finding
from dnnrun.errors import DnnrunError, SpecError
from dnnrun.interop.formats import format_of
from dnnrun.spec.compare import differences
from dnnrun.spec.library import configs
from dnnrun.spec.load import dump, load
from dnnrun.spec.sections import Spec
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.store.find import find_checkpoint, names_run

Progress = Callable[[str, int, int, float | None], None]
SECONDS, DEEP_SECONDS = 600.0, 120.0  # that remedies are sought, of a network of more than DEEPEST layers the second


@dataclass(frozen=True)
class Case:
    """What was looked at (`file` where it is a spec in a file, `point` a trained network's checkpoint), what was seen,
    and the remedies tried, if any."""

    subject: str
    spec: Spec
    look: Look
    findings: Sequence[Finding]
    remedy: Remedy | None
    file: Path | None = None
    point: Checkpoint | None = None

    @property
    def cured(self) -> Spec | None:
        """The spec with the best remedy, under a name of its own; None without one."""
        if self.remedy is None or self.remedy.best is None:
            return None
        spec = changed(self.spec, self.remedy.best.changes)
        return spec.model_copy(update={"name": f"{spec.name[:57]}-cured"})

    def diff(self) -> list[str]:
        """What the remedy changes, a line a key: `path: old -> new`."""
        cured = self.cured
        if cured is None:
            return []
        return [line for line in differences(self.spec, cured) if not line.startswith("name:")]

    def account(self) -> list[str]:
        """The verdict in lines of text."""
        lines = [""]
        if course := self.look.course:
            lines.append(
                f"after {course.steps[-1]} steps of training: loss {course.losses[-1]:.4f}, "
                f"{course.told} (guessing has loss {course.guess:.4f})"
            )
        elif self.point is None and len(self.look.start) > DEEPEST:
            lines.append(f"not trained: more than {DEEPEST} layers, which would take long to compile")
        if not self.findings:
            return [*lines, "healthy: nothing found"]
        lines += [f"{finding.kind}: {finding.text}" for finding in self.findings]
        if self.remedy is None:
            return lines
        lines += ["", "tried:"]
        for tried in self.remedy.tried:
            told = "; ".join(finding.kind for finding in tried.findings) or "healthy"
            said = [f"gradients {tried.look.backward}" if tried.look.backward else "", told]
            if course := tried.look.course:
                after = f"{course.losses[-1]:.4f}" if math.isfinite(course.losses[-1]) else "not finite"
                said.append(f"loss {after}, {course.told} after {course.steps[-1]} steps")
            lines.append(f"  {tried.name}: {', '.join(part for part in said if part)}")
        if self.remedy.untried:
            lines.append(
                f"not tried, for want of time (--remedy-seconds {self.remedy.seconds:g}): "
                + ", ".join(self.remedy.untried)
            )
        if self.remedy.best is None:
            return [*lines, "none of these cures it" if self.remedy.tried else "none was tried"]
        untrained = "" if self.remedy.best.trained else " (judged by its first step alone)"
        lines += ["", f"remedy: {self.remedy.best.name}{untrained}"]
        return [*lines, *(f"  {line}" for line in _short(self.diff()))]

    def as_json(self) -> dict[str, Any]:
        """What `diagnose --json` prints."""
        flows = {"activations": self.look.forward, "gradients": self.look.backward}
        course = self.look.course
        found: dict[str, Any] = {
            "subject": self.subject,
            "checkpoint": self.point and str(self.point.folder),
            "healthy": not self.findings,
            "findings": [finding.as_json() for finding in self.findings],
            "growth": {name: flow and flow.as_json() for name, flow in flows.items()},
            "layers": self.look.start,
            "training": course and {**course.as_json(), "layers": course.signals},
        }
        if self.remedy is not None:
            best = self.remedy.best
            cured = self.cured
            found["remedy"] = {
                "tried": [tried.as_json() for tried in self.remedy.tried],
                "untried": list(self.remedy.untried),
                "best": best and best.name,
                "diff": self.diff(),
                "spec": cured and cured.model_dump(mode="json"),
            }
        return found

    def write(self) -> Path:
        """Write the cured spec beside the old one, or here. Raises DnnrunError where there is nothing to write."""
        cured = self.cured
        if cured is None:
            why = "a trained network is only looked at" if self.point else "no remedy was found"
            raise DnnrunError(f"--apply: {why if self.findings else 'nothing is wrong'}, so there is no spec to write")
        target = (self.file.parent if self.file else Path()) / f"{cured.name}.yaml"
        if target.exists():
            raise DnnrunError(f"--apply: {target} exists already; remove it, or give the spec another name (name=...)")
        head = [f"# {self.spec.name}, cured: {self.remedy.best.name if self.remedy and self.remedy.best else ''}"]
        head += [f"#   {line}" for line in _short(self.diff())]
        files.write_new(target, ("\n".join(head) + "\n" + dump(cured)).encode())
        return target


def examine(
    subject: str,
    overrides: Sequence[str],
    *,
    steps: int,
    remedy: bool,
    normal: int | None = None,
    seconds: float | None = None,
    places: Places | None = None,
    cache: Path | None = None,
    progress: Progress = lambda name, done, steps, left: None,
) -> Case:
    """Look at a spec (a file, a packaged one), a run or a checkpoint, and try remedies for what is found.

    A trained network is looked at as it is: nothing is trained, no remedy sought. `seconds` is how long remedies are
    sought, None for what suits the depth. `progress` hears of a name, steps done and in all, and seconds left where
    that can be told. Raises SpecError, CheckpointError, DataError, DeviceError.
    """
    places = places or Places()
    if (point := _checkpoint(subject)) is not None:
        from dnnrun.trained import Trained

        if overrides:
            raise SpecError([f"{overrides[0]}: a trained network is looked at as it is; leave the overrides out"])
        trained = Trained(point)
        seen = look(
            trained.spec,
            places,
            steps=0,
            cache=cache,
            normal=normal,
            manifest=point.manifest,
            tensors=trained.tensors,
        )
        return Case(subject, trained.spec, seen, seen.findings(), None, point=point)

    def see(spec: Spec, steps: int, name: str, left: float | None = None) -> Look:
        progress(name, 0, steps, left)
        told = lambda done, steps: progress(name, done, steps, left)  # noqa: E731
        return look(spec, places, steps=steps, cache=cache, normal=normal, progress=told)

    spec = load(subject, overrides)
    if spec.sweep is not None:
        spec = spec.model_copy(update={"sweep": None})
    began = time.monotonic()
    seen = see(spec, steps, "as it is")
    findings = seen.findings()
    if seconds is None:
        seconds = DEEP_SECONDS if len(seen.start) > DEEPEST else SECONDS
    allowance = Allowance(seconds, time.monotonic() - began)
    found = find_remedy(spec, seen, see, steps, allowance) if findings and remedy else None
    path = Path(subject)
    return Case(subject, spec, seen, findings, found, path if path.is_file() else None)


def _checkpoint(subject: str) -> Checkpoint | None:
    """The checkpoint that the argument names, None where it names a spec."""
    path = Path(subject)
    if (kind := format_of(path)) not in (None, "folder"):
        raise SpecError(
            [
                f"{subject}: weights of another framework ({kind}); make a run of them, to look at, with "
                f"dnnrun import {subject} --as NAME data.source=..."
            ]
        )
    if path.is_file() or subject in configs():
        return None
    meant = path.exists() or (path.suffix not in (".yaml", ".yml") and names_run(subject))
    return find_checkpoint(subject) if meant else None


def _short(diff: Sequence[str]) -> list[str]:
    """The lines of a diff without those of single entries of `model.hidden` beyond the first few."""
    entries = [line for line in diff if re.match(r"model\.hidden\.\d+", line)]
    rest = [line for line in diff if line not in entries]
    more = [f"model.hidden: {len(entries) - 3} more of the kind"] if len(entries) > 4 else []
    return [*rest, *(entries[:3] if more else entries), *more]
