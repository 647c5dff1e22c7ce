"""A reuse search from its variants to its recommendation: every trial once, then the best one on fresh seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import ResumeError, RunFailed
from dnnrun.spec.load import dump
from dnnrun.spec.sections import Spec
from dnnrun.sweep.engine import Engine
from dnnrun.sweep.plan import Trial, check, confirming, planned, spec_of
from dnnrun.sweep.results import rows_of
from dnnrun.sweep.reuse.picture import draw
from dnnrun.sweep.reuse.prepare import Prepared
from dnnrun.sweep.reuse.variants import SCRATCH, Variant
from dnnrun.sweep.reuse.verdict import Confirmed, Recommendation, Tried, best_reuse, confirmed, recommend, tried
from dnnrun.sweep.run import STATE, Listener, SweepRun, begin, newest, open_sweep, run_trials
from dnnrun.sweep.statistics import Estimate

KIND = "reuse-search"
OPTIONS, RESULT, PICTURE, WINNER = "options.json", "reuse-search.json", "variants.svg", "recommended.yaml"


@dataclass(frozen=True)
class Begun:
    """The newest search of a spec's name: its folder, the checkpoint it takes layers from, whether it measures test."""

    folder: Path
    source: Path
    test: bool
    settings: list[Mapping[str, Any]]


@dataclass(frozen=True)
class ReuseSearch:
    """A search that is done: the sweep with its trials, the variants best first, the recommendation."""

    prepared: Prepared
    sweep: SweepRun
    tried: list[Tried]
    recommended: Recommendation
    test: bool

    def confirmed(self) -> list[Confirmed]:
        """What the fresh seeds say, variant by variant, from scratch last."""
        return confirmed(self.sweep.of("confirm"), self.prepared.variants, self.prepared.score)


def begun(runs: Path, spec: Spec) -> Begun:
    """The search to go on with. Raises ResumeError where there is none, or the spec names another source."""
    folder = newest(runs, spec, KIND)
    options = json.loads((folder / OPTIONS).read_text("utf-8"))
    state = json.loads((folder / STATE).read_text("utf-8"))
    source = Path(options["source"])
    given = spec.transfer.from_ if spec.transfer else None
    if isinstance(given, str) and given != options["given"]:
        here = Path(given).absolute()
        there = [source, source.resolve()]
        if not any(path.is_relative_to(one) for path in there for one in (here, here.resolve())):
            raise ResumeError(f"{folder}: this search takes its layers from {source}, not from {given}; begin anew")
    return Begun(folder, source, options["test"], state["spec"]["sweep"]["settings"])


def reuse_search(
    prepared: Prepared,
    engine: Engine,
    *,
    runs: Path,
    data_dir: Path | None = None,
    test: bool = False,
    resumed: Begun | None = None,
    fail_fast: bool = False,
    stop: Callable[[], int | None] = lambda: None,
    heard: Listener | None = None,
) -> ReuseSearch:
    """Run the trials that are not done yet, then the best reuse and training from scratch on fresh seeds.

    Only these touch the test rows, unless `test` asks every trial to measure them at its end; the recommendation never
    looks at them. Raises RunFailed where every trial failed or, with `fail_fast`, at the first one, Interrupted after
    a signal, ResumeError where `resumed` is another search.
    """
    heard = heard or Listener()
    try:
        base, sweep_options = prepared.base, prepared.sweep
        check(base, sweep_options, sweep_options.settings)
        trials = planned(base, sweep_options)
        if resumed is None:
            options = {"source": str(prepared.source), "given": prepared.given, "test": test}
            folder = begin(runs, base, KIND, {OPTIONS: (json.dumps(options) + "\n").encode()})
        else:
            _check(resumed, prepared, test)
            folder, test = resumed.folder, resumed.test
        with files.lock(folder / ".lock"):
            sweep = open_sweep(folder, base, paged=False)
            run_trials(sweep, trials, engine, data_dir, () if test else ("test",), fail_fast, stop, heard)
            found = tried(prepared.variants, sweep.of("search"), sweep_options, prepared.score)
            if found[0].ranked.estimate is None:
                sweep.save("failed")
                first = next(iter(sweep.outcomes.values()))
                raise RunFailed(f"{folder}: every trial failed, the first with: {first.error}")
            best = best_reuse(found)
            pair = [best.variant, SCRATCH] if best else [SCRATCH]
            each = [confirming(base, sweep_options, dict(variant.setting)) for variant in pair]
            fresh = [trial for trials_of_a_seed in zip(*each, strict=True) for trial in trials_of_a_seed]
            run_trials(sweep, fresh, engine, data_dir, (), fail_fast, stop, heard)
            search = ReuseSearch(prepared, sweep, found, recommend(found, sweep_options), test)
            _write(search)
            sweep.save("done")
    finally:
        engine.close()
    return search


