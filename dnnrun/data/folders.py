"""Folders of images: which files are images, and which class each is of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dnnrun.data.finding import natural
from dnnrun.data.image import SUFFIXES
from dnnrun.errors import DataError

SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
CLUTTER = ("thumbs.db", "desktop.ini")  # what file browsers leave behind; so are names that begin with a dot


@dataclass(frozen=True)
class Labelled:
    """Files in their order, and the class of each, None where the folder has no classes."""

    paths: list[Path]
    classes: list[str] | None


def splits_of(root: Path) -> dict[str, Path]:
    """The folders of the splits inside `root`, by split; `root` itself for train where it holds classes.

    Raises DataError where there are folders of splits and others, or two of one split.
    """
    folders = [entry for entry in _entries(root) if entry.is_dir()]
    if not any(entry.name.lower() == "train" for entry in folders):
        return {"train": root}
    found: dict[str, Path] = {}
    for entry in folders:
        split = SPLITS.get(entry.name.lower())
        if split is None or split in found:
            raise DataError(
                f"{entry}: stands beside {root / 'train'}; wanted only train, validation and test there, or one folder "
                "a class"
            )
        found[split] = entry
    return found


def by_class(root: Path) -> Labelled:
    """The images of `root`/CLASS/, classes and files by name. Raises DataError for anything else that is there."""
    paths: list[Path] = []
    classes: list[str] = []
    for folder in _entries(root):
        if not folder.is_dir():
            raise DataError(f"{folder}: a file beside the folders of the classes; move it into one, or away")
        inside = _images(folder)
        if not inside:
            raise DataError(f"{folder}: no image in it; remove the folder, or fill it")
        paths += inside
        classes += [folder.name] * len(inside)
    if not paths:
        raise DataError(f"{root}: nothing in it; wanted a folder a class, with images")
    return Labelled(paths, classes)


def mixed(found: Labelled) -> Labelled:
    """The same files with their classes mixed in proportion, so that the first N are of all of them."""
    assert found.classes is not None
    sizes, seen, places = Counter(found.classes), Counter[str](), []
    for number, name in enumerate(found.classes):
        places.append(((seen[name] + 0.5) / sizes[name], name, number))
        seen[name] += 1
    order = [number for _, _, number in sorted(places)]
    return Labelled([found.paths[number] for number in order], [found.classes[number] for number in order])


def inside(root: Path) -> Labelled:
    """The images of a folder: all with a class each where it holds folders, else without."""
    if any(entry.is_dir() for entry in _entries(root)):
        return by_class(root)
    if not (paths := _images(root)):
        raise DataError(f"{root}: no image in it; wanted {', '.join(SUFFIXES)}")
    return Labelled(paths, None)


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
