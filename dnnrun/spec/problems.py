"""What pydantic found, told in the words and at the places of the spec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from dnnrun.spec.schema import mappings, members, shape, words
from dnnrun.spec.sections import NAME
from dnnrun.spec.tree import Path, Problem, Tree, quoted, shown
from dnnrun.spec.written import hint

DENSE_ONLY = "dnnrun builds dense networks only: convolutional, recurrent and text models are not built"
_NOT_DENSE = re.compile(
    r"(?i)(^|[_-])(conv(olution(al)?)?(_?[123]d)?|filters?|kernel_size|strides?|padding|(max|avg|average)?_?pool(ing)?"
    r"([123]d)?|cnn|resnet\w*|rnn|lstm|gru|recurrent|bidirectional|embeddings?|(self_?)?attention|transformer|bert|gpt"
    r"|vocab(ulary)?(_size)?|token(s|izer)?|text|image_text|sequence(_length)?|timesteps)($|[_-])"
)
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_BOUND_WORDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "too_short": "more entries",
}
NAME_WORDS = "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit"


def problems(tree: Tree, error: ValidationError) -> list[Problem]:
    """Every problem of `error`, one for each place, sorted by position with those that `tree` holds already."""
    places: dict[Path, list[Mapping[str, Any]]] = {}
    for found in error.errors(include_url=False):
        places.setdefault(_path(tree, found), []).append(found)
    outer = {path[:length] for path in places for length in range(len(path))}
    told = list(tree.problems)
    for path, found in places.items():
        if path in outer or tree.is_broken(path):
            continue  # told already, or told better by what lies inside
        told.append(_tell(tree, path, found))
    return sorted(dict.fromkeys(told))


def _path(tree: Tree, found: Mapping[str, Any]) -> Path:
    """The path of an error in the spec: pydantic's without the names of types, which no node has."""
    loc: tuple[str | int, ...] = found["loc"]
    last: tuple[str | int, ...] = ()
    if found["type"] in ("missing", "extra_forbidden"):
        loc, last = loc[:-1], loc[-1:]
    path: Path = ()
    value, tagged = tree.value, False
    for part in loc:
        if isinstance(value, dict) and not tagged and value.get("type") == part:
            tagged = True
        elif (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            path = (*path, part)
            value, tagged = tree.at(path), False
    path += last
    if found["type"] in ("union_tag_invalid", "union_tag_not_found") and isinstance(value, dict):
        path = (*path, "type")
    return path


def _tell(tree: Tree, path: Path, found: list[Mapping[str, Any]]) -> Problem:
    first = found[0]
    match first["type"]:
        case "extra_forbidden":
            return tree.problem(path, _unknown_key(tree, path), key=True)
        case "missing":
            return _missing(tree, path)
        case "union_tag_not_found" | "union_tag_invalid" if path and path[-1] == "type" and tree.at(path) is None:
            names = ", ".join(members(shape().at(tree.value, path[:-1])))
            return tree.problem(path, f"missing; wanted one of: {names}", at=path[:-1], key=True)
        case "union_tag_invalid":
            return tree.problem(path, _unknown_component(tree, path))
        case "value_error":
            what, value = str(first["ctx"]["error"]), tree.at(path)
            if what.startswith("wanted ") and not isinstance(value, dict):
                what = f"found {shown(value)}, {what}"
            return tree.problem(path, what, key=isinstance(value, dict))
    value = tree.at(path)
    if isinstance(value, list):  # of what a place takes, a list misses only its length
        found = [error for error in found if error["type"] in ("too_short", "too_long")] or found
    place = shape().at(tree.value, path)
    wanted = _wanted(found, words(place))
    advice = hint(value, place, path in tree.plain or not tree.values)
    return tree.problem(path, f"found {_found(value, found)}, wanted {wanted}{advice}{_not_dense(path, value)}")


def _found(value: Any, found: list[Mapping[str, Any]]) -> str:
    if len(found) == 1 and found[0]["type"] in _BOUNDS:
        return str(value) if isinstance(value, int | float) else shown(value)
    if found[0]["type"] in ("too_short", "too_long") and isinstance(value, list):
        return f"{len(value)} {'entry' if len(value) == 1 else 'entries'}"
    return shown(value)


def _wanted(found: list[Mapping[str, Any]], place: str) -> str:
    """What was wanted: of one error its own demand, of several, or of a kind of value, all that the place takes."""
    kind, context = found[0]["type"], found[0].get("ctx", {})
    if len(found) > 1:
        return place or "something else"
    if kind in _BOUNDS:
        bound = context[_BOUNDS[kind]]
        return f"{_BOUND_WORDS[_BOUNDS[kind]]} {bound if isinstance(bound, int) else format(bound, 'g')}"
    if kind == "string_pattern_mismatch":
        return NAME_WORDS if context["pattern"] == NAME else f"a text that matches {context['pattern']}"
    if kind in ("too_short", "too_long"):
        return f"at {'least' if kind == 'too_short' else 'most'} {context.get('min_length', context.get('max_length'))}"
    return _TYPES.get(kind) or place or str(found[0]["msg"]).removeprefix("Input should be ")


def _unknown_key(tree: Tree, path: Path) -> str:
    key = str(path[-1])
    place = shape().at(tree.value, path[:-1])
    known = sorted({name for node in mappings(place, tree.at(path[:-1])) for name in node["properties"]})
    value = tree.at(path)
    if dense := _not_dense(path, key) or (_not_dense(path, value) if isinstance(value, dict | list) else ""):
        return f"unknown key{dense}"
    name, colon, rest = key.partition(":")
    if colon and rest and value is None and name in known:
        return f"unknown key; YAML wants a space after ':': write {name}: {rest}"
    if close := get_close_matches(key, known, 1, 0.8):
        return f"unknown key; did you mean {quoted(close[0])}?"
    here = ".".join(part for part in path[:-1] if isinstance(part, str))
    if homes := [home for home in shape().homes(key) if home != here][:3]:
        return f"unknown key; {key} belongs to {' or '.join(homes)}"
    if key in shape().root["properties"]:
        return f"unknown key; {key} belongs to the top level"
    if close := get_close_matches(key, known, 1):
        return f"unknown key; did you mean {quoted(close[0])}?"
    return f"unknown key; known here: {', '.join(known)}"


def _missing(tree: Tree, path: Path) -> Problem:
    parent = tree.at(path[:-1])
    what = f"missing; wanted {words(shape().at(tree.value, path))}"
    if isinstance(parent, str):
        what += f"; write {{type: {parent}, {path[-1]}: ...}}"
    return tree.problem(path, what, at=path[:-1], key=True)


def _unknown_component(tree: Tree, path: Path) -> str:
    value = tree.at(path)
    owner = path[:-1] if path[-1] == "type" else path
    place = shape().at(tree.value, owner)
    names = members(place)
    family = next((node["family"] for node in place if "family" in node), "name")
    if not isinstance(value, str):
        return f"found {shown(value)}, wanted one of: {', '.join(names)}"
    if dense := _not_dense(owner, value):
        return f"unknown {family} {quoted(value)}{dense}"
    if owner == path and (advice := hint(value, place, path in tree.plain or not tree.values)):
        return f"found {shown(value)}, wanted {words(place)}{advice}"
    if close := get_close_matches(value.lower(), names, 1):
        return f"unknown {family} {quoted(value)}; did you mean {quoted(close[0])}?"
    return f"unknown {family} {quoted(value)}; wanted one of: {', '.join(names)}"


def _not_dense(path: Path, text: Any) -> str:
    """Says what dnnrun builds where something else is asked for, in the model or as data."""
    asked = path[:1] != ("train",) and any(_NOT_DENSE.search(name) for name in _names(text))
    return f"; {DENSE_ONLY}" if asked else ""


def _names(value: Any) -> list[str]:
    """Every text in a value, keys too."""
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, str) else [name for part in inner for name in _names(part)]
