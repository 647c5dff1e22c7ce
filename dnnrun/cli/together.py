"""Options of a run on many devices and processes, and how a process of many ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from dnnrun.cli.output import flush, own_stdout, talk, told

if TYPE_CHECKING:
    from dnnrun.train.team import Meeting, Team

Devices = Annotated[
    str | None, typer.Option("--devices", metavar="all|N", help="Share every batch out over devices (train.devices).")
]
Distributed = Annotated[
    bool,
    typer.Option("--distributed", help="One of many processes or hosts that train together, on all their devices."),
]
Coordinator = Annotated[
    str | None,
    typer.Option("--coordinator", metavar="HOST:PORT", help="Where process 0 meets the others [DNNRUN_COORDINATOR]."),
]
Processes = Annotated[
    int | None, typer.Option("--processes", min=1, help="How many processes there are [DNNRUN_PROCESSES].")
]
Process = Annotated[int | None, typer.Option("--process", min=0, help="Which one this is, from 0 [DNNRUN_PROCESS].")]


def meeting(
    distributed: bool, devices: str | None, coordinator: str | None, processes: int | None, process: int | None
) -> Meeting | None:
    """Where the processes meet, None for a run in one."""
    from dnnrun.train.team import Meeting

    if not distributed:
        for option, value in (("--coordinator", coordinator), ("--processes", processes), ("--process", process)):
            if value is not None:
                raise typer.BadParameter(f"{option} is for --distributed; add that, or leave it out")
        return None
    if devices is not None:
        raise typer.BadParameter(
            "--devices and --distributed exclude each other: all devices of all processes are used"
        )
    coordinator = coordinator or os.environ.get("DNNRUN_COORDINATOR") or None
    processes = _number("DNNRUN_PROCESSES") if processes is None else processes
    process = _number("DNNRUN_PROCESS") if process is None else process
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise typer.BadParameter(f"--coordinator {coordinator}: wanted HOST:PORT of process 0, as 10.0.0.1:4321")
    if processes is not None and process is not None and process >= processes:
        raise typer.BadParameter(f"--process {process}: wanted 0 to {processes - 1}, of --processes {processes}")
    return Meeting(coordinator, processes, process)


def _number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    if text and not text.isdecimal():
        raise typer.BadParameter(f"{variable}={text}: wanted a whole number")
    return int(text) if text else None


def last_words(line: str) -> None:
    """An error of a process that cannot end in the usual way."""
    talk(f"error: {line}")


@contextmanager
def parting(team: Team | None) -> Iterator[None]:
    """End together with the other processes, here. What failed in all of them is told by the first one alone."""
    from dnnrun.errors import DnnrunError

    if team is None:
        yield
        return
    own_stdout()
    try:
        yield
    except BaseException as error:
        speaks = team.part(str(error) or type(error).__name__)
        if not isinstance(error, DnnrunError):
            if speaks:
                import traceback

                talk(traceback.format_exc())
            code = 1
        else:
            code = told(error, f"process {team.index}: " if team.index else "", speaks)
        flush()
        os._exit(code)
    team.part(None)
    flush()
    os._exit(0)
