"""How a spec that is proposed is written: values on one line, lists of names, the recipe with its comments."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.source import TaskName
from dnnrun.proposal.bending import Bending

FEW = 20  # names in a comment
UNEVEN = 5  # times as many rows of the most frequent class as of the rarest
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "none", "y", "n"}


@dataclass(frozen=True)
class Called:
    """The `name` that a spec states, if any, and that of its `file`, without the ending, where that is known.

    Runs of a spec that states none are called like its file.
    """

    name: str | None = None
    file: str | None = None

    def by(self, path: str) -> Called:
        """The same, its file called like the data at `path` where its name is not known."""
        return Called(self.name, self.file or self.name or name_of(path))

    @property
    def run(self) -> str:
        return self.name or name_of(f"{self.file}.yaml")

    def lines(self) -> list[str]:
        """What comes next, as comments, and the name where one is stated."""
        file = shlex.quote(f"{self.file}.yaml")
        return [
            "#",
            f"# saved as {file}{'' if self.name else ', which its runs are called after'}:",
            f"# dnnrun train {file}",
            f"# dnnrun eval runs/{self.run} ; dnnrun predict runs/{self.run} NEW-ROWS -o predictions.csv",
            *([] if self.name is None else [f"name: {scalar(self.name)}"]),
        ]


@dataclass(frozen=True)
class Proposal:
    """A spec as text, and what was found on the way. `rows` are those of the file, `features` the columns used.

    `name` is that of its runs, where it is saved as its comments have it.
    """

    text: str
    name: str
    task: TaskName
    rows: int
    features: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    suspicious: tuple[str, ...] = ()


def told(task: TaskName, names: Sequence[str], labels: np.ndarray) -> str:
    """What is predicted: class numbers (rows,) of the classes `names`, or (rows, targets) of the targets `names`."""
    if task == "regression":
        if len(names) > 1:
            return f"regression of {len(names)} numbers"
        return f"regression, {labels.min():.6g} to {labels.max():.6g}, mean {labels.mean():.6g}"
    if task == "multilabel":
        return f"{len(names)} labels a row, of which {labels.mean() * len(names):.2g} hold"
    counts = np.bincount(labels, minlength=len(names))
    parts = [f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)]
    return f"{len(names)} classes: {listed(parts)}"


def task_line(task: TaskName, stated: TaskName | None) -> str:
    because = "as stated" if stated else "read off the target's values; change it where that is wrong"
    return f"  task: {task}  # {because}"


def recipe(sections: dict[str, Any], task: TaskName, labels: np.ndarray, bending: Bending | None = None) -> list[str]:
    """The lines from `validation` on: how many rows choose, the network, and how it is trained."""
    comments = _comments(sections, bending)

    def line(key: str, value: Any) -> str:
        return f"  {key}: {flow(value)}" + (f"  # {comments[key]}" if key in comments else "")

    lines = [line(key, value) for key, value in sections["data"].items()]
    for section, keys in sections.items():
        if section == "data":
            continue
        lines += [f"{section}:", *(line(key, value) for key, value in keys.items())]
        if section == "train" and task == "classification":
            counts = np.bincount(labels)
            if counts.min() * UNEVEN < counts.max():
                lines.append("  # class_weights: balanced  # where rare classes matter as much as frequent ones")
    return lines


def _comments(sections: dict[str, Any], bending: Bending | None) -> dict[str, str]:
    """By key of the recipe."""
    few, stops = not sections["data"]["validation"], "early_stopping" in sections["train"]
    if few:
        held = "few rows: all are learned from; 0.1 would show how far it overfits"
    else:
        held = (
            "of the other rows: chooses the best epoch" if stops else "shows what it is worth; nothing else does here"
        )
    comments = {
        "validation": held,
        "dropout": "holds the network back, as l2 does: raise both where it overfits, lower both where it underfits",
        "epochs": "at the end the best one's weights are taken" if stops else "too few rows to choose one by",
        "baseline": "beside the result: a constant, and a linear model",
    }
    return comments if bending is None else {**comments, "l2": str(bending)}


def flow(value: Any) -> str:
    """A value of the recipe as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


def name_of(path: str) -> str:
    stem = Path(path.replace("*", "")).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "table"


def scalar(text: str) -> str:
    """A text as YAML."""
    plain = PLAIN.fullmatch(text) and text.lower() not in RESERVED
    return text if plain else json.dumps(text, ensure_ascii=False)


def value_of(names: list[str]) -> str:
    return scalar(names[0]) if len(names) == 1 else f"[{', '.join(map(scalar, names))}]"


def listed(names: Sequence[str]) -> str:
    """Names on one line, the first ones of many, whatever they hold."""
    told = [re.sub(r"\s+", " ", name) for name in names[:FEW]]
    return ", ".join(told) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
