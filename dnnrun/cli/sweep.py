"""The verb sweep: many trials of one spec, over seeds."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.output import Json, data_json, table, talk
from dnnrun.cli.places import DataDir, RunsDir

if TYPE_CHECKING:
    from dnnrun.spec.sections import Spec
    from dnnrun.sweep.results import Outcome
    from dnnrun.sweep.run import SweepRun


def sweep(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A spec file, or a packaged one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option(metavar="KEY=[...]", help="Every one of these values, in every combination.")
    ] = None,
    random: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY={log: [a, b]}", help="Drawn from a range: uniform, log, int, choice."),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="How many random settings.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each setting.")] = None,
    metric: Annotated[str | None, typer.Option(help="What settings are compared by.")] = None,
    against_scratch: Annotated[
        bool, typer.Option("--against-scratch", help="With and without the spec's transfer section.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trials at a time; unset: one a core.")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first trial that fails.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest sweep of this spec.")] = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Run many trials of a spec over seeds, and compare them."""
    from dnnrun.cli.signals import Signals
    from dnnrun.errors import SpecError
    from dnnrun.spec.load import load
    from dnnrun.sweep.engine.local import LocalProcesses
    from dnnrun.sweep.run import run_sweep
    from dnnrun.train.device import available_threads

    given = _options({"trials": trials, "seeds": seeds, "metric": metric})
    given += _ranges("grid", grid) + _ranges("random", random)
    if against_scratch:
        given.append('sweep.settings=[{}, {"transfer": null}]')
    loaded = load(spec, [*given, *(overrides or ())])
    if against_scratch and loaded.transfer is None:
        raise SpecError(["--against-scratch: the spec has no transfer section to leave out"])
    engine = LocalProcesses(jobs or available_threads())
    talk(f"engine: {engine}")
    begun = time.perf_counter()

    def heard(outcome: Outcome, done: int, total: int) -> None:
        left = (time.perf_counter() - begun) / done * (total - done)
        talk(_line(loaded, outcome, done, total, left))

    found = run_sweep(
        loaded,
        engine,
        runs=runs_dir,
        data_dir=data_dir,
        resume=resume,
        fail_fast=fail_fast,
        stop=Signals(),
        heard=heard,
    )
    if as_json:
        data_json(_json(found))
    else:
        _show(found, against_scratch)


def _options(values: dict[str, Any]) -> list[str]:
    return [f"sweep.{key}={value}" for key, value in values.items() if value is not None]


def _ranges(kind: str, entries: list[str] | None) -> list[str]:
    """KEY=VALUES entries as one override, since keys have dots of their own."""
    if not entries:
        return []
    import json

    parts = []
    for entry in entries:
        key, equals, values = entry.partition("=")
        if not equals or not key or not values:
            raise typer.BadParameter(f"--{kind} {entry}: wanted KEY=VALUES, as train.batch_size=[50, 100]")
        parts.append(f"{json.dumps(key)}: {values}")
    return [f"sweep.{kind}={{{', '.join(parts)}}}"]


def _line(spec: Spec, outcome: Outcome, done: int, total: int, left: float) -> str:
    from dnnrun.cli.terminal import duration
    from dnnrun.spec.space import words

    assert spec.sweep is not None
    value = outcome.value(spec.sweep.metric)
    came_to = f"failed: {outcome.error}" if value is None else f"{spec.sweep.metric} {value:.4f}"
    what = f"{words(dict(outcome.trial.setting))}, seed {outcome.trial.seed}"
    return f"{outcome.trial.stage} {done}/{total}  ETA {duration(left)}  {what}: {came_to}"


def _show(found: SweepRun, against_scratch: bool) -> None:
    from dnnrun.spec.space import words
    from dnnrun.sweep.results import table_of
    from dnnrun.sweep.statistics import estimate

    ranked = found.ranked()
    talk("\n".join(["", *table(table_of(ranked, found.sweep.metric))]))
    if against_scratch:
        talk(_gain(found))
    confirmed = [outcome for outcome in found.of("confirm") if outcome.trial.setting == ranked[0].setting]
    for split in ("validation", "test"):
        values = [value for outcome in confirmed if (value := outcome.value(f"{split}.accuracy")) is not None]
        if values:
            best, failed = words(dict(ranked[0].setting)), len(confirmed) - len(values)
            seeds = f"{len(values)} fresh seeds" + (f" ({failed} more failed)" if failed else "")
            talk(f"{best}, on {seeds}: {split} accuracy {estimate(values)}")
    talk(f"{found.folder}")


def _gain(found: SweepRun) -> str:
    """The paired gain of the transfer over training from scratch, in words."""
    from dnnrun.sweep.statistics import difference, verdict

    values = {("transfer" not in entry.setting): entry.values for entry in found.ranked()}
    gain = difference(values.get(True, {}), values.get(False, {}))
    if gain is None:
        return "with and without transfer: no seed has both results"
    sign = 1 if found.sweep.metric.endswith("accuracy") else -1
    told = verdict(replace(gain, mean=sign * gain.mean))
    said = {"better": "it helps", "worse": "it hurts"}.get(told, f"no gain is shown: {told}")
    return f"with transfer minus from scratch, {found.sweep.metric}: {gain} over {gain.count} seeds; {said}"


def _json(found: SweepRun) -> dict[str, Any]:
    from dnnrun.sweep.results import rows_of

    ranking = [
        {
            "setting": dict(entry.setting),
            "mean": entry.estimate and entry.estimate.mean,
            "half_interval": entry.estimate and entry.estimate.half,
            "seeds": entry.estimate.count if entry.estimate else 0,
            "failed": entry.failed,
            "minus_first": entry.behind and {"mean": entry.behind.mean, "half_interval": entry.behind.half},
            "tied_with_first": entry.tied,
            "seconds": entry.seconds,
        }
        for entry in found.ranked()
    ]
    trials = rows_of(list(found.outcomes.values()))
    return {"sweep": str(found.folder), "metric": found.sweep.metric, "ranking": ranking, "trials": trials}
