"""`key.sub=value` from the command line, laid over a tree before it is validated. The later of two wins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from dnnrun.errors import SpecError
from dnnrun.spec.text import parse
from dnnrun.spec.tree import DEPTH, Path, Problem, Tree, dotted, quoted, shown


def split_arguments(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which arguments are specs and which are overrides: those with a `=` before any `/` that are no existing file."""
    specs: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        is_override = "=" in argument.partition("/")[0] and not os.path.exists(argument)
        (overrides if is_override else specs).append(argument)
    return specs, overrides


def apply(tree: Tree, overrides: Sequence[str]) -> None:
    """Set what each override says, in order. What is wrong with one is left in `tree.problems`.

    Sections on the way that are missing are created; a part given by its bare name becomes `{type: name}`.
    """
    for number, text in enumerate(overrides, 1):
        try:
            path, value, inner = _read(text)
            _put(tree, path, value, (number, text))
        except SpecError as error:
            tree.problems += [Problem((1, number, 0), problem) for problem in error.problems]
            continue
        tree.problems += [Problem((1, number, 0), problem.text) for problem in inner.problems]
        tree.broken |= inner.broken
        tree.plain |= inner.plain


def _refuse(text: str, what: str) -> SpecError:
    return SpecError([f"override {quoted(text)}: {what}"])


def _read(text: str) -> tuple[Path, Any, Tree]:
    key, equals, written = text.partition("=")
    if not equals:
        raise _refuse(text, "no '='; wanted key=value, as train.epochs=10")
    if not key.strip():
        raise _refuse(text, "no key before '='; wanted key=value, as train.epochs=10")
    path: Path = tuple(part.strip() for part in key.split("."))
    if "" in path:
        raise _refuse(text, f"the key {quoted(key)} has an empty part; wanted names joined by single dots")
    if len(path) > DEPTH:
        raise _refuse(text, f"nested more than {DEPTH} levels deep")
    if not written.strip():
        raise _refuse(text, f"no value after '='; write {key}=null for none, or {key}='' for an empty text")
    inner = parse(written, f"override {quoted(text)}", base=path, positions=False)
    return path, inner.value, inner


def _put(tree: Tree, path: Path, value: Any, source: tuple[int, str]) -> None:
    text = source[1]
    place: Any = tree.value
    done: Path = ()
    for step, name in enumerate(path):
        assert isinstance(name, str)
        part: Any = _index(place, name, done, text) if isinstance(place, list) else name
        here = (*done, part)
        if step == len(path) - 1:
            tree.forget(here)
            tree.overrides[here] = source
            tree.broken = {broken for broken in tree.broken if broken[: len(here)] != here}
            place[part] = value
            return
        inside = place[part] if isinstance(place, list) else place.get(part)
        if inside is None:
            inside = place[part] = {}
            tree.overrides[here] = source
        elif isinstance(inside, str):
            if here in tree.values:
                tree.values[(*here, "type")] = tree.values[here]
            elif here in tree.overrides:
                tree.overrides[(*here, "type")] = tree.overrides[here]
            tree.overrides[here] = source
            inside = place[part] = {"type": inside}
        elif not isinstance(inside, dict | list):
            raise _refuse(
                text, f"{dotted(here)} is {shown(inside)}, which has no keys; set {dotted(here)}={{...}} whole"
            )
        place, done = inside, here


def _index(place: list[Any], part: str, done: Path, text: str) -> int:
    if not (part.isascii() and part.isdigit()):
        raise _refuse(text, f"{dotted(done)} is a list; wanted the number of an entry instead of {quoted(part)}")
    if len(part) > 9 or int(part) >= len(place):
        last = f", 0 to {len(place) - 1}" if place else ""
        raise _refuse(text, f"no entry {part[:9]}: the length of {dotted(done)} is {len(place)}{last}")
    return int(part)
