"""The user's own files by path, by several paths, or by a pattern."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from dnnrun.data.source import Places
from dnnrun.errors import DataError

Paths = str | Sequence[str]


def find(path: str, places: Places) -> Path:
    """The file or folder that a spec names: from the current folder, else from those where data is looked for.

    Raises DataError where there is none.
    """
    named = Path(path).expanduser()
    if named.exists():
        return named
    if not named.is_absolute():
        for folder in places.folders:
            if (there := folder / named).exists():
                return there
    raise DataError(f"{path}: not found{_near(named)}; correct the path{_looked(named, places)}")


def find_all(paths: Paths, places: Places) -> list[Path]:
    """The files that `paths` names, in its order; those of a pattern (`part-*.npz`) by name, part-10 after part-9.

    Raises DataError where one is missing, or no file fits a pattern.
    """
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str) else paths:
        if glob.has_magic(path) and not Path(path).expanduser().exists():
            found += _matching(path, places)
        else:
            found.append(find(path, places))
    return found


def _matching(pattern: str, places: Places) -> list[Path]:
    named = Path(pattern).expanduser()
    folders = () if named.is_absolute() else places.folders
    for place in (named, *(folder / named for folder in folders)):
        if there := sorted(glob.glob(str(place), recursive=True), key=natural):
            return [Path(path) for path in there]
    raise DataError(f"{pattern}: no file fits this pattern; correct it{_looked(named, places)}")


def natural(name: str) -> list[tuple[int, int | str]]:
    """A key that sorts part-10 after part-9."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]


def _near(path: Path) -> str:
    """What stands where the path leads, of the same kind."""
    if not path.parent.is_dir():
        return ""
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix == path.suffix)[:8]
    return f" ({path.parent} has {', '.join(names)})" if names else ""


def _looked(path: Path, places: Places) -> str:
    folders = () if path.is_absolute() else places.folders
    return f"; looked for in {', '.join(map(str, (Path.cwd(), *folders)))}" if folders else ""
