"""Where files are looked for and kept: what is said, then the environment, then the user's cache folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dnnrun import files
from dnnrun.data.source import Places
from dnnrun.errors import DataError, DnnrunError

Progress = Callable[[str, int, int | None], None]
Reading = Callable[[str, int, int], None]


def default_cache() -> Path:
    """Where downloads are kept: DNNRUN_CACHE, else dnnrun in XDG_CACHE_HOME, else ~/.cache/dnnrun."""
    if own := os.environ.get("DNNRUN_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if os.path.isabs(shared) else Path.home() / ".cache") / "dnnrun"


def compile_cache(warn: Callable[[str], None] | None = None) -> Path | None:
    """Where compiled code is kept: DNNRUN_COMPILE_CACHE (`off` for nowhere), else in the cache.

    None also where that folder cannot be written, which `warn` is told: each run then compiles anew.
    """
    named = os.environ.get("DNNRUN_COMPILE_CACHE")
    if named == "off":
        return None
    folder = Path(named).expanduser() if named else default_cache() / "compiled"
    if not (hindrance := _hindrance(folder)):
        return folder
    if warn:
        warn(f"compiled code is not kept: {hindrance}")
    return None


def _hindrance(folder: Path) -> str:
    try:
        files.make_folder(folder, exist_ok=True)
    except DnnrunError as error:
        return str(error)
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written; change its permissions"


def data_folders() -> tuple[Path, ...]:
    """The folders that DNNRUN_DATA_DIR names, separated as in PATH: searched before the cache."""
    named = os.environ.get("DNNRUN_DATA_DIR", "")
    return tuple(Path(folder).expanduser() for folder in named.split(os.pathsep) if folder)


def find_places(
    data_dir: str | Path | None = None, progress: Progress | None = None, reading: Reading | None = None
) -> Places:
    """Where a source looks for its files: `data_dir`, DNNRUN_DATA_DIR, the cache. Raises DataError for no folder."""
    said = () if data_dir is None else (Path(data_dir),)
    for folder in said:
        if not folder.is_dir():
            what = "a file" if folder.exists() else "not there"
            raise DataError(f"the data folder {folder} is {what}; wanted a folder")
    return Places(said + data_folders(), default_cache(), progress, reading)
