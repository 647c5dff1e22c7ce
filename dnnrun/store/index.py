"""Rows about every run, kept beside the runs in an index that is checked against each meta.json and repairs itself.

The index holds nothing of its own: without it, or with a damaged one, the same rows come more slowly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import DnnrunError, RunDirectoryError
from dnnrun.store import events
from dnnrun.store.run import META, RunDirectory

INDEX, VERSION = ".index.json", 1
ENDED = ("done", "failed", "interrupted")  # what can only change with a new meta.json

Row = dict[str, Any]


def rows(runs: Path) -> list[Row]:
    """A row a run, by name, then oldest first. Raises RunDirectoryError where `runs` is a file or cannot be read.

    An index that is absent, damaged or of another version is made anew; one that cannot be written is left.
    """
    known = _read(runs / INDEX)
    found: list[Row] = []
    kept: dict[str, list[Any]] = {}
    for place, stamp in _stamps(runs):
        entry = known.get(place)
        if entry is not None and entry[0] == stamp:
            row = entry[1]
        else:
            row = read_row(RunDirectory(runs / place))
            if row["status"] not in ENDED:
                found.append(row)
                continue
        kept[place] = [stamp, row]
        found.append({**row, "run": str(runs / place)})
    if kept != known:
        _write(runs / INDEX, kept)
    return found


def read_row(run: RunDirectory) -> Row:
    """What a run's own files say: run, name, status, when, epochs, metrics by split, speed, sizes."""
    row: Row = {
        "run": str(run.path),
        "name": run.path.parent.name,
        "status": "",
        "started": None,
        "seconds": None,
        "epochs": 0,
        "steps": 0,
        "metrics": {},
        "examples_per_s": None,
        "parameters": None,
    }
    try:
        meta = run.meta()
        row["status"], result = run.status(), meta.get("result") or {}
        epochs, steps = result.get("epochs"), result.get("steps")
        if epochs is None:
            done = [event for event in events.read(run.metrics) if event["event"] == "epoch"]
            epochs = max((event["epoch"] for event in done), default=0)
            steps = max((event["step"] for event in done), default=0)
    except RunDirectoryError as error:
        return {**row, "status": f"unreadable: {error}"}
    timing = result.get("timing") or {}
    sizes = result.get("parameters") or {}
    return {
        **row,
        "started": meta.get("started"),
        "seconds": timing.get("total_s"),
        "epochs": epochs,
        "steps": steps or 0,
        "metrics": result.get("metrics", {}),
        "examples_per_s": timing.get("examples_per_s"),
        "parameters": sum(sizes.values()) if sizes else None,
    }


def _stamps(runs: Path) -> Iterator[tuple[str, list[int]]]:
    """Each run's place under `runs`, and what tells whether its meta.json is still the same."""
    for name in _folders(runs):
        for run in _folders(os.path.join(runs, name)):
            try:
                found = os.stat(os.path.join(runs, name, run, META))
            except OSError:
                continue
            yield f"{name}/{run}", [found.st_mtime_ns, found.st_size, found.st_ino]


def _folders(path: str | Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise RunDirectoryError(f"{path}: a file; wanted the folder that runs are kept in") from None
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error.strerror})") from None


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
        known = content["runs"] if content["version"] == VERSION else {}
        sound = all(len(entry) == 2 and {"run", "status", "metrics"} <= entry[1].keys() for entry in known.values())
        return known if sound else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write(path: Path, runs: dict[str, list[Any]]) -> None:
    try:
        files.write_atomic(path, json.dumps({"version": VERSION, "runs": runs}, separators=(",", ":")).encode())
    except DnnrunError:
        return  # a folder of runs that can only be read is listed all the same
