"""Specs read, checked, and written out again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dnnrun.errors import SpecError
from dnnrun.spec.library import configs
from dnnrun.spec.override import apply
from dnnrun.spec.problems import problems
from dnnrun.spec.sections import Spec
from dnnrun.spec.text import parse, read, resolve
from dnnrun.spec.tree import Tree, plant, quoted, shown


def find(name_or_path: str | Path) -> Path:
    """The spec file that a path, or the name of a packaged spec (`digits`), stands for. Raises SpecError if none."""
    path, name = Path(name_or_path), str(name_or_path)
    told = name if name.isprintable() else quoted(name)
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        raise SpecError([f"{told}: no such spec"]) from None
    known = configs()
    if is_there and not (is_folder and name in known):
        return path
    if name in known:
        return known[name]
    folder = path.parent
    near = [str(folder / found.name) for found in folder.glob("*.y*ml")] if folder.is_dir() else []
    close = get_close_matches(name, [*near, *known], 1) or get_close_matches(path.stem, known, 1)
    if close:
        raise SpecError([f"{told}: no such spec; did you mean {quoted(close[0])}?"])
    raise SpecError([f"{told}: no such spec; wanted a file or a packaged spec: {', '.join(known)}"])


def load(path: str | Path, overrides: Sequence[str] = (), fill: Mapping[str, Any] | None = None) -> Spec:
    """The spec in a file, or the packaged one of that name, with `key.sub=value` overrides laid over it.

    `fill` gives values, by dotted key, that are taken where neither file nor overrides have one; `name` is the file's
    own unless the spec gives one. Raises SpecError with every problem of file and overrides.
    """
    file = find(path)
    tree = parse(read(file), str(file))
    if tree.value is None and not tree.problems:
        raise SpecError([f"{file}: empty; wanted a spec with data and model"])
    return _validate(tree, overrides, {"name": default_name(file), **(fill or {})})


def load_mapping(
    mapping: Mapping[str, Any],
    overrides: Sequence[str] = (),
    where: str = "spec",
    name: str = "unnamed",
    fill: Mapping[str, Any] | None = None,
) -> Spec:
    """The spec that a plain mapping describes. `where` begins each message; `name` is taken unless the mapping has one.

    `fill` is as for `load`. Raises SpecError with every problem of mapping and overrides.
    """
    return _validate(plant(mapping, where), overrides, {"name": name, **(fill or {})})


def _validate(tree: Tree, overrides: Sequence[str], fill: Mapping[str, Any]) -> Spec:
    if not isinstance(tree.value, dict):
        tree.problems.append(tree.problem((), f"found {shown(tree.value)}, wanted a mapping with data and model"))
        raise SpecError([problem.text for problem in sorted(tree.problems)])
    apply(tree, overrides)
    apply(tree, [f"{key}={json.dumps(value)}" for key, value in fill.items() if not _has(tree.value, key)])
    try:
        spec = Spec.model_validate(tree.value)
    except ValidationError as error:
        raise SpecError([problem.text for problem in problems(tree, error)]) from None
    if tree.problems:
        raise SpecError([problem.text for problem in sorted(tree.problems)])
    return spec


def _has(value: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def default_name(file: Path) -> str:
    """The name of a spec that gives none: the file's, with `-` for every character that a name cannot have."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", file.stem).lstrip("._-")[:64] or "unnamed"


def dump(spec: Spec) -> str:
    """The spec as YAML with every default written out, in the order of the fields; it loads back to an equal spec."""
    content = _type_first(spec.model_dump(mode="json"))
    content["model"]["hidden"] = [_entry(entry) for entry in content["model"]["hidden"]]
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)


def _type_first(value: Any) -> Any:
    if isinstance(value, list):
        return [_type_first(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _type_first(value[key]) for key in sorted(value, key=lambda key: key != "type")}
    return value


def _entry(entry: dict[str, Any]) -> Any:
    """A hidden layer's entry without what it takes from the model."""
    own = {key: value for key, value in entry.items() if value is not None}
    return own["units"] if set(own) == {"units"} else own


class _Dumper(yaml.SafeDumper):
    """Writes scalars so that they read back as what they are, here and in other YAML readers; no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if resolve(text) == text else "'")


def _float(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    digits, exponent, power = repr(number).partition("e")
    written = f"{digits if '.' in digits else digits + '.0'}{exponent}{power}"
    return dumper.represent_scalar("tag:yaml.org,2002:float", written)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _float)
