"""The options of every verb that runs many trials: which engine, where, how many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dnnrun.cli.output import talk

if TYPE_CHECKING:
    from dnnrun.spec.sections import Spec
    from dnnrun.sweep.engine import Engine

NAMES = ("auto", "local", "vmap", "ray")
EngineName = Annotated[
    str | None, typer.Option("--engine", help="What runs the trials: auto, local, vmap, ray; unset: the spec's.")
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="The Ray cluster that runs the trials.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Trials at a time; unset: one a core, or 64 by vmap.")]


def choose_engine(base: Spec, name: str | None, address: str | None, jobs: int | None) -> Engine:
    """The engine for the trials of `base`; what it is and why is told."""
    from dnnrun.sweep.engine.choose import choose

    if name is not None and name not in NAMES:
        raise typer.BadParameter(f"--engine {name!r}; wanted {', '.join(NAMES)}")
    engine, why = choose(base, name, address, jobs)
    talk(f"engine: {engine} ({why})")
    return engine
