"""The options that say where things are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="DNNRUN_RUNS", help="Where runs are kept.", show_default=True)
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where data files are looked for first; then DNNRUN_DATA_DIR, then the cache."),
]
