"""The verb predict: what a trained run says of rows in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnrun.cli.output import Json, data, data_json, table


def predict(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A run (runs/NAME) or a checkpoint folder.")],
    rows: Annotated[Path, typer.Argument(metavar="INPUT.npy", help="Rows [rows, features], raw as in the data.")],
    against: Annotated[
        Path | None,
        typer.Option(metavar="REFERENCES.npy", help="Rows to compare with: which of them each row matches."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Which of the references each row matches, by a run that was trained on pairs."""
    from dnnrun.matching import answer

    if against is None:
        raise typer.BadParameter("--against REFERENCES.npy: missing; predict compares rows with references")
    found = answer(checkpoint, rows, against)
    if as_json:
        data_json(found.as_json())
        return
    lines = [["row", "reference", "probability"]]
    lines += [[str(n), str(m), f"{p:.4f}"] for n, (m, p) in enumerate(zip(found.matches, found.best, strict=True))]
    data("\n".join(table(lines)))
