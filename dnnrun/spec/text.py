"""YAML text to a tree with marks: the scalars of YAML 1.2, and none of what makes a spec hard to read or to trust."""

from __future__ import annotations

import math
import re
from pathlib import Path as FilePath
from typing import Any, NoReturn

import yaml

from dnnrun.errors import SpecError
from dnnrun.spec.tree import DEPTH, Mark, Path, Problem, Tree, dotted, kind, quoted

BYTES = 1_000_000

_NULL = ("", "~", "null", "Null", "NULL")
_BOOLEAN = {"true": True, "false": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,308})")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def resolve(text: str) -> Any:
    """What a scalar without quotes means. 010, 0x10, 1_000, yes and .inf are texts here."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def read(path: FilePath) -> str:
    """The text of a file. Raises SpecError for a folder, an unreadable, large or binary file."""
    try:
        if path.is_dir():
            raise SpecError([f"{path}: a folder; wanted a spec file"])
        with path.open("rb") as file:
            data = file.read(BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError([f"{path}: cannot be read: {reason}"]) from error
    if len(data) > BYTES:
        raise SpecError([f"{path}: larger than 1 MB; a spec is a short text"])
    if b"\0" in data:
        raise SpecError([f"{path}: not a text: byte {data.index(0)} is 0x00; wanted YAML in UTF-8"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is 0x{data[error.start]:02x}"
        raise SpecError([f"{path}: not a text: {found}, which is not UTF-8; wanted YAML in UTF-8"]) from error


def parse(text: str, where: str, *, base: Path = (), positions: bool = True) -> Tree:
    """The tree of one YAML document; an empty text gives the value None and no mark of it.

    `where` begins every message, followed by line and column with `positions`. `base` is the path of the whole value.
    What can be passed over is left in the tree's `problems`; raises SpecError for what cannot.
    """
    builder = _Builder(text, where, base, positions)
    if wrong := _UNPRINTABLE.search(text):
        before = text[: wrong.start()]
        mark = Mark(before.count("\n") + 1, wrong.start() - before.rfind("\n"))
        builder.stop(mark, f"the character U+{ord(wrong.group()):04X} is not allowed in YAML")
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            builder.take(loader.get_event())
    except yaml.MarkedYAMLError as error:
        builder.explain(error)
    except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML has no error of its own for these
        at = loader.get_mark()
        builder.stop(Mark(at.line + 1, at.column + 1), "not YAML: an escape beyond Unicode, or an absurd version")
    finally:
        loader.dispose()
    return builder.tree


class _Frame:
    """A collection that is being filled. In a mapping, `key` is the one whose value comes next."""

    def __init__(self, value: dict[str, Any] | list[Any], path: Path):
        self.value = value
        self.path = path
        self.key: str | None = None


class _Builder:
    """Fills a tree event by event, without recursion, so that depth is checked before it hurts."""

    def __init__(self, text: str, where: str, base: Path, positions: bool):
        self.tree = Tree(where)
        self.text = text
        self.base = base
        self.positions = positions
        self.stack: list[_Frame] = []
        self.documents = 0

    def stop(self, mark: Mark, what: str) -> NoReturn:
        """Give up: raises SpecError with what was found so far and this."""
        place = f"{self.tree.where}:{mark.line}:{mark.column}" if self.positions else self.tree.where
        raise SpecError([*(problem.text for problem in sorted(self.tree.problems)), f"{place}: {what}"])

    def explain(self, error: yaml.MarkedYAMLError) -> NoReturn:
        """Raise SpecError for a text that is no YAML, in words that say what to do."""
        at = error.problem_mark or error.context_mark
        mark = Mark(at.line + 1, at.column + 1) if at else Mark(1, 1)
        lines = self.text.splitlines()
        line = lines[mark.line - 1] if mark.line <= len(lines) else ""
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent or line[mark.column - 1 : mark.column] == "\t":
            column = indent.index("\t") + 1 if "\t" in indent else mark.column
            self.stop(Mark(mark.line, column), "found a tab; YAML is indented with spaces")
        what = " ".join((error.problem or error.context or "it cannot be parsed").split())
        if "mapping values are not allowed" in what:
            what = "a ':' is not expected here; check the indentation of this line and of the one above, or use quotes"
        elif what.startswith("expected <block end>"):
            what = "this does not line up with the lines above; check the indentation"
        elif "<stream end>" in what or "unexpected end of stream" in what:
            opened = error.context_mark
            place = f" of line {opened.line + 1}, column {opened.column + 1}," if opened and self.positions else ""
            what = f"the text ends before the bracket or quote{place} is closed"
        elif "cannot start any token" in what:
            what = f"a text cannot begin with {quoted(line[mark.column - 1 : mark.column])}; put it in quotes"
        self.stop(mark, f"not YAML: {what}")

    def note(self, path: Path, mark: Mark, what: str, *, broken: bool = False) -> None:
        """Remember a problem and go on; with `broken`, nothing else is to be said about the value at `path`."""
        place = f"{self.tree.where}:{mark.line}:{mark.column}" if self.positions else self.tree.where
        self.tree.problems.append(
            Problem((0, mark.line, mark.column), f"{place}: {dotted(path)}: {what}" if path else f"{place}: {what}")
        )
        if broken:
            self.tree.broken.add(path)

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.stop(_mark(event), "a second document begins; a spec is one document")
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._node(event)

    def _node(self, event: yaml.NodeEvent) -> None:
        frame = self.stack[-1] if self.stack else None
        if frame and isinstance(frame.value, dict) and frame.key is None:
            self._key(frame, frame.value, event)
            return
        mark, path = _mark(event), self.base
        if frame:
            path = (*frame.path, len(frame.value) if frame.key is None else frame.key)
        if self.positions:
            self.tree.values[path] = mark
        value = self._value(event, path, mark)
        if frame is None:
            self.tree.value = value
        elif isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is not None:
            frame.value[frame.key] = value
            frame.key = None
        if isinstance(value, dict | list):
            if len(self.stack) == DEPTH:
                self.stop(mark, f"nested more than {DEPTH} levels deep")
            self.stack.append(_Frame(value, path))

    def _value(self, event: yaml.NodeEvent, path: Path, mark: Mark) -> Any:
        if isinstance(event, yaml.AliasEvent):
            what = f"found the alias *{event.anchor}; aliases are not accepted: write the value again"
            self.note(path, mark, what, broken=True)
            return None
        if event.anchor is not None:
            self.note(path, mark, f"found the anchor &{event.anchor}; anchors are not accepted: remove it")
        if (tag := _tag(event)) is not None:
            self.note(path, mark, f"found the tag {quoted(tag)}; tags are not accepted: remove it", broken=True)
        if isinstance(event, yaml.MappingStartEvent):
            return {}
        if isinstance(event, yaml.SequenceStartEvent):
            return []
        assert isinstance(event, yaml.ScalarEvent)
        if event.style:
            return event.value
        value = resolve(event.value)
        if isinstance(value, str):
            self.tree.plain.add(path)
            if _NOT_FINITE.fullmatch(value):
                self.note(path, mark, f"found {value}, wanted a finite number", broken=True)
            elif _NUMBER.fullmatch(value):
                self.note(path, mark, f"found {quoted(value)}, wanted a number below 1e308", broken=True)
        return value

    def _key(self, frame: _Frame, mapping: dict[str, Any], event: yaml.NodeEvent) -> None:
        mark = _mark(event)
        if isinstance(event, yaml.AliasEvent):
            self.stop(mark, f"found the alias *{event.anchor}; aliases are not accepted: write the key")
        if not isinstance(event, yaml.ScalarEvent):
            self.stop(mark, "found a list or a mapping as key, wanted a text; put brackets that are text in quotes")
        frame.key = text = event.value
        path = (*frame.path, text)
        if event.anchor is not None or event.tag is not None:
            self.note(path, mark, "this key has an anchor or a tag; remove it")
        if text == "<<" and not event.style:
            self.note(frame.path, mark, "found a merge key; merge keys are not accepted: write the keys out")
            self.tree.broken.add(path)
        elif not event.style and text != "null" and not isinstance(key := resolve(text), str):  # an option is called so
            what = f"found the key {text or 'null'} ({kind(key)}), wanted a text as key"
            self.note(frame.path, mark, what if key is not None else "found no key before ':', wanted a text as key")
            self.tree.broken.add(path)
        elif text in mapping:
            first = self.tree.keys.get(path)
            again = f", first at line {first.line}, column {first.column}" if first else ""
            self.note(path, mark, f"given twice{again}; remove one of them")
        elif self.positions:
            self.tree.keys[path] = mark


def _mark(event: yaml.Event) -> Mark:
    at = event.start_mark
    return Mark(at.line + 1, at.column + 1)


def _tag(event: yaml.NodeEvent) -> str | None:
    return event.tag if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) else None
