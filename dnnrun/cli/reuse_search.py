"""The verb reuse-search: how many layers of a source to reuse, and how many of them to freeze."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.engines import Address, EngineName, Jobs, choose_engine
from dnnrun.cli.output import Json, data, data_json, table, talk
from dnnrun.cli.places import DataDir, RunsDir

if TYPE_CHECKING:
    from dnnrun.sweep.reuse.prepare import Prepared
    from dnnrun.sweep.reuse.run import ReuseSearch
    from dnnrun.sweep.statistics import Estimate

SEEDS = 5
Text = str | None


def reuse_search(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A spec file, or a packaged one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")
    ] = None,
    source: Annotated[Text, typer.Option("--from", help="A run or a checkpoint to take layers from.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each variant (default 5).")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Each seed once for every fold of so many.")] = None,
    depths: Annotated[
        Text, typer.Option(metavar="N,N-M", help="How many layers to reuse; unset: all that fit.")
    ] = None,
    unfreeze: Annotated[
        Text, typer.Option(metavar="0,1,2,all", help="How many of the top reused layers learn.")
    ] = None,
    variants: Annotated[
        Text, typer.Option(metavar="dropped,replaced,added", help="What becomes of the hidden layers above.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many epochs a trial: train.epochs.")] = None,
    metric: Annotated[Text, typer.Option(help="What variants are compared by.")] = None,
    confirm: Annotated[int | None, typer.Option(help="Fresh seeds at the end; unset: as many as seeds.")] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Measure the test rows in every trial, for a table; never to choose by.")
    ] = False,
    engine: EngineName = None,
    address: Address = None,
    jobs: Jobs = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first trial that fails.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the variants and train nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest search of this spec.")] = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find how many layers of a source to reuse and how many to freeze, over seeds, against from scratch."""
    from dnnrun.cli.signals import Signals
    from dnnrun.cli.sweeping import Sweeping
    from dnnrun.data.places import find_places
    from dnnrun.spec.load import load
    from dnnrun.sweep.reuse.prepare import prepare
    from dnnrun.sweep.reuse.run import begun
    from dnnrun.sweep.reuse.run import reuse_search as search

    said = {"transfer.from": source, "train.epochs": epochs}
    said |= {"sweep.seeds": seeds, "sweep.folds": folds, "sweep.metric": metric, "sweep.confirm": confirm}
    given = [f"{key}={json.dumps(value)}" for key, value in said.items() if value is not None]
    loaded = load(spec, [*given, *(overrides or ())], fill={"sweep.seeds": SEEDS})
    resumed = begun(runs_dir, loaded) if resume else None
    prepared = prepare(
        loaded,
        find_places(data_dir),
        runs_dir,
        source=resumed.source if resumed else None,
        depths=_depths(depths),
        unfreeze=_unfreeze(unfreeze),
        tops=_tops(variants),
    )
    for note in prepared.notes:
        talk(f"note: {note}")
    talk(_account(prepared))
    if dry_run:
        _list(prepared, as_json)
        return
    chosen = choose_engine(prepared.base, engine, address, jobs)
    names = {json.dumps(variant.setting, sort_keys=True): str(variant) for variant in prepared.variants}
    with Sweeping(prepared.base, lambda setting: names[json.dumps(setting, sort_keys=True)]) as heard:
        heard.say(_test_rule(resumed.test if resumed else test))
        found = search(
            prepared,
            chosen,
            runs=runs_dir,
            data_dir=data_dir,
            test=test,
            resumed=resumed,
            fail_fast=fail_fast,
            stop=Signals(),
            heard=heard,
        )
    if as_json:
        from dnnrun.sweep.reuse.run import as_json as result

        data_json(result(found))
    else:
        _show(found)


def _depths(text: str | None) -> set[int] | None:
    """As 1,3-5."""
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or int(high or low) < int(low):
            raise typer.BadParameter(f"--depths {text}: wanted numbers of layers, as 3 or 1,2 or 2-4")
        found |= set(range(int(low), int(high or low) + 1))
    return found


def _unfreeze(text: str | None) -> Any:
    from dnnrun.sweep.reuse.variants import ALL, UNFREEZE

    if text is None:
        return UNFREEZE
    parts = [part.strip() for part in text.split(",")]
    if any(part != ALL and not part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--unfreeze {text}: wanted how many top reused layers learn, as 0,1,2,all")
    return [part if part == ALL else int(part) for part in parts]


def _tops(text: str | None) -> Any:
    from dnnrun.sweep.reuse.variants import TOPS

    if text is None:
        return TOPS
    parts = [part.strip() for part in text.split(",")]
    if wrong := [part for part in parts if part not in TOPS]:
        raise typer.BadParameter(f"--variants {text}: there is no {wrong[0]!r}; wanted some of {', '.join(TOPS)}")
    return parts


def _account(prepared: Prepared) -> str:
    variants, seeds, folds = len(prepared.variants), prepared.sweep.seeds, prepared.sweep.folds or 1
    each = f"{seeds} seeds" + f" x {folds} folds" * (folds > 1)
    return f"layers of {prepared.source}\n{variants} variants x {each}: {variants * seeds * folds} trials"


def _test_rule(test: bool) -> str:
    if test:
        return "--test: every trial measures the test rows at its end; the recommendation goes by the metric alone"
    return "test rows: not measured in the search; at the end, on fresh seeds, by the best reuse and from scratch"


def _list(prepared: Prepared, as_json: bool) -> None:
    if as_json:
        trials = len(prepared.variants) * prepared.sweep.seeds * (prepared.sweep.folds or 1)
        listed = [{"variant": str(variant), "setting": dict(variant.setting)} for variant in prepared.variants]
        data_json({"source": str(prepared.source), "trials": trials, "variants": listed})
        return
    for variant in prepared.variants:
        data(str(variant))
    talk("nothing was trained (--dry-run)")


def _show(found: ReuseSearch) -> None:
    from dnnrun.sweep.results import standing_of
    from dnnrun.sweep.reuse.run import PICTURE, WINNER

    metric, folder = found.prepared.sweep.metric, found.sweep.folder
    rows = [
        [
            "variant",
            metric,
            "minus the first",
            "minus scratch",
            *[f"test {found.prepared.score}"] * found.test,
            "seconds",
            "verdict",
        ]
    ]
    for number, entry in enumerate(found.tried):
        ranked = entry.ranked
        verdict = "first" if not number and not ranked.failed else standing_of(ranked, metric)
        cells = [ranked.estimate, ranked.behind, entry.minus_scratch, *[entry.test] * found.test]
        rows.append([str(entry.variant), *map(_cell, cells), f"{ranked.seconds:.1f}", verdict])
    data("\n".join(table(rows)))
    data(f"\nrecommended: {found.recommended.variant}")
    for reason in found.recommended.reasons:
        data(f"  {reason}")
    for entry in found.confirmed():
        data(str(entry))
    talk(f"train it with: dnnrun train {folder / WINNER}\npicture: {folder / PICTURE}")


def _cell(found: Estimate | None) -> str:
    return "-" if found is None else str(found)
