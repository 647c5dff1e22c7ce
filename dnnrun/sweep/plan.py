"""The trials of a sweep: which setting with which seed and fold, and the name each is kept under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dnnrun.data.settle import settle
from dnnrun.data.source import Places, TaskName
from dnnrun.errors import SpecError
from dnnrun.metric import CHIEF
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Setting, Sweep, overrides_of, words
from dnnrun.supervision import check_metric

OWN = {
    "seed": "sweep.seeds says how many seeds each setting is run with",
    "name": "each trial has a name of its own",
    "sweep": "a trial is one run",
    "data.fold": "sweep.folds says how many folds there are",
}


@dataclass(frozen=True)
class Trial:
    """One run: a setting of the sweep's keys, a seed, and a fold of cross-validation, 1 the first.

    `stage` is `search`, or `confirm` for fresh seeds.
    """

    setting: Mapping[str, Any]
    seed: int
    stage: str = "search"
    fold: int | None = None

    @property
    def name(self) -> str:
        """A folder's name, the same for the same setting, seed, fold and stage."""
        text = json.dumps([self.setting, self.stage], sort_keys=True)
        fold = f"-fold{self.fold}" if self.fold else ""
        return f"{hashlib.sha256(text.encode()).hexdigest()[:10]}-seed{self.seed}{fold}"

    @property
    def pair(self) -> tuple[int, int | None]:
        """What the runs of two settings are paired by."""
        return self.seed, self.fold


def settled(base: Spec, places: Places) -> Spec:
    """`base` with the metric that its settings are compared by: unless said, that of its task.

    The rows are read where neither the spec nor its source says what the task is. Raises SpecError for a metric that
    the task has not, DataError for rows that cannot be read.
    """
    if base.sweep is None:
        return base
    source, loss = base.data.source, base.train.loss
    task = base.data.task or source.task
    if task is None and loss is not None and loss.fits == ("regression",):
        task = "regression"
    return compared(base, task or settle(source.read(places), None, base.data.groups).task)


def compared(base: Spec, task: TaskName) -> Spec:
    """`base`, which has a sweep, with the metric that settings are compared by: unless said, that of `task`.

    Raises SpecError for a metric that the task has not.
    """
    assert base.sweep is not None
    if "metric" not in base.sweep.model_fields_set:
        metric = f"validation.{CHIEF[task]}"
        return base.model_copy(update={"sweep": base.sweep.model_copy(update={"metric": metric})})
    check_metric(base.sweep.metric, "sweep.metric", task)
    return base


def planned(base: Spec, sweep: Sweep) -> list[Trial]:
    """Every trial that is known beforehand, seeds outermost, so that a sweep cut short has seen every setting."""
    settings = sweep.every_setting(base.seed)
    return [trial for pair in pairs(base, sweep) for trial in (Trial(s, pair[0], fold=pair[1]) for s in settings)]


def pairs(base: Spec, sweep: Sweep) -> list[tuple[int, int | None]]:
    """The seeds and folds that every setting is run with."""
    folds = range(1, sweep.folds + 1) if sweep.folds else (None,)
    return [(base.seed + number, fold) for number in range(sweep.seeds) for fold in folds]


def check(base: Spec, sweep: Sweep, settings: Iterable[Setting]) -> None:
    """Raise SpecError for every setting, and every end of a range, that makes no valid spec, naming its override."""
    settings = list(settings)
    problems = [f"sweep: {key} cannot be varied; {why}" for key, why in OWN.items() if _varies(key, sweep)]
    first = pairs(base, sweep)[0]
    for setting in [*settings, *_corners(sweep)] if not problems else ():
        try:
            _measurable(spec_of(base, Trial(setting, first[0], fold=first[1])), sweep)
        except SpecError as error:
            problems += [f"{words(setting)}: {problem}" if setting else problem for problem in error.problems]
    if sweep.reference is not None and not problems:
        problems += _unknown(sweep, settings)
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))


def _measurable(spec: Spec, sweep: Sweep) -> None:
    if sweep.metric.startswith("validation") and not spec.data.validation and not sweep.folds:
        what = f"sweep.metric: {sweep.metric} wants validation rows, and data.validation leaves none"
        raise SpecError([f"{what}; take some, sweep.folds, or sweep.metric=train.accuracy"])


def _varies(key: str, sweep: Sweep) -> bool:
    keys = {*sweep.grid, *sweep.zip, *sweep.ranges, *(key for setting in sweep.settings for key in setting)}
    return any(given == key or given.startswith(f"{key}.") for given in keys)


def _unknown(sweep: Sweep, settings: Iterable[Setting]) -> list[str]:
    """What is wrong with `sweep.reference`: exactly one setting must have its values."""
    reference = sweep.reference or {}
    if sweep.ranges:
        return ["sweep.reference: settings drawn from ranges are not known beforehand; leave it out"]
    there = [s for s in settings if all(key in s and s[key] == value for key, value in reference.items())]
    if len(there) == 1:
        return []
    many = f"{len(there)} settings have" if there else "no setting has"
    tried = "; ".join(words(setting) for setting in (there or list(settings))[:12])
    return [f"sweep.reference: {many} {words(reference)}; wanted exactly one of: {tried}"]


def _corners(sweep: Sweep) -> Iterator[Setting]:
    """Each end and choice of each range once, the other keys at their first."""
    first = {key: found.corners[0] for key, found in sweep.ranges.items()}
    for key, found in sweep.ranges.items():
        yield from ({**first, key: corner} for corner in found.corners)


def confirming(base: Spec, sweep: Sweep, setting: Setting) -> list[Trial]:
    """The best setting on seeds that the search has not seen, on the spec's own split."""
    count = sweep.seeds if sweep.confirm is None else sweep.confirm
    first = base.seed + sweep.seeds
    return [Trial(setting, first + number, "confirm") for number in range(count)]


def spec_of(base: Spec, trial: Trial) -> Spec:
    """The spec that a trial runs. Raises SpecError where its setting does not fit."""
    mapping = base.model_dump(mode="json") | {"name": trial.name, "seed": trial.seed}
    folds = mapping.pop("sweep")["folds"]
    del mapping["eval"]  # a baseline is the same for all trials
    if trial.fold:
        mapping["data"] |= {"fold": {"of": folds, "number": trial.fold}}
    return load_mapping(mapping, overrides_of(dict(trial.setting)), where="the sweep's spec")
