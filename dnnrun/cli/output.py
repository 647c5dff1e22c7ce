"""What a verb says: data to stdout, talk to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
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


def told(error: Exception, who: str = "", speaks: bool = True) -> int:
    """Show an error of dnnrun.errors, unless another process does; the exit code it asks for."""
    from dnnrun.errors import DnnrunError, Interrupted, SpecError

    assert isinstance(error, DnnrunError)
    lines = error.problems if isinstance(error, SpecError) else (str(error),)
    plain = isinstance(error, (SpecError, Interrupted))
    for line in lines if speaks else ():
        talk(who + line if plain else f"error: {who}{line}")
    return error.exit_code


def own_stdout() -> None:
    """Keep stdout for the answer: what a library in C writes there (gloo greets its peers) goes nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = open(kept, "w", encoding=sys.stdout.encoding)  # noqa: SIM115


def flush() -> None:
    """Before a process ends without the interpreter's help."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


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


def score(metrics: Mapping[str, float] | None) -> str:
    """The accuracy, or under its name what a model without one is measured by."""
    from dnnrun.metric import chief

    name = chief(metrics or {})
    if not metrics or name == "loss":
        return "-"
    return f"{metrics[name]:.4f}" if name == "accuracy" else f"{name} {metrics[name]:.4g}"


def _safe(text: str, stream: Any) -> str:
    """The text with what the terminal's encoding lacks written as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
