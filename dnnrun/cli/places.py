"""Where things are: run folders, data, caches; from options, then the environment, then defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dnnrun.data.source import Places
    from dnnrun.watch import Watcher

RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="DNNRUN_RUNS", help="Where runs are kept.", show_default=True)
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where data files are looked for first; then DNNRUN_DATA_DIR, then the cache."),
]


def places(data_dir: Path | None, watcher: Watcher | None = None) -> Places:
    """Where a source looks for its files."""
    from dnnrun.data.download import data_folders, default_cache
    from dnnrun.data.source import Places

    folders = ((data_dir,) if data_dir else ()) + data_folders()
    return Places(folders, default_cache(), watcher.download if watcher else None)


def compile_cache() -> Path | None:
    """The folder of compiled code; `DNNRUN_COMPILE_CACHE=off` goes without, another value is the folder."""
    from dnnrun.data.download import default_cache

    named = os.environ.get("DNNRUN_COMPILE_CACHE")
    if named == "off":
        return None
    return Path(named) if named else default_cache() / "compiled"
