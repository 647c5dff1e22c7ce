"""A spec for data that nobody has described yet: looks at the file, chooses, and says why in comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dnnrun.component import members
from dnnrun.data.finding import find, find_all, there
from dnnrun.data.image import SUFFIXES
from dnnrun.data.inputs import is_idx
from dnnrun.data.source import Places, Source, TaskName
from dnnrun.errors import DataError
from dnnrun.proposal.arrays import of_arrays, of_images
from dnnrun.proposal.table import of_table
from dnnrun.proposal.text import Called, Proposal

__all__ = ["Proposal", "propose"]


def propose(
    path: str,
    targets: Sequence[str] = (),
    *,
    name: str | None = None,
    file: str | None = None,
    task: TaskName | None = None,
    row_id: str | None = None,
    ignore: Sequence[str] = (),
    weights: str | None = None,
    test: str | None = None,
    overrides: Sequence[str] = (),
    places: Places | None = None,
) -> Proposal:
    """A spec for a table that predicts the columns `targets`, for .npz files, or for images by class.

    `path` is a file, a pattern, or a folder, looked for in `places` too.

    `name` is what the spec calls itself; unset, its runs are called like the file that it is saved to, `file` without
    its ending. `row_id` and `weights` are columns of a table, `test` is a file of its test rows: unset, a fifth of the
    rows is kept for the test. `overrides` say how the files of a table are written, as data.source.encoding=cp1252.
    Raises SpecError for these, DataError for a file that cannot be read, a column that is not there, an option that is
    not of this kind of data, or a target that cannot be learned.
    """
    places, called = places or Places(), Called(name, file)
    suffix, place = Path(path).suffix.lower(), there(path, places)
    folder = place is not None and place.is_dir()
    if not folder and suffix not in (".npz", ".npy"):
        _want_table(path, place)
        columns = {"row_id": row_id, "ignore": ignore, "weights": weights, "test": test, "overrides": overrides}
        return of_table(path, targets, called=called, task=task, places=places, **columns)  # type: ignore[arg-type]
    given = {"--id": row_id, "--ignore": ignore, "--weights": weights, "--test": test}
    given |= {text: text for text in overrides}
    if folder:
        given |= {"--target": targets, "--task": task}
    for option, value in given.items():
        if value:
            what = "a folder of images" if folder else "a file of arrays"
            raise DataError(f"{option}: of a table alone, and {path} is {what}; leave it out")
    if folder:
        return of_images(path, find(path, places), called)
    first = find_all(path, places)[0]
    if suffix == ".npy":
        raise DataError(
            f"{path}: one array, and a spec wants labels too; save both as numpy.savez('data.npz', x=x, y=y)"
        )
    return of_arrays(path, first, targets, called, task, places)


def _want_table(path: str, place: Path | None) -> None:
    """Raise DataError where a path leads to something else than a table, with what to do."""
    source = members(Source).get(path)
    if place is None and source is not None and not any(field.is_required() for field in source.model_fields.values()):
        raise DataError(
            f"{path}: no file, but a source that is known by its name; write a spec with data: {{source: {path}}}, or "
            "begin with one of dnnrun ls configs"
        )
    if place is not None and place.suffix.lower() in SUFFIXES:
        raise DataError(f"{path}: one image; wanted a folder that holds a folder of images for each class")
    if place is not None and is_idx(place):
        raise DataError(
            f"{path}: one IDX file, and a spec wants labels too; write "
            f"data: {{source: {{type: idx, features: {path}, labels: FILE}}}}"
        )
