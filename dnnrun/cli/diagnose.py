"""The verb diagnose: signals through the layers, what is wrong with them, and a remedy that was tried."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, table, talk
from dnnrun.cli.places import DataDir

if TYPE_CHECKING:
    from dnnrun.cli.terminal import Terminal
    from dnnrun.diagnose.case import Case

SHOWN = 24  # layers that the table shows all of; of more, the first and last and evenly some between


def diagnose(
    subject: Annotated[
        str, typer.Argument(metavar="SPEC|RUN|CHECKPOINT", help="A spec, or a trained network to look at as it is.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=0, help="Steps of the short training; 0 for none.")] = 300,
    remedy: Annotated[bool, typer.Option("--remedy/--no-remedy", help="Try changes that may cure.")] = True,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--remedy-seconds", min=0, help="How long remedies are tried; unset: 600, of more than 200 layers 120."
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the spec with the remedy beside the old one.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="KIND,...", help="End with 1 where one of these is found; any for all."),
    ] = None,
    inputs: Annotated[
        str | None, typer.Option("--inputs", metavar="normal:WIDTH", help="Standard normal inputs instead of the data.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """See how signals go through the layers, name what is wrong, and try what cures it."""
    from dnnrun.cli.terminal import Terminal
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.diagnose.case import examine
    from dnnrun.diagnose.verdict import KINDS

    wanted = _kinds(fail_on, KINDS)
    width = _width(inputs)
    terminal = Terminal()
    try:
        case = examine(
            subject,
            overrides or (),
            steps=steps,
            remedy=remedy or apply,
            normal=width,
            seconds=seconds,
            places=find_places(data_dir, terminal.download, terminal.reading),
            cache=compile_cache(terminal.warn),
            progress=_Shown(terminal),
        )
    finally:
        terminal.close()
    if case.point is not None:
        talk(f"looked at {case.point.folder}, step {case.point.step:,}")
    if not as_json:
        _show(case)
    written = case.write() if apply and case.findings else None
    if as_json:
        data_json(case.as_json() | ({"written": str(written)} if written else {}))
    if written:
        talk(f"written: {written}")
    elif apply:
        talk("--apply: nothing is wrong, so no spec is written")
    if hit := [finding for finding in case.findings if finding.kind in wanted]:
        talk(f"found, as --fail-on {fail_on} asks: {', '.join(dict.fromkeys(f.kind for f in hit))}")
        raise typer.Exit(1)


class _Shown:
    """How far it is: a bar on a terminal, else a line for each remedy that is tried."""

    def __init__(self, terminal: Terminal):
        self.terminal = terminal
        self.name: str | None = None
        self.began = 0.0

    def __call__(self, name: str, done: int, steps: int, left: float | None) -> None:
        from dnnrun.cli.terminal import duration

        if name != self.name:
            self.name, self.began = name, time.monotonic()
            if left is not None and not self.terminal.live:
                talk(f"trying {name}, about {duration(left)} left")
        spent = time.monotonic() - self.began
        ahead = None if left is None else max(0.0, left - spent)
        if ahead is None and done:
            ahead = spent / done * (steps - done)
        eta = "" if ahead is None else f"  ETA {duration(ahead)}"
        step = f": step {done}/{steps}" if steps else ""
        self.terminal.progress(f"{name}{step}{eta}", done / max(steps, 1))


def _kinds(fail_on: str | None, known: tuple[str, ...]) -> set[str]:
    if fail_on is None:
        return set()
    names = [name.strip() for name in fail_on.split(",")]
    if unknown := [name for name in names if name not in (*known, "any")]:
        raise typer.BadParameter(f"--fail-on {unknown[0]!r}; wanted {', '.join(known)}, or any")
    return set(known) if "any" in names else set(names)


def _width(inputs: str | None) -> int | None:
    if inputs is None:
        return None
    kind, _, width = inputs.partition(":")
    if kind != "normal" or not width.isdecimal() or int(width) == 0:
        raise typer.BadParameter(f"--inputs {inputs!r}; wanted normal:WIDTH, as normal:100")
    return int(width)


def _show(case: Case) -> None:
    from dnnrun.diagnose.verdict import hidden

    signals = case.look.start
    lines = [["layer", "pre-act std", "act mean", "act std", "gradient std", "rank", "flat", "dead", "update/weight"]]
    names = list(signals)
    kept = _some(names)
    for name in kept:
        found = signals[name]
        lines.append(
            [
                name,
                _number(found["pre_activation"]["std"]),
                _number(found["activation"]["mean"]),
                _number(found["activation"]["std"]),
                _number(found["gradient"]["std"]),
                _number(found["rank"]),
                _share(found["saturated"]),
                _share(found["dead"]),
                _number(_ratio(found["update"], found["kernel"])),
            ]
        )
    data("\n".join(table(lines)))
    if len(kept) < len(names):
        data(f"({len(names) - len(kept)} layers between are left out; --json has them all)")
    layers = hidden(signals)
    if layers:
        means = [signals[name]["activation"]["mean"] for name in layers]
        stds = [signals[name]["activation"]["std"] for name in layers]
        if None not in (*means, *stds):
            data(
                f"\nactivations of the hidden layers: mean {min(means):.3f} to {max(means):.3f}, "
                f"std {min(stds):.3g} to {max(stds):.3g}"
            )
    for what, flow in (("going up, pre-activations", case.look.forward), ("going down, gradients", case.look.backward)):
        if flow:
            data(f"{what} {flow} ({flow.total:.3g} over {flow.layers} layers)")
    for line in case.account():
        data(line)


def _some(names: list[str]) -> list[str]:
    if len(names) <= SHOWN:
        return names
    step = (len(names) - 1) / (SHOWN - 1)
    return [names[round(at * step)] for at in range(SHOWN)]


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
