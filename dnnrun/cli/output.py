"""What a verb says: data to stdout, talk to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TextIO

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def data(text: str) -> None:
    """A line of the answer, to stdout."""
    sys.stdout.write(_safe(text, sys.stdout) + "\n")


def data_json(value: Any) -> None:
    """The answer as JSON, to stdout."""
    data(json.dumps(value, indent=2, allow_nan=False))


def talk(text: str, end: str = "\n") -> None:
    """A line about what goes on, to stderr. Where nobody can read it any more, the work goes on all the same."""
    try:
        sys.stderr.write(_safe(text, sys.stderr) + end)
        sys.stderr.flush()
    except OSError:  # a full disk, or a `tee` that the same Ctrl-C has ended
        mute(sys.stderr)


def mute(stream: TextIO) -> None:
    """Let all that is written to `stream` from now on, and what it could not write, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def stand_in() -> None:
    """Give the standard streams that are closed the null device, lest the next file opened get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


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
