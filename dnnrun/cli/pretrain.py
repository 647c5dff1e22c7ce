"""The verb pretrain: the stages of a spec's `pretrain` section, and nothing after them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnrun.cli.output import Json, data, data_json, table, talk
from dnnrun.cli.places import DataDir, RunsDir
from dnnrun.cli.train import run_spec


def pretrain(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A spec with a pretrain section, or a packaged one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the stages and train nothing.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest run, in the stage that it was in.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train layers without labels, or on easier ones: a checkpoint to transfer from."""
    from dnnrun.spec.load import load

    loaded = load(spec, overrides or ())
    if not dry_run:
        run_spec(loaded, resume, runs_dir, data_dir, as_json, only_stages=True)
        return
    from dnnrun.data.places import find_places
    from dnnrun.pretraining import plan_pretraining

    planned = plan_pretraining(loaded, find_places(data_dir))
    rows = planned.rows()
    if as_json:
        names = [heading.replace(" ", "_") for heading in rows[0]]
        data_json({"name": loaded.name, "stages": [dict(zip(names, row, strict=True)) for row in rows[1:]]})
        return
    data("\n".join(table(rows)))
    talk("nothing was trained (--dry-run)")
