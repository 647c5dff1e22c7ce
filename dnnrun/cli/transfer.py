"""The verb transfer: train on layers that were trained before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, table, talk
from dnnrun.cli.places import DataDir, RunsDir
from dnnrun.cli.train import run_spec

Text = str | None


def transfer(
    spec: Annotated[
        Text, typer.Argument(metavar="[SPEC]", help="A spec; without one, that of the source again.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    source: Annotated[
        Text, typer.Option("--from", help="A run, checkpoint or foreign file; unset: the newest run.")
    ] = None,
    map: Annotated[Text, typer.Option(help="YAML that names the tensors of a foreign file.")] = None,
    reuse: Annotated[Text, typer.Option(help="Pattern of the layers to take over (default hidden.*).")] = None,
    freeze: Annotated[Text, typer.Option(help="Pattern of the layers that do not learn.")] = None,
    train: Annotated[Text, typer.Option(help="Pattern of the layers that learn; all others are frozen.")] = None,
    unfreeze: Annotated[
        list[str] | None, typer.Option(metavar="LAYER=EPOCH", help="Learns after that epoch, or LAYER=stalled:EPOCHS.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Layer of the source, and its name here.")
    ] = None,
    rate: Annotated[
        list[str] | None, typer.Option(metavar="LAYER=FACTOR", help="Factor of the learning rate of these layers.")
    ] = None,
    cache: Annotated[Text, typer.Option(help="auto, on or off: compute the frozen first layers once.")] = None,
    resize_inputs: Annotated[
        bool, typer.Option("--resize-inputs", help="Resize images to what the source was trained on.")
    ] = False,
    optimizer_state: Annotated[
        bool, typer.Option("--optimizer-state", help="Go on with the source's optimizer state.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and train nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest run of this spec.")] = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train on layers of a network trained before: reuse, freeze, cache, unfreeze."""
    from dnnrun.reuse import transfer_spec

    if spec is not None and _is_override(spec):
        spec, overrides = None, [spec, *(overrides or [])]
    options: dict[str, Any] = {
        "map": map,
        "reuse": reuse,
        "freeze": freeze,
        "train": train,
        "unfreeze": _when(unfreeze),
        "rename": _pairs("--rename", rename),
        "rates": _factors(rate),
        "cache": cache,
        "resize_inputs": resize_inputs or None,
        "optimizer_state": optimizer_state or None,
    }
    loaded = transfer_spec(spec, source, options, overrides or (), runs_dir)
    if not dry_run:
        run_spec(loaded, resume, runs_dir, data_dir, as_json)
        return
    from dnnrun.assemble import plan_transfer
    from dnnrun.data.places import find_places

    plan = plan_transfer(loaded, find_places(data_dir))
    if as_json:
        data_json({"name": loaded.name, "transfer": plan.as_json()})
        return
    data("\n".join(table(plan.rows())))
    data(f"unused in the source: {', '.join(plan.unused) or 'nothing'}")
    for note in plan.notes:
        data(f"note: {note}")
    talk("nothing was trained (--dry-run)")


def _is_override(argument: str) -> bool:
    from dnnrun.spec.override import split_arguments

    return bool(split_arguments([argument])[1])


def _pairs(option: str, entries: list[str] | None) -> dict[str, str] | None:
    """OLD=NEW, OLD=NEW as a mapping; None where there are none."""
    if not entries:
        return None
    found: dict[str, str] = {}
    for entry in entries:
        left, equals, right = entry.rpartition("=")
        if not equals or not left or not right:
            raise typer.BadParameter(f"{option} {entry}: wanted two parts joined by '='")
        if left in found:
            raise typer.BadParameter(f"{option}: {left} is there twice")
        found[left] = right
    return found


def _when(entries: list[str] | None) -> dict[str, Any] | None:
    pairs = _pairs("--unfreeze", entries)
    if pairs is None:
        return None
    return {layer: _epoch(layer, when) for layer, when in pairs.items()}


def _epoch(layer: str, when: str) -> int | dict[str, int]:
    count = when.removeprefix("stalled:")
    if not count.isdecimal():
        raise typer.BadParameter(f"--unfreeze {layer}={when}: wanted an epoch, as 5, or stalled:3")
    return int(count) if count == when else {"stalled": int(count)}


def _factors(entries: list[str] | None) -> dict[str, float] | None:
    pairs = _pairs("--rate", entries)
    if pairs is None:
        return None
    try:
        return {layer: float(factor) for layer, factor in pairs.items()}
    except ValueError:
        raise typer.BadParameter(f"--rate {' '.join(entries or [])}: wanted LAYER=FACTOR, as hidden1=0.1") from None
