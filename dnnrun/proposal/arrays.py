"""A spec for arrays in an .npz file, or for a folder of images by class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.advice import advised
from dnnrun.data.arrays import Image
from dnnrun.data.source import Places, TaskName
from dnnrun.errors import DataError
from dnnrun.proposal.bending import gain_of, shown
from dnnrun.proposal.text import Called, Proposal, listed, recipe, scalar, task_line, told

FEATURES, LABELS = (
    ("x", "x_train", "features", "data", "images", "inputs"),
    ("y", "y_train", "labels", "target", "targets"),
)
TEST = {"x_test": "y_test", "test_features": "test_labels", "test_images": "test_labels"}
UNTESTED = 0.2  # of the rows validate where nothing tests
WIDEST, PROBED = 64, 200  # pixels of a side that layers of all pixels learn from; images looked at before training


def of_arrays(
    path: str, file: Path, targets: Sequence[str], called: Called, task: TaskName | None, places: Places
) -> Proposal:
    """A spec for the arrays of an .npz file; the one with the labels is `targets`, or known by its name."""
    from dnnrun.data.npy import Archive
    from dnnrun.data.source.npz import Npz
    from dnnrun.data.task import as_task

    given = Archive(file).names
    if len(targets) > 1:
        raise DataError(f"{path}: --target {' --target '.join(targets)}: wanted one array; its columns are the targets")
    names = _by_lower_case(given)
    labels = targets[0] if targets and targets[0] in given else _known(names, targets or LABELS)
    if labels is None:
        told_by = f"no array {targets[0]!r}" if targets else "no array of labels that is known by its name"
        raise DataError(f"{path}: {told_by}; say which one it is with --target, of {listed(given) or 'none'}")
    others = [one for one in given if one != labels]
    features = others[0] if len(others) == 1 else _known(_by_lower_case(others), FEATURES)
    if features is None:
        raise DataError(f"{path}: no array of features that is known by its name; call one of {listed(others)} x")
    options: dict[str, Any] = {"features": features, "labels": labels}
    for test, test_labels in TEST.items():
        if test in names and test_labels in names:
            options |= {"test_features": names[test], "test_labels": names[test_labels]}
            break
    unused = [one for one in given if one not in options.values()]
    raw = as_task(Npz(path=path, **options).read(places), task)
    rows, width = raw.train.features.shape
    shape = "x".join(map(str, raw.image)) if raw.image else f"{width} numbers"
    found = None if raw.image else shown(raw)
    gain = math.inf if raw.image else gain_of(found)
    sections = _sections(advised(rows, gain), raw.image, "test_features" in options)
    called, what = called.by(path), told(raw.task, raw.classes or raw.targets, raw.train.labels)
    lines = [
        f"# {path}: {rows:,} rows of {shape}. Predicts {labels}: {what}",
        *called.lines(),
        "data:",
        "  source:",
        "    type: npz",
        f"    path: {scalar(path)}",
        *(f"    {key}: {scalar(value)}" for key, value in options.items()),
        *([f"    # not used: {listed(unused)}"] if unused else []),
        *(
            []
            if "test_features" in options
            else ["    # test: FILE.npz  # arrays of the same names, touched at the end"]
        ),
        task_line(raw.task, task),
        *(_pixels(raw.image) if raw.image else ["  scale: standardize"]),
        *recipe(sections, raw.task, raw.train.labels, found),
    ]
    return Proposal("\n".join(lines) + "\n", called.run, raw.task, rows)


def of_images(path: str, root: Path, called: Called) -> Proposal:
    """A spec for a folder of images by class, by what the first images of every class are like."""
    from dnnrun.data.folders import by_class, mixed, splits_of

    splits = splits_of(root)
    found = mixed(by_class(splits["train"]))
    assert found.classes is not None
    known, labels = np.unique(found.classes, return_inverse=True)
    classes = known.tolist()
    if len(classes) < 2:
        raise DataError(f"{splits['train']}: one class, {classes[0]!r}; wanted a folder for each of two or more")
    options, shape, image = _looked_at(found.paths)
    sections = _sections(advised(len(labels)), image, "test" in splits)
    called = called.by(str(root.resolve()))
    lines = [
        f"# {path}: {len(labels):,} images, {shape}. Predicts the folder: {told('classification', classes, labels)}",
        *called.lines(),
        "data:",
        "  source:",
        "    type: images",
        f"    path: {scalar(path)}",
        *options,
        *(
            []
            if "test" in splits
            else ["    # no test images: move some of each class to PATH/test, the others to PATH/train"]
        ),
        *_pixels(image),
        *recipe(sections, "classification", labels),
    ]
    return Proposal("\n".join(lines) + "\n", called.run, "classification", len(labels))


def _by_lower_case(names: Sequence[str]) -> dict[str, str]:
    """The names by themselves whatever their case; of those that differ in it alone the one without capitals first."""
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name != name.lower()):
        found.setdefault(name.lower(), name)
    return found


def _known(names: dict[str, str], wanted: Sequence[str]) -> str | None:
    return next((names[name.lower()] for name in wanted if name.lower() in names), None)


def _looked_at(paths: Sequence[Path]) -> tuple[list[str], str, Image]:
    """What the source has to be told of images like the first ones, what they are, and what they become."""
    from dnnrun.data.image import GREY, bombs_are_errors, opened, upright_size

    sizes, grey, clear = Counter[tuple[int, int]](), set[bool](), False
    with bombs_are_errors():
        for path in paths[:PROBED]:
            with opened(path) as image:
                sizes[upright_size(image)] += 1
                grey.add(image.mode in GREY)
                clear = clear or image.has_transparency_data
    (height, width), _ = sizes.most_common(1)[0]
    shape = f"{height} x {width}" if len(sizes) == 1 else f"of {len(sizes)} sizes, most of them {height} x {width}"
    shape += " grey" if grey == {True} else " in colour" if grey == {False} else ", grey and in colour"
    lines, size = [], (height, width)
    if len(grey) > 1:
        lines.append("    mode: rgb  # some are in colour; grey would be enough where colour says nothing")
    if len(sizes) > 1 or max(height, width) > WIDEST:
        most = min(1.0, WIDEST / max(height, width))
        size = max(1, round(height * most)), max(1, round(width * most))
        lines.append(
            f"    size: {list(size)}  # height and width that all are brought to: larger ones want much more time"
        )
    if clear:
        lines.append("    background: white  # shows through transparent pixels; or black")
    return lines, shape, (*size, 1)


def _sections(sections: dict[str, Any], image: Image | None, tested: bool) -> dict[str, Any]:
    """The recipe of a table, with wider layers for images of which there are many; without a test, with validation."""
    if image and sections["data"]["validation"]:
        sections["model"] = {**sections["model"], "hidden": [300, 100]}
    elif not tested:
        sections["data"]["validation"] = UNTESTED
    return sections


def _pixels(image: Image) -> list[str]:
    by = max(1, round(min(image[:2]) / 14))
    return [
        "  scale: unit",
        f"  # augment: {{shift: {by}}}  # moves every image by up to so many pixels in training: helps where no class "
        "changes by it",
    ]
