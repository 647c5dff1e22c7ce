"""Writes components.md beside it from the components themselves; with --check, fails where that would change it.

Run as `python docs/components.py [--check]`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

import dnnrun.spec.sections  # noqa: F401  which imports every family
from dnnrun.cli.specs import KINDS
from dnnrun.component import Component, families, members
from dnnrun.spec.schema import Shape, words
from dnnrun.spec.schema import members as names

TARGET = Path(__file__).with_name("components.md")
HEAD = """# Components

Made by `python docs/components.py` from the classes themselves; `dnnrun ls KIND` shows the same in the terminal. Each
is written in a spec as `{type: name, option: value, ...}`, or as its bare name where no option must be given.
"""


def text() -> str:
    """The page."""
    parts = [HEAD]
    for kind in KINDS:
        if kind == "configs":
            continue
        family = families()[kind]
        parts.append(f"## {kind}\n\n{family.summary()}\n")
        parts += [_member(name, member) for name, member in members(family).items()]
    return "\n".join(parts)


def _member(name: str, member: type[Component]) -> str:
    whole = member.model_json_schema()
    shape = Shape(whole)
    schema = shape.alternatives(whole)[0]  # a schedule that holds schedules is behind a $ref
    lines = [f"### {name}", "", *(line.strip() for line in (member.__doc__ or "").strip().splitlines())]
    options = {key: node for key, node in schema["properties"].items() if key != "type"}
    if options:
        lines += ["", "| option | default | wanted | meaning |", "|---|---|---|---|"]
    for key, node in options.items():
        field = member.model_fields[key]
        default = "must be given" if field.is_required() else _short(_plain(field))
        meaning = field.description or ""
        cells = (f"`{key}`", default, _wanted(shape.alternatives(node)), meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _wanted(place: list[dict[str, Any]]) -> str:
    if not names(place):
        return words(place)
    number = "a number or " * any(node.get("type") == "number" for node in place)
    family = place[0]["family"]
    plural = next(name for name, kind in families().items() if kind.__name__.lower() == family)
    return f"{number}{'an' if family[0] in 'aeiou' else 'a'} [{family}](#{plural})"


def _plain(field: Any) -> Any:
    """A field's default as JSON has it."""
    return to_jsonable_python(field.get_default(call_default_factory=True))


def _short(default: Any) -> str:
    if isinstance(default, dict) and "type" in default:
        return _short(default["value"]) if default["type"] == "constant" else default["type"]
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return f"{default:.4g}" if isinstance(default, float) else str(default)


def main() -> int:
    made = text()
    if "--check" in sys.argv[1:]:
        return int(not TARGET.is_file() or TARGET.read_text("utf-8") != made)
    TARGET.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
