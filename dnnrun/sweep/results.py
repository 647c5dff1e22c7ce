"""What the trials of a sweep came to: a row a trial, a ranking of the settings, and what can be said of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dnnrun.metric import higher_is_better
from dnnrun.spec.space import words
from dnnrun.sweep.plan import Trial
from dnnrun.sweep.statistics import LEVEL, Estimate, difference, estimate, holm

Pair = tuple[int, int | None]


@dataclass(frozen=True)
class Outcome:
    """A trial and its end: `status` done, failed, or pruned; the result of `train`, so far where it was pruned."""

    trial: Trial
    status: str
    result: Mapping[str, Any] | None = None
    error: str | None = None

    def value(self, metric: str) -> float | None:
        """Its `split.metric`; None where it has none."""
        return value_of(self.result, metric)


def value_of(result: Mapping[str, Any] | None, metric: str) -> float | None:
    """The `split.metric` of a result of `train`; None where it has none."""
    split, _, name = metric.partition(".")
    return None if result is None else result["metrics"].get(split, {}).get(name)


@dataclass(frozen=True)
class Ranked:
    """A setting with its estimate, None where every trial failed.

    `behind` is its paired difference to the reference (the first one, unless another was named), None for the
    reference itself; `adjusted` the p of that difference, adjusted for the number of settings. `values` are by seed and
    fold. `epochs` says after how many its trials were pruned, None for a setting that ran to its end.
    """

    setting: Mapping[str, Any]
    estimate: Estimate | None
    behind: Estimate | None
    adjusted: float | None
    seconds: float
    failed: int
    values: Mapping[Pair, float]
    epochs: int | None = None

    @property
    def tied(self) -> bool:
        """Whether it cannot be told apart from the reference: Holm's adjusted p is not below 0.05."""
        return self.adjusted is None or self.adjusted >= 1 - LEVEL


def rank(
    outcomes: Sequence[Outcome], metric: str, reference: Mapping[str, Any] | None = None, folds: int | None = None
) -> list[Ranked]:
    """Every setting, best mean first: higher accuracy, lower loss.

    Those with failed trials come after those without, however good the seeds that were left: they were left because
    they were good. Then those that were pruned, the longest survivors first; those without any result come last.
    Differences are to the setting that has the values of `reference`, the first one unless given.
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(json.dumps(outcome.trial.setting, sort_keys=True), []).append(outcome)
    found = [_alone(group, metric, folds) for group in groups.values()]
    found.sort(
        key=lambda entry: (
            entry.estimate is None,
            entry.epochs is not None,
            -(entry.epochs or 0),
            entry.failed > 0,
            -sign * entry.estimate.mean if entry.estimate else 0.0,
        )
    )
    if not found:
        return []
    named = (e for e in found if all(e.setting.get(key) == value for key, value in (reference or {}).items()))
    base = next(named, found[0])
    behind = [
        difference(entry.values, base.values, folds) if entry is not base and entry.epochs is None else None
        for entry in found
    ]
    adjusted = holm(behind)
    return [replace(entry, behind=b, adjusted=a) for entry, b, a in zip(found, behind, adjusted, strict=True)]


def _alone(group: Sequence[Outcome], metric: str, folds: int | None) -> Ranked:
    """A setting by itself, from its outcomes."""
    values = {o.trial.pair: value for o in group if (value := o.value(metric)) is not None}
    results = [o.result for o in group if o.result]
    pruned = [o.result["epochs"] for o in group if o.status == "pruned" and o.result]
    return Ranked(
        group[0].trial.setting,
        estimate(list(values.values()), folds) if values else None,
        None,
        None,
        sum(result["timing"]["total_s"] for result in results) / max(1, len(results)),
        sum(o.status == "failed" for o in group),
        values,
        max(pruned) if pruned else None,
    )


def table_of(ranked: Sequence[Ranked], metric: str) -> list[list[str]]:
    """The ranking with headings, for a terminal."""
    to = next((number for number, entry in enumerate(ranked) if entry.behind is None and entry.estimate), 0)
    against = "minus the first" if to == 0 else "minus the reference"
    rows = [["setting", metric, against, "runs", "seconds", "verdict"]]
    for number, entry in enumerate(ranked):
        failed = f" ({entry.failed} failed)" if entry.failed else ""
        mean, behind = (str(value) if value else "-" for value in (entry.estimate, entry.behind))
        runs = f"{entry.estimate.count if entry.estimate else 0}{failed}"
        own = "first" if to == 0 else "reference"
        standing = own if number == to and not entry.failed else standing_of(entry, metric)
        rows.append([words(dict(entry.setting)), mean, behind, runs, f"{entry.seconds:.1f}", standing])
    return rows


def standing_of(entry: Ranked, metric: str) -> str:
    """Where a setting stands beside the reference, in words."""
    if entry.failed:
        return "failed on some seeds" if entry.estimate else "failed on every seed"
    if entry.epochs is not None:
        return f"pruned after {entry.epochs} epoch{'s' if entry.epochs > 1 else ''}"
    if entry.behind is None or entry.behind.half is None:
        return "one seed tells nothing"
    if entry.tied:
        return "cannot be told apart"
    sign = 1 if higher_is_better(metric) else -1
    return "behind" if sign * entry.behind.mean < 0 else "ahead"


def rows_of(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A flat row a trial: stage, seed, fold, status, every varied key, every metric, seconds, run folder, error."""
    rows = []
    for outcome in outcomes:
        trial, result = outcome.trial, outcome.result or {}
        row: dict[str, Any] = {"stage": trial.stage, "seed": trial.seed, "fold": trial.fold, "status": outcome.status}
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


def parquet_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as Parquet, every column that any row has; one whose values are of several kinds is written as text."""
    import polars

    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1:
            values = [None if value is None else str(value) for value in values]
        columns[name] = values
    file = io.BytesIO()
    polars.DataFrame(columns).write_parquet(file)
    return file.getvalue()
