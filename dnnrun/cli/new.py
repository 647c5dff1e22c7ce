"""The verb new: a commented spec for data that nobody has described yet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, talk
from dnnrun.cli.places import DataDir

TASKS = ("classification", "regression", "multilabel")


def new(
    table: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A CSV, TSV, Parquet, Arrow or .npz file, a pattern of such, or a folder of images by class.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="How a table is written, as data.source.encoding=cp1252; goes into the spec."
        ),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="What is to be predicted; may be given several times.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="SPEC", help="Where to write the spec; unset: stdout.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the runs; unset: that of the file of the spec.")] = None,
    task: Annotated[str | None, typer.Option(help="classification, regression or multilabel; unset: read off.")] = None,
    row_id: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="The column that names a row.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out; may be given several times.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column that says how much a row counts.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file of test rows; unset: a fifth of the rows is kept.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a spec that is there.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Look at data and write a spec for it, with comments."""
    from dnnrun.data.places import find_places
    from dnnrun.files import write_atomic
    from dnnrun.proposal import propose
    from dnnrun.spec.problems import NAME_WORDS
    from dnnrun.spec.sections import NAME

    if task is not None and task not in TASKS:
        raise typer.BadParameter(f"--task {task}: wanted {', '.join(TASKS)}")
    if name is not None and not re.fullmatch(NAME, name):
        raise typer.BadParameter(f"--name {name}: wanted {NAME_WORDS}")
    if output is not None and output.exists() and not force:
        raise typer.BadParameter(f"-o {output}: is there already; choose another name, or --force to replace it")
    stated: Any = task
    found = propose(
        table,
        target or (),
        name=name,
        file=None if output is None else output.stem,
        task=stated,
        row_id=row_id,
        ignore=ignore or (),
        weights=weights,
        test=test,
        overrides=overrides or (),
        places=find_places(data_dir),
    )
    if output is not None:
        write_atomic(output, found.text.encode())
    if json:
        data_json(
            {
                "name": found.name,
                "task": found.task,
                "rows": found.rows,
                "features": list(found.features),
                "ignored": list(found.ignored),
                "suspicious": list(found.suspicious),
                "spec": found.text,
                "output": None if output is None else str(output),
            }
        )
    elif output is None:
        data(found.text.rstrip("\n"))
    for column in found.suspicious:
        talk(f"warning: {column!r} tells the target all by itself; is it known only afterwards? See the comment")
    if output is not None:
        talk(f"{output}: written; go on with dnnrun train {output}")
