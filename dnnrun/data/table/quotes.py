"""Quotes that neither open nor close a value, such as that of 5" in a cell without quotes: where one stands."""

from __future__ import annotations

import re
from pathlib import Path

from dnnrun.data.table.records import LONGEST, open_plain
from dnnrun.errors import DataError


def stray_quote(path: Path, encoding: str, quote: str, separator: str) -> DataError | None:
    """What to say of the first one in a file; None where there is none in its first 64 MB."""
    if not quote:
        return None
    q, s = re.escape(quote), re.escape(separator)
    value = re.compile(rf"(?:{q}(?:[^{q}]|{q}{q})*{q}|[^{q}{s}\r\n]*)(?:{s}|\r?\n|$)")
    with open_plain(path) as file:
        text = file.read(LONGEST).decode(encoding, "replace")
    at = 0
    while at < len(text):
        if (found := value.match(text, at)) is None:
            line = text.count("\n", 0, at) + 1
            told = text[at : at + 40].splitlines()[0].split(separator)[0]
            return DataError(
                f"{path}:{line}: a quote within a value, {told!r}; put the value in quotes and write those in it "
                "twice, or say data.source.quote: '' where quotes mean nothing"
            )
        at = found.end()
    return None
