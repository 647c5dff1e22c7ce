"""The verb predict: what a trained run says of rows in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnrun.cli.output import Json, data, data_json, table
from dnnrun.cli.places import DataDir


def predict(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A run (runs/NAME) or a checkpoint folder.")],
    rows: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A table (.csv, .parquet, .arrow), an array (.npy, .npz, IDX), or images (file, folder).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write them: .csv, .tsv or .parquet; else stdout."
        ),
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="The probability of each class too.")] = False,
    id: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="The column that names a row, carried along.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="REFERENCES.npy", help="Rows to compare with: which of them each row matches."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """What a run predicts for the rows of a file; --against: which reference each row matches, of a run on pairs."""
    if against is not None:
        _match(checkpoint, rows, against, as_json)
        return
    from dnnrun.cli.signals import end_on_signals
    from dnnrun.cli.terminal import Terminal
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.predictions import csv_chunks, predict_files, write
    from dnnrun.train.device import prepare
    from dnnrun.trained import load

    check, terminal = end_on_signals(), Terminal()
    trained = load(checkpoint)
    if trained.checkpoint.manifest.get("pretrained", {}).get("stage") == "pairs":
        raise typer.BadParameter("--against REFERENCES.npy: missing; a run on pairs compares rows with references")
    places = find_places(data_dir)

    def progress(done: int, seconds: float) -> None:
        check()
        terminal.predicting(done, seconds)

    found = predict_files(trained, [str(rows)], proba=proba, id=id, places=places, progress=progress)
    prepare("auto", "auto", compile_cache(terminal.warn))
    try:
        if output is not None:
            write(found, output)
        elif as_json:
            predictions = found.json_rows()
        else:
            for chunk in csv_chunks(found):
                data(chunk.decode().removesuffix("\n"))
    finally:
        terminal.close()
    for note in found.notes():
        terminal.warn(note)
    if as_json:
        more = {"predictions": predictions} if output is None else {"output": str(output)}  # pyright: ignore[reportPossiblyUnboundVariable]
        data_json({**found.as_json(), **more})
    elif output is not None:
        terminal.say(f"{found.rows:,} predictions in {output}")


def _match(checkpoint: str, rows: Path, against: Path, as_json: bool) -> None:
    from dnnrun.matching import answer

    found = answer(checkpoint, rows, against)
    if as_json:
        data_json(found.as_json())
        return
    lines = [["row", "reference", "probability"]]
    lines += [[str(n), str(m), f"{p:.4f}"] for n, (m, p) in enumerate(zip(found.matches, found.best, strict=True))]
    data("\n".join(table(lines)))
