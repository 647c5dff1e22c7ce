"""Where the zoo is, and the folder of a model in it: `zoo:NAME` means a checkpoint like any other."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dnnrun.errors import ZooError

PREFIX = "zoo:"
NAME = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,63}")


def zoo_folder() -> Path:
    """DNNRUN_ZOO, else dnnrun/zoo in the user's data folder (XDG_DATA_HOME, ~/.local/share)."""
    if own := os.environ.get("DNNRUN_ZOO"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_DATA_HOME", "")
    return (Path(shared) if os.path.isabs(shared) else Path.home() / ".local" / "share") / "dnnrun" / "zoo"


def check_name(name: str) -> str:
    """The name again. Raises ZooError where no model can be called so."""
    if not NAME.fullmatch(name):
        raise ZooError(
            f"{name!r} is no name of a model; wanted up to 64 of a-z, 0-9, '.', '_' and '-', the first no '.'"
        )
    return name


def model_folder(name: str, zoo: Path | None = None) -> Path:
    """The folder of a model. Raises ZooError where there is none, or a link stands in its place or in it."""
    zoo = zoo or zoo_folder()
    folder = zoo / check_name(name)
    if folder.is_symlink():
        raise ZooError(f"{folder}: a symbolic link, and the zoo follows none; add the model itself")
    if not folder.is_dir():
        there = sorted(path.name for path in zoo.iterdir() if path.is_dir()) if zoo.is_dir() else []
        names = [entry for entry in there if NAME.fullmatch(entry)]
        raise ZooError(f"{zoo}: has no model {name!r}; there: {', '.join(names[:12]) or 'none yet'}")
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_file():
            raise ZooError(f"{path}: not a plain file; remove the model and add it again")
    return folder
