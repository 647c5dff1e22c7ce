"""What eval shows: a table of metrics with their intervals, one of the classes or targets, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnnrun.evaluation import Evaluation

WIDEST, LONGEST = 12, 40  # classes of a confusion matrix, and of a table, that are shown; --json has every one


def told(found: Evaluation) -> list[list[list[str]]]:
    """The tables, each as rows of cells, headings first."""
    lines = [["metric", "value", "95% interval"]]
    for name, value in found.metrics.items():
        interval = found.intervals.get(name)
        lines.append([name, _number(value), f"{_number(interval[0])} to {_number(interval[1])}" if interval else "-"])
    tables = [lines]
    if 1 < len(found.each) <= LONGEST:
        tables.append(_each(found))
    if found.confusion is not None and len(found.each) <= WIDEST:
        names = [str(entry["class"]) for entry in found.each]
        rows = [[name, *map(str, row)] for name, row in zip(names, found.confusion.tolist(), strict=True)]
        tables.append([["true \\ predicted", *names], *rows])
    if found.baseline:
        tables.append(beside({found.split: found.metrics}, found.baseline))
    return tables


def beside(metrics: Mapping[str, Mapping[str, float]], baseline: Mapping[str, Any]) -> list[list[str]]:
    """What the network and each baseline reached, by split, in what all of them are measured by."""
    from dnnrun.metric import chief

    splits = list(metrics)
    name = chief(metrics[splits[0]])
    lines = [["", *(f"{split} {name}" for split in splits)]]
    lines.append(["this network", *(_number(metrics[split][name]) for split in splits)])
    for model, entry in baseline.items():
        lines.append([model.replace("_", " "), *(_number(entry["metrics"][split][name]) for split in splits)])
    return lines


def _each(found: Evaluation) -> list[list[str]]:
    first: Mapping[str, Any] = found.each[0]
    keys = [key for key in first if key != "intervals"]
    return [keys, *([_cell(entry.get(key, "-")) for key in keys] for entry in found.each)]


def _cell(value: Any) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"
