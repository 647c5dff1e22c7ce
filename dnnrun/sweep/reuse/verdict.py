"""What a reuse search comes to: the variants with their estimates, a recommendation, and why it is that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnnrun.metric import higher_is_better
from dnnrun.spec.space import Sweep
from dnnrun.sweep.results import Outcome, Pair, Ranked, rank
from dnnrun.sweep.reuse.variants import Variant
from dnnrun.sweep.statistics import Estimate, difference, estimate, told_apart, verdict


@dataclass(frozen=True)
class Tried:
    """A variant with its ranking, its paired difference to training from scratch, and its test score if measured.

    Differences are as measured: of a loss or an error, less is better.
    """

    variant: Variant
    ranked: Ranked
    minus_scratch: Estimate | None
    test: Estimate | None


def tried(variants: Sequence[Variant], outcomes: Sequence[Outcome], sweep: Sweep, score: str) -> list[Tried]:
    """Every variant that has an outcome, best first; `score` is the metric of the test rows."""
    by_setting = {_key(variant.setting): variant for variant in variants}
    ranked = rank(outcomes, sweep.metric, folds=sweep.folds)
    scratch = next((entry.values for entry in ranked if by_setting[_key(entry.setting)].scratch), {})
    tests: dict[str, list[float]] = {}
    for outcome in outcomes:
        if (value := outcome.value(f"test.{score}")) is not None:
            tests.setdefault(_key(outcome.trial.setting), []).append(value)
    found = []
    for entry in ranked:
        variant = by_setting[_key(entry.setting)]
        behind = None if variant.scratch else difference(entry.values, scratch, sweep.folds)
        measured = tests.get(_key(entry.setting))
        found.append(Tried(variant, entry, behind, estimate(measured, sweep.folds) if measured else None))
    return found


def best_reuse(found: Sequence[Tried]) -> Tried | None:
    """The best variant that reuses something, None where all of them failed."""
    return next((entry for entry in found if not entry.variant.scratch and entry.ranked.estimate), None)


@dataclass(frozen=True)
class Recommendation:
    """The variant with the best mean, which cannot be told apart from `tied`, and the `reasons` in words."""

    variant: Variant
    tied: tuple[Variant, ...]
    reasons: tuple[str, ...]


def recommend(found: Sequence[Tried], sweep: Sweep) -> Recommendation:
    """The first of `found`, which must have a result, with what can be said of it and what cannot."""
    first = found[0]
    count = first.ranked.estimate.count if first.ranked.estimate else 0
    seeds = f"{count} {'run' if sweep.folds else 'seed'}{'s' * (count > 1)}"
    shown = [entry for entry in found if entry.ranked.estimate]
    tied = [entry for entry in shown[1:] if entry.ranked.tied]
    reasons = [f"{sweep.metric} {first.ranked.estimate}, the best mean of {len(shown)} variants over {seeds}"]
    if count == 1:
        reasons.append("one seed tells nothing: any other may be as good; give --seeds 5 or more")
    elif tied:
        reasons.append(_not_told_apart(first.variant, [entry.variant for entry in tied], seeds))
        cheaper = min(tied, key=lambda entry: entry.ranked.seconds)
        if cheaper.ranked.seconds < 0.8 * first.ranked.seconds:
            took = f"{cheaper.ranked.seconds:.1f} s against {first.ranked.seconds:.1f} s a run"
            reasons.append(f"the fastest of those that cannot be told apart from it: {cheaper.variant}, {took}")
    else:
        reasons.append(f"every other variant is behind it at {seeds}")
    reasons += _against_scratch(found, sweep.metric, seeds)
    if failed := [str(entry.variant) for entry in found if entry.ranked.failed]:
        reasons.append(f"not to be trusted, since trials failed: {'; '.join(failed)}")
    return Recommendation(first.variant, tuple(entry.variant for entry in tied), tuple(reasons))


def _not_told_apart(first: Variant, tied: Sequence[Variant], seeds: str) -> str:
    """As: depths 2 to 4 cannot be told apart at 5 seeds."""
    if all(variant.scratch for variant in tied):
        return f"no other reuse comes as close at {seeds}"
    parts = []
    depths = {variant.reuse for variant in (first, *tied)} - {0}
    if len(depths) > 1:
        parts.append(f"depths {runs_in_words(depths)}")
    same = {v.freeze for v in (first, *tied) if v.reuse == first.reuse and v.top == first.top}
    if len(same) > 1:
        parts.append(f"freezing {runs_in_words(same)} of the {first.reuse}")
    if not parts:
        parts.append("; ".join(str(variant) for variant in (first, *tied)))
    return f"{' and '.join(parts)} cannot be told apart at {seeds} (of {len(tied) + 1} variants)"


def _against_scratch(found: Sequence[Tried], metric: str, seeds: str) -> list[str]:
    """Whether reuse helps, as far as the search can say."""
    best = best_reuse(found)
    scratch = next((entry for entry in found if entry.variant.scratch), None)
    if best is None or scratch is None or scratch.ranked.estimate is None or best.minus_scratch is None:
        return []
    gain = best.minus_scratch
    told = f"{best.variant} minus from scratch: {metric} {gain}"
    if gain.half is None:
        return [f"{told}; one seed tells nothing"]
    if (scratch if best is found[0] else best).ranked.tied:  # adjusted for how many variants were tried
        many = f"cannot be told apart at {seeds}, {len(found) - 1} comparisons allowed for"
        return [f"{told}; {many}: no gain of reuse is shown"]
    return [f"{told}; reuse {'helps' if better(gain, metric) else 'hurts'}"]


def better(gain: Estimate, metric: str) -> bool:
    """Whether a difference is one for the better: up, or of a loss or an error down."""
    return (gain.mean > 0) == higher_is_better(metric)


@dataclass(frozen=True)
class Confirmed:
    """What fresh seeds say of a variant: its estimates by `split.metric`, and its test `score` minus from scratch."""

    variant: Variant
    seeds: tuple[int, ...]
    failed: int
    estimates: Mapping[str, Estimate]
    minus_scratch: Estimate | None
    score: str

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value}" for name, value in self.estimates.items()) or "every trial failed"
        failed = f" ({self.failed} failed)" if self.failed and self.estimates else ""
        said = f"on {len(self.seeds)} fresh seeds, {self.variant}: {values}{failed}"
        if self.minus_scratch is None:
            return said
        told = f"reuse {'helps' if better(self.minus_scratch, self.score) else 'hurts'}"
        what = told if told_apart(self.minus_scratch) else verdict(self.minus_scratch)
        return f"{said}; test minus from scratch {self.minus_scratch}: {what}"


def confirmed(outcomes: Iterable[Outcome], variants: Sequence[Variant], score: str) -> list[Confirmed]:
    """What the fresh seeds say of `score`, variant by variant, from scratch last."""
    by_setting = {_key(variant.setting): variant for variant in variants}
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(_key(outcome.trial.setting), []).append(outcome)
    test = f"test.{score}"
    scratch = _values(groups.get(_key({}), []), test)
    found = []
    for key in sorted(groups, key=lambda key: by_setting[key].scratch):
        group = groups[key]
        values = {name: _values(group, name) for name in (f"validation.{score}", test)}
        variant = by_setting[key]
        found.append(
            Confirmed(
                variant,
                tuple(sorted(outcome.trial.seed for outcome in group)),
                sum(outcome.status == "failed" for outcome in group),
                {name: estimate(list(these.values())) for name, these in values.items() if these},
                None if variant.scratch else difference(values[test], scratch),
                score,
            )
        )
    return found


def _values(outcomes: Iterable[Outcome], metric: str) -> dict[Pair, float]:
    return {outcome.trial.pair: value for outcome in outcomes if (value := outcome.value(metric)) is not None}


def _key(setting: Mapping[str, Any]) -> str:
    return json.dumps(setting, sort_keys=True)


def runs_in_words(numbers: Iterable[int]) -> str:
    """As `1, 3 to 5` and `2 and 3`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    if len(spans) == 1 and len(spans[0]) == 2:
        return f"{spans[0][0]} and {spans[0][1]}"
    return ", ".join(
        str(s[0]) if len(s) == 1 else f"{s[0]} to {s[-1]}" if len(s) > 2 else f"{s[0]}, {s[1]}" for s in spans
    )
