"""Patterns on layer names: whole names, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dnnrun.errors import TransferError


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that `pattern` matches whole: hidden[123] takes hidden1, never hidden10."""
    compiled = re.compile(pattern)
    return [name for name in names if compiled.fullmatch(name)]


def required(what: str, pattern: str, names: Sequence[str]) -> list[str]:
    """As `matching`; TransferError where nothing matches, naming `what` asked and listing the names."""
    found = matching(pattern, names)
    if not found:
        raise TransferError(f"{what}: {pattern!r} matches no layer; the layers are {', '.join(names)}")
    return found