def _check(resumed: Begun, prepared: Prepared, test: bool) -> None:
    if resumed.settings != [dict(variant.setting) for variant in prepared.variants]:
        raise ResumeError(
            f"{resumed.folder}: its variants are others than these; resume it with the network, --depths, --unfreeze "
            "and --variants that it began with, or begin anew"
        )
    if test and not resumed.test:
        raise ResumeError(
            f"{resumed.folder}: began without --test, so that its trials measure no test rows; resume it without "
            "--test, or begin anew"
        )


def winning_spec(prepared: Prepared, variant: Variant) -> Spec:
    """The spec of a variant, as `dnnrun train` runs it, under a name of its own."""
    base, ending = prepared.base, "-scratch" if variant.scratch else "-reuse"
    spec = spec_of(base, Trial(variant.setting, base.seed))
    return spec.model_copy(update={"name": base.name[: 64 - len(ending)] + ending})


def _write(search: ReuseSearch) -> None:
    folder, recommended = search.sweep.folder, search.recommended
    lines = [f"{recommended.variant}: recommended by {folder}", "", *recommended.reasons]
    lines += [str(entry) for entry in search.confirmed()]
    header = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    text = header + dump(winning_spec(search.prepared, recommended.variant))
    files.write_atomic(folder / WINNER, text.encode())
    files.write_atomic(
        folder / PICTURE,
        draw(
            search.prepared.variants, search.tried, recommended, search.prepared.sweep.metric, search.prepared.score
        ).encode(),
    )
    files.write_atomic(folder / RESULT, (json.dumps(as_json(search), indent=1) + "\n").encode())


def as_json(search: ReuseSearch) -> dict[str, Any]:
    """What `--json` prints. Estimates are {mean, half_interval, runs}; half_interval is null for one run."""
    folder, recommended = search.sweep.folder, search.recommended
    return {
        "search": str(folder),
        "source": str(search.prepared.source),
        "metric": search.prepared.sweep.metric,
        "test_measured": "every trial" if search.test else "fresh seeds",
        "variants": [
            {
                **_described(entry.variant),
                "estimate": _estimate(entry.ranked.estimate),
                "minus_first": _estimate(entry.ranked.behind),
                "minus_scratch": _estimate(entry.minus_scratch),
                "tied_with_first": entry.ranked.tied,
                "test": _estimate(entry.test),
                "failed": entry.ranked.failed,
                "seconds": entry.ranked.seconds,
            }
            for entry in search.tried
        ],
        "recommendation": {
            **_described(recommended.variant),
            "reasons": list(recommended.reasons),
            "tied": [str(variant) for variant in recommended.tied],
            "spec": str(folder / WINNER),
        },
        "confirmed": [
            {
                **_described(entry.variant),
                "seeds": list(entry.seeds),
                "failed": entry.failed,
                "estimates": {name: _estimate(value) for name, value in entry.estimates.items()},
                "test_minus_scratch": _estimate(entry.minus_scratch),
            }
            for entry in search.confirmed()
        ],
        "picture": str(folder / PICTURE),
        "trials": rows_of(list(search.sweep.outcomes.values())),
    }


def _described(variant: Variant) -> dict[str, Any]:
    top = {"top": variant.top, "top_layers": variant.count}
    return {"variant": str(variant), "reuse": variant.reuse, "freeze": variant.freeze, **top}


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    return found and {"mean": found.mean, "half_interval": found.half, "runs": found.count}
