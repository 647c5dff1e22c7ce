"""The base of every configurable part: one pydantic class is the YAML options, the help, the schema and the code."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

ENTRY_POINTS = "dnnrun.components"


class Options(BaseModel):
    """A frozen, strict mapping of options: unknown keys, coerced types, nan and inf are all refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True, serialize_by_alias=True
    )


def one_of(*names: str) -> dict[str, Any]:
    """JSON schema to add to that of a mapping: exactly one of these keys, the others absent or null."""
    return {"allOf": [{"oneOf": [_given(name) for name in names]}]}


def not_together(one: str, two: str) -> dict[str, Any]:
    """JSON schema to add to that of a mapping: at least one of these two keys is absent or null."""
    return {"allOf": [{"not": {"allOf": [_given(one), _given(two)]}}]}


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


@dataclass(frozen=True)
class Shorthand:
    """Annotates a field that also takes a short form of its mapping.

    `expand` turns the short form into what it stands for and leaves any other value alone; `schema` is the JSON schema
    of the short form.
    """

    expand: Callable[[Any], Any]
    schema: JsonSchemaValue

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [self.schema, handler(schema)]}


class Component(Options):
    """A part chosen by name in a spec.

    A family is an abstract subclass that sets `family` (the plural that `dnnrun ls` takes) and `home` (the package
    whose modules hold its members). A member is a subclass of it with a field `type: Literal["its_name"]`. Annotating
    a field with the family's class accepts every member: as a mapping with `type`, or as the bare name.
    """

    family: ClassVar[str] = ""
    home: ClassVar[str] = ""

    @classmethod
    def shorthand(cls, value: Any) -> Any:
        """What a short form stands for. A bare name is `{type: name}`; a family may add forms of its own."""
        return {"type": value} if isinstance(value, str) else value

    @classmethod
    def shorthand_schemas(cls) -> list[JsonSchemaValue]:
        """The JSON schemas of the short forms: the names of members that need no options, and a family's own forms."""
        names = [name for name, member in members(cls).items() if not _required(member)]
        return [{"enum": names}] if names else []

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring, as `dnnrun ls` prints it."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    @classmethod
    def _is_family(cls) -> bool:
        return "family" in cls.__dict__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not cls._is_family() or not cls.home:
            return handler(source)

        def expand(value: Any) -> Any:
            return value.model_dump() if isinstance(value, cls) else cls.shorthand(value)

        choices = {name: handler.generate_schema(member) for name, member in members(cls).items()}
        union = core_schema.tagged_union_schema(choices, discriminator="type")
        return core_schema.no_info_before_validator_function(expand, union)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        result = handler(schema)
        if cls._is_family():
            return {"title": cls.__name__, "anyOf": [*cls.shorthand_schemas(), result]}
        definition = handler.resolve_ref_schema(result)
        definition["required"] = ["type", *(name for name in definition.get("required", ()) if name != "type")]
        return result

    @classmethod
    def parse(cls, value: Any) -> Self:
        """The member that `value` (a mapping or a short form) describes; pydantic.ValidationError if it is none."""
        return _adapter(cls).validate_python(value)


@cache
def _adapter(family: type[Component]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(family)


def _required(member: type[Component]) -> list[str]:
    return [name for name, field in member.model_fields.items() if field.is_required()]


@cache
def _load_plugins() -> None:
    """Import what installed packages add, once: finding it reads every package's metadata."""
    for point in entry_points(group=ENTRY_POINTS):
        point.load()


@cache
def members(family: type[Component]) -> dict[str, type[Component]]:
    """Every member of a family by name, ours and those of installed packages (entry points), sorted by name."""
    package = importlib.import_module(family.home)
    for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
        importlib.import_module(f"{family.home}.{module.name}")
    _load_plugins()
    found: dict[str, type[Component]] = {}
    queue = list(family.__subclasses__())
    while queue:
        member = queue.pop()
        queue += member.__subclasses__()
        if "type" not in member.model_fields:
            continue
        name = member.model_fields["type"].default
        if name in found and found[name] is not member:
            raise TypeError(f"two {family.family} are called {name!r}: {found[name]!r} and {member!r}")
        found[name] = member
    return dict(sorted(found.items()))


def families() -> dict[str, type[Component]]:
    """Every family by its plural name. Only those whose module is imported already are known."""
    found, queue = {}, list(Component.__subclasses__())
    while queue:
        kind = queue.pop()
        queue += kind.__subclasses__()
        if "family" in kind.__dict__:
            found[kind.family] = kind
    return dict(sorted(found.items()))
