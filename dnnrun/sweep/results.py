"""What the trials of a sweep came to: a row a trial, a ranking of the settings, and what can be said of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnnrun.spec.space import words
from dnnrun.sweep.plan import Trial
from dnnrun.sweep.statistics import Estimate, difference, estimate, told_apart


@dataclass(frozen=True)
class Outcome:
    """A trial and its end: `status` done, failed or interrupted; the result of `train` where it is done."""

    trial: Trial
    status: str
    result: Mapping[str, Any] | None = None
    error: str | None = None

    def value(self, metric: str) -> float | None:
        """Its `split.metric`; None where it is not done."""
        if self.result is None:
            return None
        split, _, name = metric.partition(".")
        return self.result["metrics"].get(split, {}).get(name)


@dataclass(frozen=True)
class Ranked:
    """A setting with its estimate, None where every trial failed; `behind` is its paired difference to the first."""

    setting: Mapping[str, Any]
    estimate: Estimate | None
    behind: Estimate | None
    seconds: float
    failed: int
    values: Mapping[int, float]

    @property
    def tied(self) -> bool:
        """Whether it cannot be told apart from the first one."""
        return self.behind is None or not told_apart(self.behind)


def rank(outcomes: Sequence[Outcome], metric: str) -> list[Ranked]:
    """Every setting, best mean first: higher accuracy, lower loss.

    Those with failed trials come after those without, however good the seeds that were left: they were left because
    they were good. Those without any result come last.
    """
    sign = 1.0 if metric.endswith("accuracy") else -1.0
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(json.dumps(outcome.trial.setting, sort_keys=True), []).append(outcome)
    found = []
    for group in groups.values():
        values = {o.trial.seed: value for o in group if (value := o.value(metric)) is not None}
        failed = sum(o.status == "failed" for o in group)
        found.append((estimate(list(values.values())) if values else None, values, group, failed))
    found.sort(key=lambda entry: (entry[0] is None, entry[3] > 0, -sign * entry[0].mean if entry[0] else 0.0))
    ranked = []
    for number, (mean, values, group, failed) in enumerate(found):
        behind = difference(values, found[0][1]) if number else None
        seconds = sum(o.result["timing"]["total_s"] for o in group if o.result) / max(1, len(values))
        ranked.append(Ranked(group[0].trial.setting, mean, behind, seconds, failed, values))
    return ranked


def table_of(ranked: Sequence[Ranked], metric: str) -> list[list[str]]:
    """The ranking with headings, for a terminal."""
    rows = [["setting", metric, "minus the first", "seeds", "seconds", "verdict"]]
    for number, entry in enumerate(ranked):
        failed = f" ({entry.failed} failed)" if entry.failed else ""
        mean, behind = (str(value) if value else "-" for value in (entry.estimate, entry.behind))
        seeds = f"{entry.estimate.count if entry.estimate else 0}{failed}"
        rows.append([words(dict(entry.setting)), mean, behind, seeds, f"{entry.seconds:.1f}", _standing(number, entry)])
    return rows


def _standing(number: int, entry: Ranked) -> str:
    """Where a setting stands beside the first, in words."""
    if entry.failed:
        return "failed on some seeds" if entry.estimate else "failed on every seed"
    if not number:
        return "first"
    if entry.behind is None or entry.behind.half is None:
        return "one seed tells nothing"
    return "cannot be told apart" if entry.tied else "behind"


def rows_of(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A flat row a trial: stage, seed, status, every varied key, every metric, seconds, run folder, error."""
    rows = []
    for outcome in outcomes:
        trial, result = outcome.trial, outcome.result or {}
        row: dict[str, Any] = {"stage": trial.stage, "seed": trial.seed, "status": outcome.status}
        row |= {key: v if isinstance(v, (int, float, str)) else json.dumps(v) for key, v in trial.setting.items()}
        for split, metrics in result.get("metrics", {}).items():
            row |= {f"{split}.{name}": value for name, value in metrics.items()}
        row |= {"epochs": result.get("epochs"), "seconds": result.get("timing", {}).get("total_s")}
        rows.append({**row, "run": result.get("run"), "error": outcome.error})
    return rows


def csv_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as CSV, every column that any row has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
