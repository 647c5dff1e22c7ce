"""The trials of a sweep: which setting with which seed, and the name each is kept under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dnnrun.errors import SpecError
from dnnrun.spec.load import load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Setting, Sweep, overrides_of, words


@dataclass(frozen=True)
class Trial:
    """One run: a setting of the sweep's keys and a seed. `stage` is `search`, or `confirm` for fresh seeds."""

    setting: Mapping[str, Any]
    seed: int
    stage: str = "search"

    @property
    def name(self) -> str:
        """A folder's name, the same for the same setting, seed and stage."""
        text = json.dumps([self.setting, self.stage], sort_keys=True)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:10]}-seed{self.seed}"


def planned(base: Spec, sweep: Sweep) -> list[Trial]:
    """Every trial, seeds outermost, so that a sweep cut short has seen every setting.

    Raises SpecError with every setting that makes no valid spec, each naming its override.
    """
    settings = sweep.every_setting(base.seed)
    problems: list[str] = []
    for setting in settings:
        try:
            spec_of(base, Trial(setting, base.seed))
        except SpecError as error:
            problems += [f"{words(setting)}: {problem}" for problem in error.problems]
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    return [Trial(setting, base.seed + number) for number in range(sweep.seeds) for setting in settings]


def confirming(base: Spec, sweep: Sweep, setting: Setting) -> list[Trial]:
    """The best setting on seeds that the search has not seen."""
    count = sweep.seeds if sweep.confirm is None else sweep.confirm
    first = base.seed + sweep.seeds
    return [Trial(setting, first + number, "confirm") for number in range(count)]


def spec_of(base: Spec, trial: Trial) -> Spec:
    """The spec that a trial runs. Raises SpecError where its setting does not fit."""
    mapping = base.model_dump(mode="json") | {"name": trial.name, "seed": trial.seed}
    del mapping["sweep"]
    return load_mapping(mapping, overrides_of(dict(trial.setting)), where="the sweep's spec")
