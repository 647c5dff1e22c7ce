"""Two sides, each a run or the runs of one spec over seeds: what differs in spec, metrics, speed and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from dnnrun.errors import RunDirectoryError
from dnnrun.metric import higher_is_better
from dnnrun.nn.cost import cost_of
from dnnrun.report.gather import Run, over_seeds
from dnnrun.spec.compare import differences
from dnnrun.sweep.statistics import Estimate, difference, estimate, verdict


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what was asked for, and its runs, one a seed."""

    argument: str
    runs: Sequence[Run]

    @property
    def newest(self) -> Run:
        return max(self.runs, key=lambda run: run.path.name)

    def values(self, metric: str) -> dict[int, float]:
        """The metric by seed."""
        return {run.spec.seed: run.metrics[metric] for run in self.runs if metric in run.metrics}

    def timing(self, key: str) -> float | None:
        """The median over the runs of what meta.json measured."""
        found = [value for run in self.runs if (value := run.result.get("timing", {}).get(key)) is not None]
        return median(found) if found else None


@dataclass(frozen=True)
class Row:
    """A metric on both sides; `gain` is the second minus the first, paired by seed, None without a shared seed."""

    metric: str
    first: Estimate
    second: Estimate
    gain: Estimate | None

    @property
    def verdict(self) -> str:
        """The second side in words: better, worse, or why that cannot be said."""
        if self.gain is None:
            return "no seed in common"
        sign = 1 if higher_is_better(self.metric) else -1
        return verdict(replace(self.gain, mean=sign * self.gain.mean))


@dataclass(frozen=True)
class Comparison:
    """Two sides and what differs."""

    first: Side
    second: Side

    @property
    def diff(self) -> list[str]:
        """The specs' differences but the seed and the name, `path: first -> second`."""
        lines = differences(self.first.newest.spec, self.second.newest.spec)
        return [line for line in lines if not line.startswith(("seed:", "name:"))]

    def rows(self) -> list[Row]:
        """The metrics that both sides have."""
        names = [name for name in self.first.newest.metrics if name in self.second.newest.metrics]
        found = []
        for name in names:
            one, two = self.first.values(name), self.second.values(name)
            found.append(Row(name, estimate(list(one.values())), estimate(list(two.values())), difference(two, one)))
        return found

    def costs(self) -> dict[str, tuple[float | None, float | None]]:
        """Speed and size of both sides: medians of timings, parameters, bytes, operations an example."""
        found: dict[str, tuple[float | None, float | None]] = {}
        for key in ("examples_per_s", "total_s"):
            found[key] = (self.first.timing(key), self.second.timing(key))
        sides = (self.first.newest, self.second.newest)
        architectures = [run.architecture for run in sides]
        found["parameters"] = _pair(a and a.parameters() for a in architectures)
        found["model_bytes"] = _pair(run.model_bytes for run in sides)
        found["flops_per_example"] = _pair(a and cost_of(a).forward for a in architectures)
        return found

    def as_json(self) -> dict[str, Any]:
        """What `compare --json` prints."""
        return {
            "first": _side(self.first),
            "second": _side(self.second),
            "spec": self.diff,
            "metrics": {
                row.metric: {
                    "first": _estimate(row.first),
                    "second": _estimate(row.second),
                    "difference": row.gain and _estimate(row.gain),
                    "verdict": row.verdict,
                }
                for row in self.rows()
            },
            "costs": {key: list(pair) for key, pair in self.costs().items()},
        }


def compare(first: str | Path, second: str | Path) -> Comparison:
    """`first` and `second` are runs, or names (`runs/NAME`), whose finished runs over seeds are then taken together.

    Raises CheckpointError for what is no run, SpecError for a run of which the spec cannot be read, RunDirectoryError
    for one run named twice and for one without metrics.
    """
    sides = Side(str(first), over_seeds(first)), Side(str(second), over_seeds(second))
    one, two = ({run.path.resolve() for run in side.runs} for side in sides)
    if one == two:
        raise RunDirectoryError(f"{first} and {second} are the same run; name another one to compare it with")
    for side in sides:
        if not any(run.metrics for run in side.runs):
            state = side.newest.status
            raise RunDirectoryError(f"{side.argument}: no metrics to compare, the run is {state}; name a finished one")
    return Comparison(*sides)


def _side(side: Side) -> dict[str, Any]:
    return {
        "argument": side.argument,
        "runs": [str(run.path) for run in side.runs],
        "seeds": [run.spec.seed for run in side.runs],
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {"mean": found.mean, "half_interval": found.half, "seeds": found.count}


def _pair(values: Any) -> tuple[float | None, float | None]:
    first, second = values
    return first, second
