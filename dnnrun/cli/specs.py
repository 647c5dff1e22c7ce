"""Verbs about specs and what can stand in them: validate, ls, cp, schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, table, talk

if TYPE_CHECKING:
    from dnnrun.component import Component

KINDS = (
    "activations",
    "initializers",
    "optimizers",
    "schedules",
    "clippings",
    "losses",
    "datasets",
    "schemes",
    "corruptions",
    "trackers",
    "configs",
)


def _config_names() -> list[str]:
    from dnnrun.spec.library import configs

    return list(configs())


def validate(
    arguments: Annotated[
        list[str], typer.Argument(metavar="SPEC|KEY=VALUE", help="Specs, and overrides for all of them.")
    ],
    json: Json = False,
) -> None:
    """Check specs and list every problem of each."""
    from dnnrun.errors import SpecError
    from dnnrun.spec.load import load
    from dnnrun.spec.override import split_arguments

    specs, overrides = split_arguments(arguments)
    if not specs:
        raise typer.BadParameter("no spec; wanted a file or the name of a packaged one")
    problems: list[str] = []
    for spec in specs:
        try:
            load(spec, overrides)
        except SpecError as error:
            problems += [problem for problem in error.problems if problem not in problems]
        else:
            if not json:
                data(f"{spec}: valid")
    if json:
        data_json({"valid": not problems, "problems": problems})
    if problems:
        raise SpecError(problems)


def ls(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help=f"One of {', '.join(KINDS)}.",
            autocompletion=lambda: list(KINDS),
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List what a spec can choose from: all kinds, or one of them with its options."""
    if kind is not None and kind not in KINDS:
        from difflib import get_close_matches

        close = get_close_matches(kind, KINDS, 1)
        raise typer.BadParameter(
            f"{kind!r}; " + (f"did you mean {close[0]!r}?" if close else f"wanted {', '.join(KINDS)}")
        )
    if kind is None:
        names = {known: [member["name"] for member in _members(known)] for known in KINDS}
        if json:
            data_json(names)
        else:
            for line in table([(known, ", ".join(members)) for known, members in names.items()]):
                data(line)
        return
    found = _members(kind)
    if json:
        data_json(found)
        return
    rows = [("name", "options", "what it is")]
    rows += [(member["name"], _options(member), member["summary"]) for member in found]
    for line in table([(row[0], row[2]) for row in rows] if kind == "configs" else rows):
        data(line)


def cp(
    config: Annotated[
        str, typer.Argument(help="A packaged spec, see `dnnrun ls configs`.", autocompletion=_config_names)
    ],
    target: Annotated[Path, typer.Argument(help="The file to write, or a folder for it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Copy a packaged spec, to change it."""
    from dnnrun import files
    from dnnrun.errors import DnnrunError
    from dnnrun.spec.library import config as packaged

    source = packaged(config)
    if target.is_dir():
        target /= source.name
    if target.exists() and not force:
        raise DnnrunError(f"{target} exists already; choose another name, or replace it with --force")
    content = source.read_bytes()
    if force:
        files.write_atomic(target, content)
    else:
        files.write_new(target, content)
    if json:
        data_json({"config": config, "path": str(target)})
    else:
        talk(f"copied {config} to {target}")


def schema(
    json: Annotated[bool, typer.Option("--json", help="Print JSON, which it is anyway.")] = False,
) -> None:
    """Print the JSON schema of specs, for editors."""
    from dnnrun.spec.schema import schema as made

    data_json(made())


def _members(kind: str) -> list[dict[str, Any]]:
    """The members of a kind: name, summary, options."""
    if kind == "configs":
        from dnnrun.spec.library import configs, headline

        return [{"name": name, "summary": headline(path), "options": []} for name, path in configs().items()]
    import dnnrun.spec.sections  # noqa: F401  which imports every family
    from dnnrun.component import families, members

    found = members(families()[kind]).items()
    return [{"name": name, "summary": member.summary(), "options": _fields(member)} for name, member in found]


def _fields(member: type[Component]) -> list[dict[str, Any]]:
    """The options of a component: name, whether it must be given, else its default, description."""
    from pydantic_core import to_jsonable_python

    found = []
    for name, field in member.model_fields.items():
        if name == "type":
            continue
        required = field.is_required()
        default = None if required else to_jsonable_python(field.get_default(call_default_factory=True))
        found.append({"name": name, "required": required, "default": default, "description": field.description})
    return found


def _options(member: dict[str, Any]) -> str:
    """The options on one line: `alpha=1.0`, a required one without a value."""
    return ", ".join(
        option["name"] if option["required"] else f"{option['name']}={_short(option['default'])}"
        for option in member["options"]
    )


def _short(default: Any) -> str:
    """A default as YAML's flow style has it; a constant schedule as its number."""
    if isinstance(default, dict):
        if default.get("type") == "constant":
            return str(default["value"])
        return "{" + ", ".join(f"{key}: {_short(value)}" for key, value in default.items()) + "}"
    if isinstance(default, bool) or default is None:
        return {True: "true", False: "false", None: "null"}[default]
    return f"{default:.6g}" if isinstance(default, float) and len(str(default)) > 8 else str(default)
