"""The verbs of the zoo: add, list, search, show, verify, remove, pull."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, score, table, talk

if TYPE_CHECKING:
    from dnnrun.zoo.catalogue import Entry

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A catalogue of trained models.")

Zoo = Annotated[
    Path | None, typer.Option("--zoo", help="The zoo's folder (default: DNNRUN_ZOO, else in the user's data folder).")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model of the zoo.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a model of that name.")]
Licence = Annotated[str | None, typer.Option("--licence", help="Under which the weights may be used.")]


@app.command("add")
def add(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A run (runs/NAME), a checkpoint folder, or .../best.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the zoo (default: the run's).")] = None,
    licence: Licence = None,
    description: Annotated[str, typer.Option("--description", help="A sentence for its card.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A word to find it by; again for more.")] = None,
    card: Annotated[bool, typer.Option("--card", help="Print the card that was written.")] = False,
    force: Force = False,
    zoo: Zoo = None,
    as_json: Json = False,
) -> None:
    """Put a run's network into the zoo, with a card and checksums."""
    from dnnrun.catalogued import add_run
    from dnnrun.zoo.catalogue import CARD

    found = add_run(
        _zoo(zoo),
        checkpoint,
        name,
        licence=licence or "unknown",
        description=description,
        tags=tuple(tag or ()),
        force=force,
    )
    if as_json:
        data_json(found.as_json())
        return
    talk(f"{found.folder}")
    if licence is None:
        talk("note: its licence is unknown; --licence says it")
    data((found.folder / CARD).read_text("utf-8") if card else f"zoo:{found.name}")


@app.command("list")
def list_(zoo: Zoo = None, as_json: Json = False) -> None:
    """List the models."""
    from dnnrun.zoo.catalogue import entries

    models, broken = entries(_zoo(zoo))
    _show_list(models, as_json, f"no models in {_zoo(zoo)}; dnnrun zoo add RUN puts one there")
    for problem in broken:
        talk(f"warning: {problem}")


@app.command("search")
def search(
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORDS]...", help="As: 28x28 grey, 10 classes")] = None,
    task: Annotated[str | None, typer.Option("--task", help="image-classification or tabular-classification.")] = None,
    size: Annotated[str | None, typer.Option("--input", help="28x28, 28x28x1, or a number of features.")] = None,
    classes: Annotated[int | None, typer.Option("--classes", help="How many outputs.")] = None,
    zoo: Zoo = None,
    as_json: Json = False,
) -> None:
    """Find models to start from: by words, task, size of the inputs, number of classes."""
    from dnnrun.zoo.catalogue import entries
    from dnnrun.zoo.search import query_of
    from dnnrun.zoo.search import search as find

    models, _ = entries(_zoo(zoo))
    _show_list(find(models, query_of(words or (), task, size, classes)), as_json, "nothing fits; see dnnrun zoo list")


@app.command("show")
def show(name: Name, zoo: Zoo = None, as_json: Json = False) -> None:
    """Show a model's card."""
    from dnnrun.zoo.catalogue import CARD, entry, text_of

    found = entry(_zoo(zoo), _bare(name))
    if as_json:
        data_json(found.as_json())
    else:
        data(text_of(found.folder / CARD).rstrip())


@app.command("verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Models; none for all.")] = None,
    zoo: Zoo = None,
    as_json: Json = False,
) -> None:
    """Check every file of models against its sha256."""
    from dnnrun.errors import ZooError
    from dnnrun.zoo.catalogue import entries
    from dnnrun.zoo.catalogue import verify as check

    place = _zoo(zoo)
    known, broken = entries(place)
    wanted = [_bare(name) for name in names] if names else [model.name for model in known]
    found = {name: check(place, name) for name in wanted}
    problems = [problem for listed in found.values() for problem in listed] + ([] if names else broken)
    if as_json:
        data_json({"valid": not problems, "models": found, "problems": problems})
    else:
        for name, listed in found.items():
            if not listed:
                data(f"{name}: as it was added")
    if problems:
        raise ZooError("\n".join(problems))


@app.command("remove")
def remove(name: Name, zoo: Zoo = None, as_json: Json = False) -> None:
    """Remove a model."""
    from dnnrun.zoo.catalogue import remove as take_out

    folder = take_out(_zoo(zoo), _bare(name))
    if as_json:
        data_json({"removed": str(folder)})
    else:
        talk(f"removed {folder}")


@app.command("pull")
def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="A path, or an address with http, https, s3, gs or hf.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the zoo.")] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", help="What the one file or archive must have.")] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="YAML with a model section: what foreign files do not say.")
    ] = None,
    activation: Annotated[str | None, typer.Option("--activation", help="Where foreign files say none.")] = None,
    divide_by: Annotated[
        float | None, typer.Option("--divide-by", help="Inputs of a foreign network are divided by this.", min=1e-30)
    ] = None,
    licence: Licence = None,
    force: Force = False,
    zoo: Zoo = None,
    as_json: Json = False,
) -> None:
    """Fetch a model: of another zoo, a Hugging Face folder, a safetensors file, or an archive of these."""
    from dnnrun.catalogued import pull as take
    from dnnrun.cli.terminal import Terminal
    from dnnrun.imported import Wanted

    terminal = Terminal()
    wanted = Wanted(model=model, activation=activation, divide_by=divide_by)
    try:
        found, notes = take(
            _zoo(zoo),
            url,
            name,
            wanted,
            sha256=sha256,
            licence=licence,
            force=force,
            progress=terminal.download,
        )
    finally:
        terminal.close()
    if as_json:
        data_json({**found.as_json(), "notes": list(notes)})
        return
    for note in notes:
        talk(f"note: {note}")
    talk(f"{found.folder}")
    data(f"zoo:{found.name}")


def _zoo(zoo: Path | None) -> Path:
    from dnnrun.store.zoo_place import zoo_folder

    return zoo or zoo_folder()


def _bare(name: str) -> str:
    return name.removeprefix("zoo:")


def _show_list(models: list[Entry], as_json: bool, otherwise: str) -> None:
    if as_json:
        data_json([model.as_json() for model in models])
        return
    if not models:
        talk(otherwise)
        return
    lines: list[list[Any]] = [["model", "task", "data", "input", "classes", "parameters", "validation", "test"]]
    for model in models:
        card = model.card
        image = card.input.get("image")
        size = "x".join(map(str, image)) if image else str(card.input["features"])
        scores = [score(card.metrics.get(s)) for s in ("validation", "test")]
        lines.append([model.name, card.task, card.data, size, str(len(card.classes)), f"{card.parameters:,}", *scores])
    data("\n".join(table(lines)))
