"""The verbs train and eval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnnrun.cli.output import Json, data, data_json, table
from dnnrun.cli.places import DataDir, RunsDir
from dnnrun.cli.together import Coordinator, Devices, Distributed, Process, Processes, last_words, meeting, parting

if TYPE_CHECKING:
    from dnnrun.spec.sections import Spec
    from dnnrun.train.team import Team

SPLITS, DEVICES = ("train", "validation", "test"), ("auto", "cpu", "gpu", "tpu")
Device = Annotated[str, typer.Option("--device", help="auto, cpu, gpu or tpu.")]


def train(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A spec file, or a packaged one (dnnrun ls configs).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest run from its last checkpoint.")
    ] = False,
    devices: Devices = None,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: Process = None,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train a network from a spec."""
    from dnnrun.spec.load import load

    place = meeting(distributed, devices, coordinator, processes, process)
    given = [*(overrides or ()), *([f"train.devices={devices}"] if devices is not None else [])]
    loaded = load(spec, given)
    if place is None:
        run_spec(loaded, resume, runs_dir, data_dir, as_json)
        return
    from dnnrun.train.team import Team

    team = Team(place, last_words)
    with parting(team):
        run_spec(loaded, resume, runs_dir, data_dir, as_json, team)


def run_spec(
    spec: Spec,
    resume: bool,
    runs_dir: Path,
    data_dir: Path | None,
    as_json: bool,
    team: Team | None = None,
    only_stages: bool = False,
) -> None:
    """Train, show how it goes, and print what it came to; of a `team` the first process alone speaks.

    `only_stages` ends after the stages of pretraining.
    """
    from dnnrun.cli.evaluation import beside
    from dnnrun.cli.signals import Signals
    from dnnrun.cli.terminal import Terminal
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.errors import Interrupted
    from dnnrun.experiment import train as run

    terminal = Terminal()
    try:
        result = run(
            spec,
            runs=runs_dir,
            resume=resume,
            places=find_places(data_dir, terminal.download, terminal.reading),
            watcher=terminal,
            stop=Signals(),
            cache=compile_cache(terminal.warn),
            age=_age(),
            team=team,
            only_stages=only_stages,
        )
    except Interrupted as stopped:
        if as_json and (team is None or team.lead):
            data_json(stopped.result)
        raise
    finally:
        terminal.close()
    if team and not team.lead:
        return
    if as_json:
        data_json(result.as_json())
        return
    for split, metrics in result.metrics.items():
        terminal.say(f"{split:>10}: " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    if result.baseline:
        terminal.table(beside(result.metrics, result.baseline))
    terminal.say(f"{result.run}")


def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A run (runs/NAME), a checkpoint folder, or .../best.")
    ],
    split: Annotated[str | None, typer.Option("--split", help="train, validation or test.")] = None,
    on: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="A table, .npz or image folder to evaluate on instead."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="The .npy or IDX file of the labels of --data.")
    ] = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Metrics of a checkpoint, with 95% intervals, on the test split, else validation, else train."""
    from dnnrun.cli.evaluation import told
    from dnnrun.cli.terminal import Terminal
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.evaluation import evaluate as score
    from dnnrun.metric import MEASURED

    for option, value, known in (("--split", split, SPLITS), ("--device", device, DEVICES)):
        if value is not None and value not in known:
            raise typer.BadParameter(f"{option} {value!r}; wanted {', '.join(known)}")
    terminal = Terminal()
    found = score(
        checkpoint,
        split=split,
        data=on,
        labels=labels,
        places=find_places(data_dir, terminal.download, terminal.reading),
        watcher=terminal,
        device=device,
        cache=compile_cache(terminal.warn),
    )
    terminal.close()
    if as_json:
        data_json(found.as_json())
        return
    values = "  ".join(f"{name} {found.metrics[name]:.4f}" for name in MEASURED[found.task])
    data(f"{found.split}: {values}  ({found.examples:,} examples, {found.checkpoint})")
    for lines in told(found):
        data("\n".join(["", *table(lines)]))


def _age() -> float:
    """Seconds since this process began, imports and all."""
    import time

    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())
