"""A table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dnnrun import files
from dnnrun.store import events
from dnnrun.track import About, Tracker, Tracking, scalars

COLUMNS = (
    "epoch", "step", "learning_rate", "train/loss", "train/accuracy", "validation/loss", "validation/accuracy",
    "examples_per_s",
)  # fmt: skip


class Csv(Tracker):
    """A row an epoch in metrics.csv in the run directory."""

    type: Literal["csv"] = "csv"

    def begin(self, about: About) -> Tracking:
        return _Table(about.run)


class _Table(Tracking):
    def __init__(self, run: Path):
        self.path = run / "metrics.csv"
        done = [event for event in events.read(run / "metrics.jsonl") if event["event"] == "epoch"]
        files.write_atomic(self.path, _lines([list(COLUMNS), *map(_row, done)]))

    def epoch(self, record: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        files.append(self.path, _lines([_row(record)]))


def _row(record: Mapping[str, Any]) -> list[Any]:
    found = {**scalars(record), "epoch": record["epoch"], "step": record["step"]}
    return [found.get(column, "") for column in COLUMNS]


def _lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
