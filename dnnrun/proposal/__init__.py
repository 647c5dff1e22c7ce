"""A spec for data that nobody has described yet: looks at the file, chooses, and says why in comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dnnrun.data.finding import find
from dnnrun.data.source import Places, TaskName
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
    """A spec for a table (a file or a pattern) that predicts the columns `targets`, an .npz file, or images by class.

    `name` is what the spec calls itself; unset, its runs are called like the file that it is saved to, `file` without
    its ending. `row_id` and `weights` are columns of a table, `test` is a file of its test rows: unset, a fifth of the
    rows is kept for the test. `overrides` say how the files of a table are written, as data.source.encoding=cp1252.
    Raises SpecError for these, DataError for a file that cannot be read, a column that is not there, an option that is
    not of this kind of data, or a target that cannot be learned.
    """
    places, called = places or Places(), Called(name, file)
    suffix = Path(path).suffix.lower()
    folder = Path(path).exists() and Path(path).is_dir()
    if not folder and suffix not in (".npz", ".npy"):
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
    if suffix == ".npy":
        raise DataError(
            f"{path}: one array, and a spec wants labels too; save both as numpy.savez('data.npz', x=x, y=y)"
        )
    return of_arrays(path, find(path, places), targets, called, task, places)
