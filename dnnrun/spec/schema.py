"""The JSON schema of a spec, for editors and for the words of error messages."""

from __future__ import annotations

from collections import deque
from functools import cache, cached_property
from typing import Any

from dnnrun.spec.sections import Spec
from dnnrun.spec.tree import step

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a spec file. A new dict with every call."""
    made = Spec.model_json_schema(mode="validation")
    made["required"] = [name for name in made["required"] if name != "name"]  # a file lends its own name
    made["title"] = "dnnrun spec"
    return {"$schema": DIALECT, "$id": "urn:dnnrun:spec", **made}


class Shape:
    """What may stand at each place of a spec, read off the JSON schema.

    A place is a list of alternatives: schema nodes without `$ref`, `anyOf` and `oneOf`.
    """

    def __init__(self, root: dict[str, Any]):
        self.root = root

    def alternatives(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        """The alternatives of a schema node."""
        if "$ref" in node:
            return self.alternatives(self.root["$defs"][node["$ref"].rpartition("/")[2]])
        if choices := node.get("anyOf") or node.get("oneOf"):
            found = [inner for choice in choices for inner in self.alternatives(choice)]
            if any("discriminator" in choice for choice in choices):
                found = [{**inner, "family": node["title"].lower()} for inner in found]
            return found
        return [node]

    def at(self, value: Any, path: tuple[str | int, ...]) -> list[dict[str, Any]]:
        """The alternatives at `path` in the spec `value`; none where the path leaves what is known."""
        place = self.alternatives(self.root)
        for part in path:
            place = [inner for node in self.inside(place, value, part) for inner in self.alternatives(node)]
            value = step(value, part)
        return place

    def inside(self, place: list[dict[str, Any]], value: Any, part: str | int) -> list[dict[str, Any]]:
        """The schema nodes one step inside `place`, where `value` stands."""
        if isinstance(part, int):
            return [node["items"] for node in place if "items" in node]
        named = [node["properties"][part] for node in mappings(place, value) if part in node["properties"]]
        free = [node.get("additionalProperties") for node in place if "properties" not in node]
        return named + [inner for inner in free if isinstance(inner, dict)]

    def homes(self, key: str) -> list[str]:
        """The outermost sections that have the key `key`."""
        found = self._homes.get(key, [])
        return [path for path in found if path.count(".") == found[0].count(".")]

    @cached_property
    def _homes(self) -> dict[str, list[str]]:
        """Key -> the sections that have it, the outermost first: made once, however many keys are unknown."""
        homes: dict[str, list[str]] = {}
        queue = deque([("", self.root)])
        while queue:
            path, node = queue.popleft()
            if path.count(".") > 3:  # schedules may hold schedules
                continue
            for place in self.alternatives(node):
                if "items" in place:
                    queue.append((path, place["items"]))
                for name, inner in place.get("properties", {}).items():
                    found = homes.setdefault(name, [])
                    if path and path not in found:
                        found.append(path)
                    queue.append((f"{path}.{name}".lstrip("."), inner))
        return homes


def mappings(place: list[dict[str, Any]], value: Any) -> list[dict[str, Any]]:
    """The alternatives that are mappings; only the chosen one where `value` names its type."""
    found = [node for node in place if "properties" in node]
    name = value.get("type") if isinstance(value, dict) else value
    chosen = [
        node for node in found if isinstance(name, str) and node["properties"].get("type", {}).get("const") == name
    ]
    return chosen or found


def members(place: list[dict[str, Any]]) -> list[str]:
    """The names of the components that may stand at a place."""
    return [node["properties"]["type"]["const"] for node in place if "family" in node and "properties" in node]


def words(place: list[dict[str, Any]]) -> str:
    """What may stand at a place, in words: `a whole number of more than 0, or a mapping of train, validation`."""
    told: list[str] = []
    if names := members(place):
        told.append(f"{'an' if place[0]['family'][0] in 'aeiou' else 'a'} {place[0]['family']} ({', '.join(names)})")
    values = [value for node in place if "family" not in node for value in node.get("enum", [node.get("const")])]
    told += [str(value).lower() if isinstance(value, bool) else str(value) for value in values if value is not None]
    told += [_kind(node) for node in place if "family" not in node and not {"enum", "const"} & set(node)]
    told += [_kind(node) for node in place if "family" in node and node.get("type") == "number"]
    told = sorted(dict.fromkeys(told), key=lambda word: word == "null")
    if len(told) < 3:
        return " or ".join(told)
    return f"{', '.join(told[:-1])} or {told[-1]}"


def _kind(node: dict[str, Any]) -> str:
    kind = node.get("type")
    if kind == "object":
        return f"a mapping of {', '.join(node['properties'])}" if "properties" in node else "a mapping"
    if kind in ("integer", "number"):
        bounds = [f"{word} {node[name]:g}" for name, word in BOUNDS.items() if name in node and abs(node[name]) < 2**53]
        return f"a {'whole ' * (kind == 'integer')}number" + (f" of {' and '.join(bounds)}" if bounds else "")
    return {"string": "a text", "boolean": "true or false", "array": "a list", "null": "null"}.get(str(kind), "a value")


BOUNDS = {
    "exclusiveMinimum": "more than",
    "minimum": "at least",
    "exclusiveMaximum": "less than",
    "maximum": "at most",
}


@cache
def shape() -> Shape:
    """The shape of a spec."""
    return Shape(schema())
