"""What a verb says: data to stdout, talk to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def data(text: str) -> None:
    """A line of the answer, to stdout."""
    sys.stdout.write(_safe(text, sys.stdout) + "\n")


def data_json(value: Any) -> None:
    """The answer as JSON, to stdout."""
    data(json.dumps(value, indent=2, allow_nan=False))


def talk(text: str) -> None:
    """A line about what goes on, to stderr."""
    sys.stderr.write(_safe(text, sys.stderr) + "\n")


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """The rows as lines with aligned columns; the last column is left as it is."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def _safe(text: str, stream: Any) -> str:
    """The text with what the terminal's encoding lacks written as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
