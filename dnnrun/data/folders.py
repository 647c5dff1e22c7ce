"""Folders of images: which files are images, and which class each is of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.finding import natural
from dnnrun.data.image import SUFFIXES
from dnnrun.data.split import ranks
from dnnrun.errors import DataError

SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
CLUTTER = ("thumbs.db", "desktop.ini")  # what file browsers leave behind; so are names that begin with a dot


class Files(Sequence[Path]):
    """The paths of `names`, each in the folder whose number `places` has: a Path of every one would take 500 bytes."""

    def __init__(self, folders: Sequence[Path], names: list[str], places: np.ndarray):
        self.folders, self.names, self.places = folders, names, places

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        return self.folders[int(self.places[at])] / self.names[at]

    def ordered(self, order: np.ndarray) -> Files:
        """The same files in another order."""
        return Files(self.folders, [self.names[number] for number in order.tolist()], self.places[order])


@dataclass(frozen=True)
class Labelled:
    """Files in their order, and the class of each, None where the folder has no classes."""

    paths: Files
    classes: np.ndarray | None


def splits_of(root: Path) -> dict[str, Path]:
    """The folders of the splits inside `root`, by split; `root` itself for train where it holds classes.

    Raises DataError where anything else stands beside train, or two folders of one split.
    """
    entries = _entries(root)
    if not any(entry.name.lower() == "train" and entry.is_dir() for entry in entries):
        return {"train": root}
    found: dict[str, Path] = {}
    for entry in entries:
        split = SPLITS.get(entry.name.lower())
        if split is None or split in found or not entry.is_dir():
            raise DataError(
                f"{entry}: stands beside {root / 'train'}; wanted only train, validation and test there, or one folder "
                "a class"
            )
        found[split] = entry
    return found


def by_class(root: Path) -> Labelled:
    """The images of `root`/CLASS/, classes and files by name. Raises DataError for anything else that is there."""
    folders = _entries(root)
    names: list[str] = []
    counts: list[int] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: a file beside the folders of the classes; move it into one, or away")
        inside = _images(folder)
        if not inside:
            raise DataError(f"{folder}: no image in it; remove the folder, or fill it")
        names += [path.name for path in inside]
        counts.append(len(inside))
    if not names:
        raise DataError(f"{root}: nothing in it; wanted a folder a class, with images")
    places = np.repeat(np.arange(len(folders), dtype=np.int32), counts)
    return Labelled(Files(folders, names, places), np.array([folder.name for folder in folders])[places])


def mixed(found: Labelled) -> Labelled:
    """The same files with their classes mixed in proportion, so that the first N are of all of them."""
    assert found.classes is not None
    _, kinds, sizes = np.unique(found.classes, return_inverse=True, return_counts=True)
    order = np.lexsort((kinds, (ranks(kinds) + 0.5) / sizes[kinds]))
    return Labelled(found.paths.ordered(order), found.classes[order])


def inside(root: Path) -> Labelled:
    """The images of a folder: all with a class each where it holds folders, else without."""
    if any(entry.is_dir() for entry in _entries(root)):
        return by_class(root)
    if not (paths := _images(root)):
        raise DataError(f"{root}: no image in it; wanted {', '.join(SUFFIXES)}")
    return Labelled(Files([root], [path.name for path in paths], np.zeros(len(paths), np.int32)), None)


def holds_images(root: Path) -> bool:
    """Whether `root` is a folder of images, or of folders of images, by what it holds first."""
    for entry in _entries(root):
        if not entry.is_dir():
            return entry.suffix.lower() in SUFFIXES
        if any(inner.suffix.lower() in SUFFIXES for inner in _entries(entry)):
            return True
    return False


def _images(folder: Path) -> list[Path]:
    found = []
    for entry in _entries(folder):
        if entry.is_dir():
            raise DataError(f"{entry}: a folder inside that of a class; wanted images alone")
        if entry.suffix.lower() not in SUFFIXES:
            raise DataError(f"{entry}: no image by its name; wanted {', '.join(SUFFIXES)}: move it away")
        found.append(entry)
    return found


def _entries(folder: Path) -> list[Path]:
    return sorted(_visible(folder), key=lambda entry: natural(entry.name))


def _visible(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.lower() not in CLUTTER:
                    yield Path(entry.path)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); wanted a folder of images") from None
