"""The verb runs: what has been trained here, chosen, ordered, removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, score, table, talk
from dnnrun.cli.places import RunsDir


def runs(
    filters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILTER]...", help="As status=done, name='bn*', 'validation.accuracy>0.97'."),
    ] = None,
    sort: Annotated[str | None, typer.Option("--sort", metavar="KEY", help="Best first, as test.loss.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first N only.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the runs that the filters choose.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove all but the newest finished runs of each name.")
    ] = False,
    keep: Annotated[int, typer.Option("--keep", min=0, help="How many --prune keeps of each name.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do remove.")] = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs: name, when, status, epochs, metrics. Choose, sort, remove them."""
    from dnnrun.store import choose, index

    conditions = [choose.condition(text) for text in filters or ()]
    if sort is not None:
        choose.known(sort, "--sort")
    if delete and prune:
        raise typer.BadParameter("--delete and --prune exclude each other")
    if delete and not conditions:
        raise typer.BadParameter("--delete wants a filter, as status=failed; name='*' for every run")
    if (dry_run or yes) and not (delete or prune):
        raise typer.BadParameter("--dry-run and --yes go with --delete or --prune")
    found = [row for row in index.rows(runs_dir) if all(c.holds(row) for c in conditions)]
    if prune:
        found = choose.prunable(found, keep)
    if sort is not None:
        found = choose.ordered(found, sort)
    found = found[:limit]
    if delete or prune:
        _remove(found, yes and not dry_run, as_json)
        return
    if as_json:
        data_json(found)
        return
    if not found:
        talk(f"no runs in {runs_dir}" + ("" if not conditions else " are so") + "; dnnrun train SPEC makes one")
        return
    data("\n".join(table(_lines(found))))


def _lines(found: list[dict[str, Any]]) -> list[list[str]]:
    lines = [["run", "status", "epochs", "validation", "test", "examples/s"]]
    for row in found:
        metrics = row["metrics"]
        scores = [score(metrics.get(s)) for s in ("validation", "test")]
        rate = row["examples_per_s"]
        lines.append([row["run"], row["status"], str(row["epochs"]), *scores, f"{rate:,.0f}" if rate else "-"])
    return lines


def _remove(found: list[dict[str, Any]], really: bool, as_json: bool) -> None:
    """Remove these runs, or say which would be; one in use stays, and the exit code is 1."""
    from dnnrun.errors import RunDirectoryError
    from dnnrun.store import choose

    removed, in_use, freed = [], [], 0
    for row in found:
        path = Path(row["run"])
        size = choose.size_of(path)
        try:
            if really:
                choose.remove(path)
            elif row["status"] == "running":
                raise RunDirectoryError(f"{path} is in use")
        except RunDirectoryError as error:
            in_use.append(row["run"])
            talk(f"warning: {error}")
            continue
        removed.append(row["run"])
        freed += size
        if not as_json:
            data(f"{'removed' if really else 'would remove'} {path} ({row['status']}, {size / 2**20:.1f} MiB)")
    if as_json:
        data_json({"removed": removed if really else [], "chosen": removed, "in_use": in_use, "bytes": freed})
    elif really:
        talk(f"{len(removed)} runs removed, {freed / 2**20:.1f} MiB freed")
    else:
        talk(f"{len(removed)} runs, {freed / 2**20:.1f} MiB; nothing was removed, --yes removes them")
    if in_use:
        raise typer.Exit(1)
