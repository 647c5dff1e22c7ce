"""Small tables that come with scikit-learn: no download, no wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from dnnrun.data.bundled import ADVICE, bundled
from dnnrun.data.source import Places, Raw, Rows, Source, TaskName
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np


class _Embedded(Source):
    """What the tables have in common. `files` are their files in scikit-learn with the sha256 of each one's text."""

    task: ClassVar[TaskName | None] = "classification"
    files: ClassVar[dict[str, str]]
    shape: ClassVar[tuple[int, int]]  # rows, columns with the last one to be told
    classes: ClassVar[tuple[str, ...]] = ()
    targets: ClassVar[tuple[str, ...]] = ()

    test: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.2, description="the fraction of rows that is the test split, the same whatever the seed; 0 for none"
    )
    draw: int = Field(default=0, ge=0, description="which draw of the test rows: another number, other rows")

    def read(self, places: Places) -> Raw:
        """Features float32, and labels int32 or one target (rows, 1) float32. Raises DataError for a missing file."""
        import hashlib

        import numpy as np

        from dnnrun.data.split import split_rows

        name = type(self).model_fields["type"].default
        table = np.concatenate([self._numbers(name, file, sha) for file, sha in self.files.items()], axis=1)
        if table.shape != self.shape:
            raise DataError(f"{name}: scikit-learn's table is {table.shape[0]} x {table.shape[1]}; {ADVICE}")
        told = table[:, -1].astype(np.int32) if self.classes else table[:, -1:].astype(np.float32)
        train, test = split_rows(told if self.classes else np.zeros(len(table)), self.test, self.draw)
        train, test = np.sort(train), np.sort(test)

        def rows(numbers: np.ndarray) -> Rows:
            return Rows(table[numbers, :-1].astype(np.float32), told[numbers])

        return Raw(
            train=rows(train),
            test=rows(test) if len(test) else None,
            classes=self.classes,
            image=None,
            largest=1.0,
            fingerprint=hashlib.sha256("".join(self.files.values()).encode()).hexdigest(),
            task=self.task or "classification",
            targets=self.targets,
        )

    def _numbers(self, name: str, file: str, wanted: str) -> np.ndarray:
        """The numbers of a file, (rows, columns) float64, without the first line of a .csv, which names them."""
        import hashlib
        import re

        import numpy as np

        path, text = bundled(name, file)
        found = hashlib.sha256(text).hexdigest()
        if found != wanted:
            raise DataError(f"{name}: {path} has another content (sha256 {found}, wanted {wanted}); {ADVICE}")
        lines = [re.split(r"[,\s]+", line.strip()) for line in text.decode("ascii").splitlines() if line.strip()]
        return np.array(lines[1:] if file.endswith(".csv") else lines, np.float64)


class BreastCancer(_Embedded):
    """569 tumours by 30 measures of their cells' nuclei, malignant or benign; inside scikit-learn."""

    type: Literal["breast_cancer"] = "breast_cancer"
    files: ClassVar[dict[str, str]] = {
        "breast_cancer.csv": "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed"
    }
    shape: ClassVar[tuple[int, int]] = (569, 31)
    classes: ClassVar[tuple[str, ...]] = ("malignant", "benign")


class Wine(_Embedded):
    """178 wines of three growers by 13 chemical measures; inside scikit-learn."""

    type: Literal["wine"] = "wine"
    files: ClassVar[dict[str, str]] = {
        "wine_data.csv": "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede"
    }
    shape: ClassVar[tuple[int, int]] = (178, 14)
    classes: ClassVar[tuple[str, ...]] = ("class_0", "class_1", "class_2")


class Iris(_Embedded):
    """150 irises of three species by the length and width of sepals and petals; inside scikit-learn."""

    type: Literal["iris"] = "iris"
    files: ClassVar[dict[str, str]] = {"iris.csv": "f13ffa8fdd56fd8e6c8d16d4081a3fbd3114bcd0aae4256c43205169cd9d1449"}
    shape: ClassVar[tuple[int, int]] = (150, 5)
    classes: ClassVar[tuple[str, ...]] = ("setosa", "versicolor", "virginica")


class Diabetes(_Embedded):
    """442 patients by 10 measures, and how far their disease went on in a year, a number: a regression; inside
    scikit-learn."""

    type: Literal["diabetes"] = "diabetes"
    task: ClassVar[TaskName | None] = "regression"
    files: ClassVar[dict[str, str]] = {
        "diabetes_data_raw.csv.gz": "86badf50b4f9436ddd1e497dc0ae1b93166f8120221ee7dca4634fe849f3be7c",
        "diabetes_target.csv.gz": "244713a551f62a291a354212d8a048adec6cb1244b2bc44e66a0698f5006d26d",
    }
    shape: ClassVar[tuple[int, int]] = (442, 11)
    targets: ClassVar[tuple[str, ...]] = ("progression",)
