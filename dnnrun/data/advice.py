"""What to begin with on a table: layers and training for so many rows, as `dnnrun new` writes them into a spec.

Chosen by benchmarks/advice.py on made-up tables of many kinds; benchmarks/tabular.py then compares it with
scikit-learn's on tables that had no say in it.
"""

from __future__ import annotations

import math
from typing import Any

SMALL = 5_000  # rows: below, layers are small and held back hard; a validation set is too small to stop by
FEW = 1_000  # rows: below, whether a network is of use at all is a question; of more so many answer it
CHANCE, SURE = 1.0, 2.0  # standard errors: a gain up to the first one is taken for none
LARGE = 50_000
VALIDATING = 1_000  # rows that choose the best epoch well enough; a tenth of all where that is less
STEPS = 600  # at least, on few rows


def advised(rows: int, gain: float = math.inf) -> dict[str, Any]:
    """The sections `data` (without a source), `model`, `train` and `eval` of a spec for so many rows, the test's apart.

    The rate falls along half a cosine, dropout is light and l2 strong. On few rows the number of epochs is fixed and
    no row validates: a few dozen would stop a run by chance, and are worth more to learn from. `gain`: what smooth
    functions tell more of them than linear ones, in standard errors. Below 1,000 rows a network that is held back until
    it is nearly linear learns less noise where there is none, and half as hard where it may be chance; from there on
    it is held back where smooth functions tell less.
    """
    rate = {"type": "cosine", "initial": 0.003}
    held = straight(rows, gain)
    if rows < SMALL:
        activation = "elu" if held or (rows < FEW and gain <= SURE) else "relu"
        l2 = 0.03 if held and rows < FEW else 0.01
        model: dict[str, Any] = {"hidden": [100, 100], "dropout": 0.2, "activation": activation}
        batch = max(1, min(32, rows // 2))
        epochs = max(100, STEPS // max(1, rows // batch))
        train: dict[str, Any] = {"batch_size": batch, "epochs": epochs, "l2": l2}
    else:
        model = {"hidden": [256, 128], "dropout": 0.1, **({"activation": "elu"} if held else {})}
        batch, epochs, patience = (64, 50, 25) if rows < LARGE else (256, 30, 8)
        l2 = 0.003 if held else 0.001
        train = {"batch_size": batch, "epochs": epochs, "l2": l2, "early_stopping": {"patience": patience}}
    return {
        "data": {"validation": 0 if rows < SMALL else round(min(0.1, max(0.02, VALIDATING / rows)), 2)},
        "model": model,
        "train": {"optimizer": {"type": "adam", "learning_rate": rate}, **train},
        "eval": {"baseline": True},
    }


def straight(rows: int, gain: float) -> bool:
    """Whether so many rows are taken for straight: where no bend is shown, where there are many only if it costs."""
    return gain <= CHANCE if rows < FEW else gain < -CHANCE
