"""The verbs find-lr and profile: short measurements of a spec that leave no run behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnnrun.cli.output import Json, data, data_json, table, talk
from dnnrun.cli.places import DataDir

if TYPE_CHECKING:
    from dnnrun.diagnose.find_rate import RangeTest

SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="A spec file, or a packaged one.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")]
ROWS, COLUMNS = 12, 64  # of the plot in the terminal


def find_lr(
    spec: SpecArgument,
    overrides: Overrides = None,
    low: Annotated[float, typer.Option("--low", help="The first learning rate.")] = 1e-6,
    high: Annotated[float, typer.Option("--high", help="The last one.")] = 10.0,
    steps: Annotated[int, typer.Option("--steps", min=20, help="Steps from the one to the other.")] = 300,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Draw it as a picture too: a .svg or .png file.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find a learning rate: train with a growing one and see where the loss falls fastest."""
    from dnnrun.cli.terminal import Terminal
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.diagnose.find_rate import find_rate
    from dnnrun.spec.load import load

    if not 0 < low < high < float("inf"):
        raise typer.BadParameter(f"--low {low:g} and --high {high:g}; wanted 0 < low < high")
    form = output.suffix.lstrip(".") if output else ""
    if output and form not in ("svg", "png"):
        raise typer.BadParameter(f"--output {output}; wanted a file that ends in .svg or .png")
    terminal = Terminal()
    try:
        found = find_rate(
            load(spec, overrides or ()),
            find_places(data_dir, terminal.download, terminal.reading),
            low=low,
            high=high,
            steps=steps,
            cache=compile_cache(terminal.warn),
            progress=lambda done, steps: terminal.progress(f"step {done}/{steps}", done / steps),
        )
    finally:
        terminal.close()
    if output:
        from dnnrun import files
        from dnnrun.report.plots import range_test

        files.write_atomic(output, range_test(found.rates, found.losses, found.suggested, form))
    if as_json:
        data_json(found.as_json())
        return
    for line in _plot(found):
        data(line)
    data(f"\nsuggested: train.optimizer.learning_rate={found.suggested:g} (where the loss falls fastest)")
    data(f"the loss is lowest at {found.lowest:.2g} and grows beyond: stay below a tenth of that or so")


def profile(
    spec: SpecArgument,
    overrides: Overrides = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FOLDER", help="Write a trace for the profiler's viewer.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """See where a training step's time goes, and how near it comes to what the machine can do."""
    from dnnrun.cli.terminal import Terminal
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.diagnose.profile import GEMM
    from dnnrun.diagnose.profile import profile as measured
    from dnnrun.spec.load import load

    terminal = Terminal()
    try:
        found = measured(
            load(spec, overrides or ()),
            find_places(data_dir, terminal.download, terminal.reading),
            cache=compile_cache(terminal.warn),
            trace=trace,
            progress=lambda what, done, steps: terminal.progress(what, done / steps),
        )
    finally:
        terminal.close()
    if as_json:
        data_json(found.as_json())
        return
    data(f"{found.device}, batch size {found.batch_size}: {found.examples_per_s:,.0f} examples/s")
    lines = [["part of a step", "microseconds", "share"]]
    lines += [[name, f"{s * 1e6:,.1f}", f"{s / found.step:.0%}"] for name, s in found.parts.items()]
    data("\n".join(table([*lines, ["whole", f"{found.step * 1e6:,.1f}", "100%"]])))
    data(
        f"\n{found.achieved:,.1f} GFLOP/s in a step; a product of {GEMM} x {GEMM} here reaches {found.gemm:,.1f} "
        f"({found.achieved / found.gemm:.0%})"
    )
    if found.counted:
        data("XLA counts a step: " + ", ".join(f"{value:,.0f} {key}" for key, value in found.counted.items()))
    if found.batches:
        tried = [[str(size), f"{found.batches[size]:,.0f}"] for size in sorted(found.batches)]
        lines = [["batch size", "examples/s"], *tried]
        data("\n" + "\n".join(table(lines)))
    data("")
    for line in found.advice():
        data(f"- {line}")
    if trace:
        talk(f"trace: {trace}; open it with tensorboard --logdir {trace}, or perfetto.dev")


def _plot(found: RangeTest) -> list[str]:
    """The losses over the logarithm of the rates, drawn in characters."""
    import math

    low, high = min(found.losses), min(max(found.losses), 2 * found.losses[0])
    first, last = math.log10(found.rates[0]), math.log10(found.rates[-1])
    grid = [[" "] * COLUMNS for _ in range(ROWS)]

    def column(rate: float) -> int:
        return min(COLUMNS - 1, int((math.log10(rate) - first) / (last - first) * COLUMNS))

    for row in grid:
        row[column(found.suggested)] = "|"
    for rate, loss in zip(found.rates, found.losses, strict=True):
        at = (high - min(loss, high)) / max(high - low, 1e-12)
        grid[min(ROWS - 1, int(at * ROWS))][column(rate)] = "*"
    lines = [f"{high:8.3f} |", *["         |"] * (ROWS - 2), f"{low:8.3f} |"]
    lines = [left + "".join(row).rstrip() for left, row in zip(lines, grid, strict=True)]
    ends = f"{found.rates[0]:.0e}", f"{found.rates[-1]:.0e}"
    return [*lines, " " * 9 + "+" + "-" * COLUMNS, " " * 10 + ends[0] + ends[1].rjust(COLUMNS - len(ends[0]))]
