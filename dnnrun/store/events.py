"""metrics.jsonl: append-only events, one JSON object a line, cut back to a checkpoint's step on resume."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import RunDirectoryError


def append(path: Path, event: Mapping[str, Any]) -> None:
    """Add one event. A number that is not finite becomes null, which JSON has and nan it has not."""
    files.append(path, (json.dumps(_finite(event)) + "\n").encode())


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a run: `records`, each of which says what it is. Raises RunDirectoryError."""
    found = records(path)
    for number, event in enumerate(found, 1):
        if not isinstance(event.get("event"), str):
            raise RunDirectoryError(f"{path}:{number}: no event; the file was changed by something else")
    return found


def records(path: Path) -> list[dict[str, Any]]:
    """Every object of a file of them, one a line.

    A last line that a kill cut short is left out; any other broken line is an error.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
        except ValueError:
            if number == len(lines) and not line.endswith(b"\n"):
                break
            raise RunDirectoryError(f"{path}:{number}: not JSON; the file was changed by something else") from None
        if not isinstance(found, dict):
            raise RunDirectoryError(f"{path}:{number}: no record; the file was changed by something else")
        records.append(found)
    return records


def cut(path: Path, step: int) -> None:
    """Keep the epochs up to and including `step`, and the signals of steps before: what a resume writes again goes."""
    if not path.exists():
        return
    kept = [
        event
        for event in read(path)
        if (event.get("event") == "epoch" and event["step"] <= step)
        or (event.get("event") == "signals" and event["step"] < step)
    ]
    files.write_atomic(path, "".join(json.dumps(event) + "\n" for event in kept).encode())


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, (list, tuple)) else value
