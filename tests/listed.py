"""Run directories without training: what a listing reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dnnrun.store.run import RunDirectory, create


def make(runs: Path, name: str, status: str = "done", accuracy: float = 0.9, **meta: Any) -> RunDirectory:
    result = {
        "epochs": 3,
        "steps": 30,
        "metrics": {"validation": {"loss": 1 - accuracy, "accuracy": accuracy}},
        "timing": {"examples_per_s": 1000.0, "total_s": 2.0},
        "parameters": {"trainable": 10, "frozen": 2},
    }
    about = {"status": status, "name": name, **({"result": result} if status == "done" else {}), **meta}
    return create(runs, name, "name: x\n", about)
