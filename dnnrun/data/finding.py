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
    if (found := there(path, places)) is None:
        named = Path(path).expanduser()
        raise DataError(f"{path}: not found{_near(named)}; correct the path{_looked(named, places)}")
    return found


def there(path: str, places: Places) -> Path | None:
    """The same, None where there is none."""
    return next(filter(Path.exists, _candidates(path, places)), None)


def find_all(paths: Paths, places: Places) -> list[Path]:
    """The files that `paths` names, in its order; those of a pattern (`part-*.npz`) by name, part-10 after part-9.

    Raises DataError where one is missing or no file, or no file fits a pattern.
    """
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str) else paths:
        candidates = _candidates(path, places)
        if file := next(filter(Path.is_file, candidates), None):
            found.append(file)
        elif glob.has_magic(path):
            found += _matching(path, candidates, places)
        else:
            what = "a folder" if find(path, places).is_dir() else "no plain file"
            raise DataError(f"{path}: this is {what}, wanted a file; name its files, as {path}/*")
    return found


def _candidates(path: str, places: Places) -> list[Path]:
    """Where a path may lead."""
    named = Path(path).expanduser()
    return [named] if named.is_absolute() else [named, *(folder / named for folder in places.folders)]


def _matching(pattern: str, candidates: Sequence[Path], places: Places) -> list[Path]:
    for candidate in candidates:
        names = sorted(glob.glob(str(candidate), recursive=True), key=natural)
        if fitting := [Path(name) for name in names if Path(name).is_file()]:
            return fitting
    looked = _looked(candidates[0], places)
    raise DataError(f"{pattern}: no file fits this pattern; correct it{looked}")


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
