"""What a sweep varies: the `sweep:` section, and the settings that it comes to."""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from dnnrun.component import Options

if TYPE_CHECKING:
    import numpy as np

Setting = dict[str, Any]
Values = Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]


class Range(Options):
    """Values to draw from: exactly one of `uniform`, `log`, `int` and `choice`."""

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

    def draw(self, rng: np.random.Generator) -> Any:
        """One value."""
        if self.choice is not None:
            return self.choice[int(rng.integers(len(self.choice)))]
        if self.integer is not None:
            return int(rng.integers(self.integer[0], self.integer[1] + 1))
        if self.log is not None:
            low, high = map(math.log, self.log)
            return math.exp(rng.uniform(low, high))
        assert self.uniform is not None
        return float(rng.uniform(*self.uniform))


class Sweep(Options):
    """Many trials of one spec: settings of its keys, each over several seeds."""

    settings: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = Field(
        default=(), description="settings by hand, each key -> value; {} is the spec as it is"
    )
    grid: dict[str, Values] = Field(default_factory=dict, description="key -> values; every combination is a setting")
    zip: dict[str, Values] = Field(default_factory=dict, description="key -> values; the n-th of all go together")
    random: dict[str, Range] = Field(default_factory=dict, description="key -> range, drawn `trials` times")
    trials: Annotated[int, Field(gt=0)] | None = Field(default=None, description="how many random settings are drawn")
    seeds: int = Field(default=1, gt=0, description="runs of each setting, with the seeds `seed`, `seed` + 1, ...")
    metric: Literal["validation.loss", "validation.accuracy", "train.loss", "train.accuracy"] = Field(
        default="validation.accuracy", description="what settings are compared by"
    )
    confirm: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="fresh seeds that the best setting is run on at the end; unset: as many as `seeds`"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Sweep:
        lengths = {key: len(values) for key, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"zip wants lists of one length, not {lengths}")
        if (self.trials is None) != (not self.random):
            raise ValueError("random and trials go together: ranges to draw from, and how often")
        keys = [*self.grid, *self.zip, *self.random]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"{', '.join(twice)} is varied in two ways; choose one")
        return self

    def every_setting(self, seed: int) -> list[Setting]:
        """Every setting, key -> value, in a fixed order; random ones are a function of the seed alone."""
        from dnnrun.streams import generator

        grid = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        count = max((len(values) for values in self.zip.values()), default=1)
        zipped = [{key: values[number] for key, values in self.zip.items()} for number in range(count)]
        drawn: list[Setting] = [{}]
        if self.trials:
            rngs = (generator(seed, "sweep", number) for number in range(self.trials))
            drawn = [{key: self.random[key].draw(rng) for key in sorted(self.random)} for rng in rngs]
        return [{**m, **a, **b, **c} for m in self.settings or ({},) for a in grid for b in zipped for c in drawn]


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
