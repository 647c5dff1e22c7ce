"""The small digits that come with scikit-learn: no download, no wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from dnnrun.data.source import Places, Raw, Rows, Source, TaskName
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np

ROWS, SIDE, LARGEST = 1797, 8, 16
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # pixels down and right
SHA256 = "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"  # of the table as uint8, row by row


class Digits(Source):
    """1,797 handwritten digits of 8 x 8 pixels, inside scikit-learn: nothing to download.

    Neighbouring rows mostly come from one writer, so the test split is the last rows, not a random draw: other hands.
    With `nudged`, each row is followed by itself moved by one pixel up, down, left and right; the copies of a row are
    in the same split, but a validation fraction draws them one by one: take a number of rows, or 0.
    """

    type: Literal["digits"] = "digits"
    task: ClassVar[TaskName | None] = "classification"
    test: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.2, description="the fraction of rows, from the end, that is the test split; 0 for none"
    )

    hands: Literal["other", "same"] = Field(
        default="other", description="test rows from other writers (the last rows), or the same (spread evenly)"
    )
    nudged: bool = Field(default=False, description="five of each row: as it is, and moved by a pixel four ways")

    def read(self, places: Places) -> Raw:
        """Features (rows, 64) uint8 from 0 to 16, labels 0-9. Raises DataError where scikit-learn lacks the file."""
        table = _table()
        count = round(self.test * ROWS)
        if count >= ROWS:
            raise DataError(f"digits: test {self.test} of {ROWS:,} rows leaves no row to train on; take less")

        test = _spread(count) if self.hands == "same" else range(ROWS - count, ROWS)
        train = sorted(set(range(ROWS)) - set(test))

        def rows(numbers: Iterable[int]) -> Rows:
            chosen = table[list(numbers)]
            images, labels = chosen[:, :-1], chosen[:, -1].astype("int32")
            return Rows(_nudge(images), labels.repeat(1 + len(MOVES))) if self.nudged else Rows(images, labels)

        return Raw(
            train=rows(train),
            test=rows(test) if count else None,
            classes=tuple(str(digit) for digit in range(10)),
            image=(SIDE, SIDE, 1),
            largest=LARGEST,
            fingerprint=SHA256 + "nudged" * self.nudged,
        )


def _spread(count: int) -> list[int]:
    """Row numbers at even distances."""
    return [(2 * number + 1) * ROWS // (2 * count) for number in range(count)]


def _nudge(images: np.ndarray) -> np.ndarray:
    """Each row (64,) and its four copies moved by one pixel, (5 * rows, 64); what comes in from outside is 0."""
    import numpy as np

    whole = np.zeros((len(images), 1 + len(MOVES), SIDE, SIDE), images.dtype)
    padded = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    for number, (down, right) in enumerate(((0, 0), *MOVES)):
        whole[:, number] = padded[:, 1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE]
    return whole.reshape(-1, SIDE * SIDE)


def _table():
    """The rows, (1797, 65) uint8: pixels, then the label."""
    import hashlib

    import numpy as np

    from dnnrun.data.bundled import ADVICE, bundled

    path, text = bundled("digits", "digits.csv.gz", "they come")
    try:
        values = np.array(text.replace(b"\n", b",").rstrip(b",").split(b","), dtype="S3").astype(np.uint8)
    except ValueError as error:
        raise DataError(f"digits: {path} is no table of numbers ({error}); {ADVICE}") from error
    found = hashlib.sha256(values.tobytes()).hexdigest()
    if values.size != ROWS * (SIDE * SIDE + 1) or found != SHA256:
        raise DataError(f"digits: {path} has another content (sha256 {found}, wanted {SHA256}); {ADVICE}")
    return values.reshape(ROWS, SIDE * SIDE + 1)
