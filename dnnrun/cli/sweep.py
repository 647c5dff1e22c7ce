"""The verb sweep: many trials of one spec, over seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.engines import Address, EngineName, Jobs, choose_engine
from dnnrun.cli.output import Json, data_json, table, talk
from dnnrun.cli.places import DataDir, RunsDir

if TYPE_CHECKING:
    from dnnrun.sweep.run import SweepRun

SECONDS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours"}


def sweep(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A spec file, or a packaged one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")
    ] = None,
    grid: Annotated[
        list[str] | None, typer.Option(metavar="KEY=[...]", help="Every one of these values, in every combination.")
    ] = None,
    zip_: Annotated[
        list[str] | None, typer.Option("--zip", metavar="KEY=[...]", help="Values that go together, the n-th of all.")
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option(
            "--range", metavar="KEY={log: [a, b]}", help="What a search draws from: uniform, log, int, or a list."
        ),
    ] = None,
    search: Annotated[str | None, typer.Option(help="How settings are drawn: random, tpe, asha.")] = None,
    trials: Annotated[int | None, typer.Option(help="How many settings are drawn.")] = None,
    time: Annotated[str | None, typer.Option(metavar="2h", help="No trial is begun later: 90s, 30m, 2h.")] = None,
    storage: Annotated[str | None, typer.Option(metavar="URL", help="An Optuna storage that sweeps share.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each setting.")] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation: each seed once a fold.")] = None,
    metric: Annotated[str | None, typer.Option(help="What settings are compared by.")] = None,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="The setting to compare with; unset: the best.")
    ] = None,
    against_scratch: Annotated[
        bool, typer.Option("--against-scratch", help="With and without the spec's transfer and pretrain sections.")
    ] = False,
    engine: EngineName = None,
    address: Address = None,
    jobs: Jobs = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first trial that fails.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest sweep of this spec.")] = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Run many trials of a spec over seeds, and compare them."""
    from dnnrun.cli.signals import Signals
    from dnnrun.cli.sweeping import Sweeping
    from dnnrun.data.places import find_places
    from dnnrun.errors import SpecError
    from dnnrun.spec.load import load
    from dnnrun.sweep.plan import settled
    from dnnrun.sweep.run import run_sweep

    given = _options(
        {"search": search, "trials": trials, "storage": storage, "seeds": seeds, "folds": folds, "metric": metric}
    )
    if time is not None:
        given.append(f"sweep.time={_duration(time)}")
    for kind, entries in (("grid", grid), ("zip", zip_), ("ranges", range_), ("reference", reference)):
        given += _entries(kind, entries)
    if against_scratch:
        given.append(f"sweep.settings={_with_and_without(spec, overrides or ())}")
    loaded = load(spec, [*given, *(overrides or ())])
    if loaded.sweep is None:
        raise SpecError([f"{spec}: no sweep: section; say what to try, with --grid, --range or --seeds"])
    loaded = settled(loaded, find_places(data_dir))
    chosen = choose_engine(loaded, engine, address, jobs)
    with Sweeping(loaded) as heard:
        found = run_sweep(
            loaded,
            chosen,
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


SCRATCH = ("transfer", "pretrain")


def _with_and_without(spec: str, overrides: Any) -> str:
    """The spec as it is, and without the sections that a network from scratch has not, as sweep.settings."""
    import json

    from dnnrun.errors import SpecError
    from dnnrun.spec.load import load

    loaded = load(spec, list(overrides))
    there = [name for name in SCRATCH if getattr(loaded, name, None) is not None]
    if not there:
        raise SpecError([f"--against-scratch: the spec has no {' or '.join(SCRATCH)} section to leave out"])
    return json.dumps([{}, dict.fromkeys(there)])


def _options(values: dict[str, Any]) -> list[str]:
    return [f"sweep.{key}={value}" for key, value in values.items() if value is not None]


def _duration(text: str) -> str:
    """90s, 30m or 2h as the mapping that sweep.time takes."""
    import re

    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)", text.strip())
    if not found or float(found[1]) == 0:
        raise typer.BadParameter(f"--time {text}: wanted a duration, as 90s, 30m or 2h")
    return f"{{{SECONDS[found[2]]}: {float(found[1])}}}"


