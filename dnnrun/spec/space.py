"""What a sweep varies: the `sweep:` section, and the settings that it comes to."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from dnnrun.component import Options, Shorthand
from dnnrun.metric import Watched

if TYPE_CHECKING:
    import numpy as np

Setting = dict[str, Any]
Values = Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]


def _choice(value: Any) -> Any:
    """A bare list is a choice among its values."""
    return {"choice": value} if isinstance(value, (list, tuple)) else value


class Range(Options):
    """Values to draw from: exactly one of `uniform`, `log`, `int` and `choice`. A bare list is a choice."""

    uniform: Annotated[tuple[float, float] | None, Field(strict=False)] = Field(
        default=None, description="[low, high], every value as likely as any other"
    )
    log: Annotated[tuple[float, float] | None, Field(strict=False)] = Field(
        default=None, description="[low, high], the logarithm uniform"
    )
    integer: Annotated[tuple[int, int] | None, Field(strict=False)] = Field(
        default=None, alias="int", description="[low, high], whole numbers, both ends included"
    )
    choice: Values | None = Field(default=None, description="a list of values")

    @model_validator(mode="after")
    def _one_range(self) -> Range:
        given = [pair for pair in (self.uniform, self.log, self.integer) if pair is not None]
        if len(given) + (self.choice is not None) != 1:
            raise ValueError("wanted exactly one of uniform, log, int and choice, as {log: [0.001, 0.1]}")
        if given and not given[0][0] < given[0][1]:
            raise ValueError(f"wanted [low, high] with low below high, not {list(given[0])}")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError(f"log wants a low above 0, not {self.log[0]}")
        return self

    @property
    def corners(self) -> tuple[Any, ...]:
        """Both ends, or every choice: what is tried on the spec before anything runs."""
        return self.choice or self.integer or self.log or self.uniform or ()

    def draw(self, rng: np.random.Generator) -> Any:
        """One value."""
        if self.choice is not None:
            return self.choice[int(rng.integers(len(self.choice)))]
        if self.integer is not None:
            return int(rng.integers(self.integer[0], self.integer[1] + 1))
        if self.log is not None:
            low, high = map(math.log, self.log)
            return min(max(math.exp(rng.uniform(low, high)), self.log[0]), self.log[1])
        assert self.uniform is not None
        return float(rng.uniform(*self.uniform))


AnyRange = Annotated[Range, Shorthand(_choice, {"type": "array", "minItems": 1})]


class Duration(Options):
    """How long: exactly one of `{seconds: N}`, `{minutes: N}`, `{hours: N}`."""

    seconds: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    hours: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Duration:
        if sum(value is not None for value in (self.seconds, self.minutes, self.hours)) != 1:
            raise ValueError("wanted exactly one of seconds, minutes and hours, as {minutes: 30}")
        return self

    @property
    def total(self) -> float:
        """In seconds."""
        return (self.seconds or 0.0) + 60 * (self.minutes or 0.0) + 3600 * (self.hours or 0.0)


class Halving(Options):
    """Successive halving (Li et al., 2020): after `first` epochs, and each time `factor` times as many are done, a
    setting goes on only if it is among the best 1/`factor` of those that came as far."""

    first: int = Field(default=1, gt=0, description="epochs before a setting is first compared")
    factor: int = Field(default=3, gt=1, description="one of so many goes on, to so many times the epochs")

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which settings are compared, the last of which is `epochs`, the end."""
        found, rung = [], self.first
        while rung < epochs:
            found.append(rung)
            rung *= self.factor
        return [*found, epochs]


