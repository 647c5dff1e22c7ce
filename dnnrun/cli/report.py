"""The verb report: runs on one page that needs nothing else, as Markdown, or as plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnrun.cli.output import Json, data, data_json, talk
from dnnrun.cli.places import DataDir

FORMATS = ("html", "md", "svg", "png")


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run directories, or runs/NAME.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; for svg and png a folder. Unset: report.FORMAT.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="html, md, svg or png; unset: what the file's name says, else html.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show runs on one self-contained page: curves, signals, mistakes, specs."""
    from dnnrun import files
    from dnnrun.cli.terminal import Terminal
    from dnnrun.data.places import find_places
    from dnnrun.report.content import content_of

    suffix = output.suffix.lstrip(".") if output else ""
    form = form or (suffix if suffix in FORMATS else "html")
    if form not in FORMATS:
        raise typer.BadParameter(f"--format {form!r}; wanted {', '.join(FORMATS)}")
    terminal = Terminal()
    content = content_of(runs, find_places(data_dir, terminal.download, terminal.reading), terminal.warn)
    terminal.close()
    if form in ("html", "md"):
        from dnnrun.report.page import html_of, markdown_of

        target = output or Path(f"report.{form}")
        text = (html_of if form == "html" else markdown_of)(content)
        files.make_folder(target.absolute().parent, exist_ok=True)
        files.write_atomic(target, text.encode())
        written = [target]
    else:
        from dnnrun.report.plots import plots_of

        folder = output or Path("report")
        plots = plots_of(content, form)
        files.make_folder(folder, exist_ok=True)
        written = [folder / name for name in plots]
        for name, picture in plots.items():
            files.write_atomic(folder / name, picture)
    if as_json:
        data_json({"written": [str(path) for path in written], "runs": [run["path"] for run in content["runs"]]})
        return
    for path in written:
        data(str(path))
    talk(f"{len(content['runs'])} runs, {sum(p.stat().st_size for p in written) / 2**10:,.0f} KiB")