def _entries(kind: str, entries: list[str] | None) -> list[str]:
    """KEY=VALUES entries as one override, since keys have dots of their own."""
    if not entries:
        return []
    import json

    from dnnrun.errors import SpecError
    from dnnrun.spec.text import parse
    from dnnrun.spec.tree import shown

    option = {"ranges": "range"}.get(kind, kind)
    parts = []
    for entry in entries:
        key, equals, values = entry.partition("=")
        if not equals or not key or not values.strip():
            raise typer.BadParameter(f"--{option} {entry}: wanted KEY=VALUES, as train.batch_size=[50, 100]")
        tree = parse(values, f"--{option} {key}", positions=False)  # by itself: its commas are its own
        if tree.problems:
            raise SpecError([problem.text for problem in tree.problems])
        if wanted := _WANTED.get(kind):
            if not isinstance(tree.value, wanted[0]):
                raise typer.BadParameter(f"--{option} {key}: found {shown(tree.value)}, wanted {wanted[1]}")
        elif isinstance(tree.value, str):
            values = json.dumps(tree.value)
        parts.append(f"{json.dumps(key)}: {values}")
    return [f"sweep.{kind}={{{', '.join(parts)}}}"]


_LIST = (list, "a list of values, as [50, 100]")
_WANTED = {
    "grid": _LIST,
    "zip": _LIST,
    "ranges": ((list, dict), "{log: [0.001, 0.1]}, {uniform: [0, 0.5]}, {int: [1, 5]} or a list of values"),
}


def _show(found: SweepRun, against_scratch: bool) -> None:
    from dnnrun.metric import chief
    from dnnrun.spec.space import words
    from dnnrun.sweep.results import table_of
    from dnnrun.sweep.statistics import estimate

    ranked = found.ranked()
    talk("\n".join(["", *table(table_of(ranked, found.sweep.metric))]))
    if against_scratch:
        talk(_gain(found))
    confirmed = [outcome for outcome in found.of("confirm") if outcome.trial.setting == ranked[0].setting]
    for split in ("validation", "test"):
        name = next(
            (chief(outcome.result["metrics"].get(split, {})) for outcome in confirmed if outcome.result), "loss"
        )
        values = [value for outcome in confirmed if (value := outcome.value(f"{split}.{name}")) is not None]
        if values:
            best, failed = words(dict(ranked[0].setting)), len(confirmed) - len(values)
            seeds = f"{len(values)} fresh seed{'s' * (len(values) > 1)}" + (
                f" ({failed} more failed)" if failed else ""
            )
            talk(f"{best}, on {seeds}: {split} {name} {estimate(values)}")
    talk(f"{found.page}")


def _gain(found: SweepRun) -> str:
    """The paired gain over training from scratch, in words."""
    from dnnrun.metric import higher_is_better
    from dnnrun.sweep.statistics import difference, verdict

    sections = {name for entry in found.ranked() for name in entry.setting if name in SCRATCH}
    values = {not sections & entry.setting.keys(): entry.values for entry in found.ranked()}
    said = " and ".join(name for name in SCRATCH if name in sections)
    gain = difference(values.get(True, {}), values.get(False, {}), found.sweep.folds)
    if gain is None:
        return f"with and without {said}: no seed has both results"
    sign = 1 if higher_is_better(found.sweep.metric) else -1
    told = verdict(replace(gain, mean=sign * gain.mean))
    helped = {"better": "it helps", "worse": "it hurts"}.get(told, f"no gain is shown: {told}")
    return f"with {said} minus from scratch, {found.sweep.metric}: {gain} over {gain.count} runs; {helped}"


def _json(found: SweepRun) -> dict[str, Any]:
    from dnnrun.sweep.results import rows_of

    ranking = [
        {
            "setting": dict(entry.setting),
            "mean": entry.estimate and entry.estimate.mean,
            "half_interval": entry.estimate and entry.estimate.half,
            "runs": entry.estimate.count if entry.estimate else 0,
            "failed": entry.failed,
            "pruned_after": entry.epochs,
            "minus_reference": entry.behind and {"mean": entry.behind.mean, "half_interval": entry.behind.half},
            "adjusted_p": entry.adjusted,
            "tied": entry.tied,
            "seconds": entry.seconds,
        }
        for entry in found.ranked()
    ]
    trials = rows_of(list(found.outcomes.values()))
    return {
        "sweep": str(found.folder),
        "page": str(found.page),
        "metric": found.sweep.metric,
        "ranking": ranking,
        "trials": trials,
    }
