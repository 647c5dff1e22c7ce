"""What to begin with on a table: layers and training for so many rows, as `dnnrun new` writes them into a spec.

Those for fewer than 5,000 rows come from benchmarks/tabular.py, which compares them with scikit-learn's.
"""

from __future__ import annotations

from typing import Any

from dnnrun.data.source import TaskName

SMALL = 5_000  # training rows: below, layers are small and held back hard; a validation set is too small to stop by
LARGE = 50_000
STEPS = 600  # at least, on few rows


def advised(rows: int, task: TaskName) -> dict[str, Any]:
    """The sections `model`, `train` and `eval` of a spec for so many training rows of a table.

    Few rows: dropout of a half, an l2 penalty and a fixed number of epochs. Stopping early by a few dozen validation
    rows stops by chance; it begins where there are rows for it.
    """
    if rows < SMALL:
        if task == "regression":
            model: dict[str, Any] = {"hidden": [100], "activation": "elu", "dropout": 0.5}
        else:
            model = {"hidden": [100, 100], "dropout": 0.5}
        batch = max(1, min(32, rows // 2))
        epochs = max(100, STEPS // max(1, rows // batch))
        train: dict[str, Any] = {
            "batch_size": batch,
            "epochs": epochs,
            "l2": 0.003 if task == "regression" else 0.001,
        }
    else:
        model = {"hidden": [256, 128], "dropout": 0.2}
        batch = 128 if rows < LARGE else 256
        train = {"batch_size": batch, "epochs": 50, "early_stopping": {"patience": 8}}
    return {
        "model": model,
        "train": {"optimizer": {"type": "adam", "learning_rate": 0.001}, **train},
        "eval": {"baseline": True},
    }
