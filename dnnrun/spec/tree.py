"""A spec before it is validated: plain values, and where each of them was written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dnnrun.errors import SpecError

DEPTH = 50

Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A position in a text, both counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """Something wrong in a spec. Problems sort by position, those of overrides after those of the file."""

    order: tuple[int, int, int]
    text: str


@dataclass
class Tree:
    """A value and the marks of what is in it, by path.

    `keys` and `values` are the marks of keys and of values; `plain` holds the paths of texts written without quotes;
    `overrides` holds what was set on the command line, with its number and its text. Whatever is at or below a path in
    `broken` has had its problem told already.
    """

    where: str
    value: Any = None
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    plain: set[Path] = field(default_factory=set)
    overrides: dict[Path, tuple[int, str]] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def at(self, path: Path) -> Any:
        """The value at `path`, None where there is none."""
        value = self.value
        for part in path:
            value = step(value, part)
        return value

    def problem(self, path: Path, what: str, *, at: Path | None = None, key: bool = False) -> Problem:
        """The problem `what` of `path`, placed at the value (or the key) of the nearest part that was written."""
        named = f"{dotted(path)}: {what}" if path else what
        for length in range(len(path if at is None else at), -1, -1):
            part = (path if at is None else at)[:length]
            if part in self.overrides:
                number, text = self.overrides[part]
                return Problem((1, number, 0), f"override {quoted(text)}: {named}")
            mark = (self.keys.get(part) if key else None) or self.values.get(part) or self.keys.get(part)
            if mark:
                return Problem((0, mark.line, mark.column), f"{self.where}:{mark.line}:{mark.column}: {named}")
        return Problem((0, 0, 0), f"{self.where}: {named}")

    def is_broken(self, path: Path) -> bool:
        """Whether the problem of `path` was told already."""
        return any(path[:length] in self.broken for length in range(len(path) + 1))

    def forget(self, path: Path) -> None:
        """Drop every mark at and below `path`: something else stands there now."""
        for marks in (self.keys, self.values, self.overrides):
            for known in [known for known in marks if known[: len(path)] == path]:
                del marks[known]
        self.plain = {known for known in self.plain if known[: len(path)] != path}


def plant(mapping: Mapping[str, Any], where: str) -> Tree:
    """A tree of a plain Python mapping, which is copied. Raises SpecError where it is nested too deep."""
    tree = Tree(where)

    def copy(value: Any, path: Path) -> Any:
        if len(path) > DEPTH:
            raise SpecError([f"{where}: nested more than {DEPTH} levels deep"])
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    tree.problems.append(tree.problem(path, f"found the key {key!r}, wanted a text as key"))
            return {key: copy(inner, (*path, key)) for key, inner in value.items() if isinstance(key, str)}
        if isinstance(value, list | tuple):
            return [copy(inner, (*path, number)) for number, inner in enumerate(value)]
        return value

    tree.value = copy(mapping, ())
    return tree


def step(value: Any, part: str | int) -> Any:
    """What stands at the key or number `part` of `value`, None if nothing does."""
    if isinstance(value, list):
        return value[part] if isinstance(part, int) and part < len(value) else None
    return value.get(part) if isinstance(value, dict) else None


def dotted(path: Path) -> str:
    """A path as it is written in messages and overrides."""
    return ".".join(str(part) if re.fullmatch(r"[\w-]{1,60}", str(part)) else quoted(str(part)) for part in path)


def quoted(text: str) -> str:
    """A text in quotes, on one line and of bearable length."""
    text = text if len(text) <= 60 else text[:57] + "..."
    return (
        f"'{text}'" if text.isprintable() and "'" not in text else json.dumps(text, ensure_ascii=not text.isprintable())
    )


def kind(value: Any) -> str:
    """What a value is, in the words of the messages."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return f"a Python {type(value).__name__}"


def shown(value: Any) -> str:
    """A value and what it is: `true (a boolean)`."""
    if isinstance(value, dict | list):
        return kind(value)
    if isinstance(value, str):
        return f"{quoted(value)} ({kind(value)})"
    text = json.dumps(value) if _is_scalar(value) else repr(value)
    return f"{text[:60]} ({kind(value)})" if value is not None else "null"


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)


_KINDS: tuple[tuple[Any, str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a text"),
    (dict, "a mapping"),
    (list, "a list"),
    (type(None), "null"),
)
