"""Which runs: conditions as `status=done` or `validation.accuracy>0.97`, an order, and removal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import DnnrunError, RunDirectoryError
from dnnrun.metric import MEASURED, higher_is_better
from dnnrun.store.index import Row
from dnnrun.store.run import RunDirectory, runs_of

PLAIN = ("name", "run", "status", "started", "seconds", "epochs", "steps", "examples_per_s", "parameters")
SPLITS = ("train", "validation", "test")
METRICS = tuple(dict.fromkeys(name for names in MEASURED.values() for name in names))
KEYS = (*PLAIN, *(f"{split}.{metric}" for split in SPLITS for metric in METRICS))
STATUSES = ("done", "running", "interrupted", "failed", "killed", "created", "unknown")
ASCENDING = ("name", "run", "status")  # what is no metric and has its first on top
COMPARE: dict[str, Callable[[Any, Any], bool]] = {">=": ge, "<=": le, ">": gt, "<": lt}


@dataclass(frozen=True)
class Condition:
    """`key` compared with `value`. Texts take = and != with the wildcards * and ?; numbers all six."""

    key: str
    operator: str
    value: str

    def holds(self, row: Row) -> bool:
        found = value_of(row, self.key)
        if found is None:
            return self.operator == "!="
        if self.operator in ("=", "!="):
            number = _number(self.value) if isinstance(found, int | float) else None
            same = found == number if number is not None else fnmatchcase(str(found), self.value)
            return same == (self.operator == "=")
        wanted = self.value if isinstance(found, str) else _number(self.value)
        return COMPARE[self.operator](found, wanted)


def condition(text: str) -> Condition:
    """The condition in a text. Raises DnnrunError with what was wanted."""
    match = re.fullmatch(r"\s*([\w.]+)\s*(!=|>=|<=|=|>|<)\s*(.+?)\s*", text)
    if not match:
        raise DnnrunError(f"filter {text!r}: wanted KEY=VALUE, as status=done or 'validation.accuracy>0.97'")
    key, operator, value = match.groups()
    known(key, f"filter {text!r}")
    if operator not in ("=", "!=") and key not in ("name", "run", "status", "started") and _number(value) is None:
        raise DnnrunError(f"filter {text!r}: {key} is a number, and {value!r} is none")
    if key == "status" and operator in ("=", "!=") and not any(fnmatchcase(status, value) for status in STATUSES):
        raise DnnrunError(f"filter {text!r}: no run is ever {value!r}; wanted {', '.join(STATUSES[:5])}")
    return Condition(key, operator, value)


def known(key: str, where: str) -> None:
    """Raise DnnrunError where no row has this key."""
    if key not in KEYS:
        from difflib import get_close_matches

        begun = [name for name in KEYS if name.startswith(key)]  # an abbreviation is nearer than a word as long
        close = begun or get_close_matches(key, KEYS, 1)
        advice = f"did you mean {close[0]!r}?" if close else f"wanted one of {', '.join(KEYS)}"
        raise DnnrunError(f"{where}: no key {key!r}; {advice}")


def value_of(row: Row, key: str) -> Any:
    """The value of a key in a row, None where the run has none."""
    split, dot, metric = key.partition(".")
    return row["metrics"].get(split, {}).get(metric) if dot else row[key]


def ordered(rows: Sequence[Row], key: str) -> list[Row]:
    """By a key: names and what is better when it is lower ascending, all else descending; rows without a value last."""
    down = higher_is_better(key) if "." in key else key not in ASCENDING
    have = [row for row in rows if value_of(row, key) is not None]
    lack = [row for row in rows if value_of(row, key) is None]
    return sorted(have, key=lambda row: value_of(row, key), reverse=down) + lack


def prunable(rows: Sequence[Row], keep: int) -> list[Row]:
    """Of each name all but the newest `keep` finished runs; what runs now stays."""
    names: dict[str, list[Row]] = {}
    for row in rows:
        names.setdefault(row["name"], []).append(row)
    found = []
    for group in names.values():
        finished = [row["run"] for row in sorted(group, key=lambda r: r["run"]) if row["status"] == "done"]
        kept = set(finished[-keep:]) if keep else set()
        found += [row for row in group if row["run"] not in kept and row["status"] not in ("running", "created")]
    return found


def remove(run: Path) -> None:
    """Remove a run directory, let `latest` point to the newest that is left. Raises RunDirectoryError while in use."""
    directory, parent = RunDirectory(run), run.parent
    with directory.lock():
        gone = parent / f"{files.TEMPORARY}{run.name}"
        files.rename(run, gone)
    files.remove_tree(gone)
    left = runs_of(parent)
    latest = parent / "latest"
    if left:
        files.point(latest, Path(left[-1].path.name))
        return
    files.unlink(latest, missing_ok=True)
    if not any(parent.iterdir()):
        files.remove_tree(parent)


def size_of(run: Path) -> int:
    """Bytes of all files in a run directory."""
    try:
        return sum(path.lstat().st_size for path in run.rglob("*") if path.is_file() and not path.is_symlink())
    except OSError as error:
        raise RunDirectoryError(f"{run}: cannot be read ({error.strerror})") from None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