class Sweep(Options):
    """Many trials of one spec: settings of its keys, each over several seeds."""

    settings: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = Field(
        default=(), description="settings by hand, each key -> value; {} is the spec as it is"
    )
    grid: dict[str, Values] = Field(default_factory=dict, description="key -> values; every combination is a setting")
    zip: dict[str, Values] = Field(default_factory=dict, description="key -> values; the n-th of all go together")
    ranges: dict[str, AnyRange] = Field(default_factory=dict, description="key -> range, which the search draws from")
    search: Literal["random", "tpe", "asha"] | None = Field(
        default=None, description="how settings are drawn from the ranges; unset: random"
    )
    trials: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="how many settings are drawn from the ranges"
    )
    time: Duration | None = Field(
        default=None, description="no trial of the search is begun later than this; without trials, drawn until then"
    )
    halving: Halving | None = Field(default=None, description="of asha: when settings are compared, and how many go on")
    storage: str | None = Field(
        default=None, description="of tpe and asha: the Optuna storage URL that sweeps share; unset: the sweep's own"
    )
    seeds: int = Field(default=1, gt=0, description="runs of each setting, with the seeds `seed`, `seed` + 1, ...")
    folds: Annotated[int, Field(gt=1)] | None = Field(
        default=None, description="each seed's run once for every fold of this many (cross-validation)"
    )
    metric: Watched = Field(
        default="validation.accuracy", description="what settings are compared by; of a regression, validation.rmse"
    )
    reference: dict[str, Any] | None = Field(
        default=None, description="key -> value: the setting that the others are compared to; unset: the best one"
    )
    engine: Literal["auto", "local", "vmap", "ray"] = Field(
        default="auto",
        description="what runs the trials: local processes, one program on an accelerator, or a Ray cluster",
    )
    confirm: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="fresh seeds that the best setting is run on at the end; unset: as many as `seeds`"
    )

    @property
    def study(self) -> bool:
        """Whether Optuna proposes the settings."""
        return self.search in ("tpe", "asha")

    @model_validator(mode="after")
    def _consistent(self) -> Sweep:
        lengths = {key: len(values) for key, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"zip wants lists of one length, not {lengths}")
        if self.ranges and self.trials is None and self.time is None:
            raise ValueError("ranges want trials, how many settings are drawn from them, or a time")
        if not self.ranges and self.search:
            raise ValueError(f"a {self.search} search wants ranges to draw from, as {_EXAMPLE}")
        if not self.ranges and self.trials is not None:
            raise ValueError(f"trials want ranges to draw from, as {_EXAMPLE}")
        if self.study and (self.grid or self.zip or self.settings):
            raise ValueError(f"a {self.search} search draws every key from ranges; write lists there, as {_EXAMPLE}")
        if self.halving and self.search != "asha":
            raise ValueError("halving belongs to the search asha")
        if self.storage and not self.study:
            raise ValueError("storage belongs to the searches tpe and asha")
        keys = [*self.grid, *self.zip, *self.ranges]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"{', '.join(twice)} is varied in two ways; choose one")
        return self

    def every_setting(self, seed: int) -> list[Setting]:
        """Every setting that is known beforehand, key -> value, in a fixed order; drawn ones by the seed alone."""
        drawn = [self.draw(seed, number) for number in range(self.trials)] if self.trials else [{}]
        return [{**listed, **more} for listed in self._listed() for more in drawn]

    def endless(self, seed: int) -> Iterator[Setting]:
        """Settings without end: each draw with everything that is listed."""
        for number in itertools.count():
            yield from ({**listed, **self.draw(seed, number)} for listed in self._listed())

    def draw(self, seed: int, number: int) -> Setting:
        """The values of draw `number`, a function of these two and the ranges."""
        from dnnrun.streams import generator

        rng = generator(seed, "sweep", number)
        return {key: self.ranges[key].draw(rng) for key in sorted(self.ranges)}

    def _listed(self) -> list[Setting]:
        grid = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        count = max((len(values) for values in self.zip.values()), default=1)
        zipped = [{key: values[number] for key, values in self.zip.items()} for number in range(count)]
        return [{**m, **a, **b} for m in self.settings or ({},) for a in grid for b in zipped]


_EXAMPLE = "ranges: {train.optimizer.learning_rate: {log: [0.001, 0.1]}, model.activation: [relu, elu]}"


def overrides_of(setting: Setting) -> list[str]:
    """A setting as `key=value` overrides."""
    return [f"{key}={json.dumps(value)}" for key, value in setting.items()]


def words(setting: Setting) -> str:
    """A setting for people."""
    return ", ".join(f"{key}={_short(value)}" for key, value in setting.items()) or "the spec as it is"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
