"""The verb compare: two runs, or two specs over seeds, side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from dnnrun.cli.output import Json, data, data_json, table

UNITS = {
    "examples_per_s": "examples/s",
    "total_s": "seconds",
    "parameters": "parameters",
    "model_bytes": "bytes of weights",
    "flops_per_example": "FLOPs an example",
}


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run, or runs/NAME: its finished runs over seeds.")],
    second: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    as_json: Json = False,
) -> None:
    """Compare two runs: spec, metrics with intervals over seeds, speed, size."""
    from dnnrun.report.compare import compare as compared

    found = compared(first, second)
    if as_json:
        data_json(found.as_json())
        return
    for side, letter in ((found.first, "A"), (found.second, "B")):
        seeds = ", ".join(str(run.spec.seed) for run in side.runs)
        data(f"{letter}: {side.newest.path}  ({len(side.runs)} run{'s' * (len(side.runs) != 1)}, seed {seeds})")
    data("\nspec, A -> B:" if found.diff else "\nspec: the same but for the seed")
    for line in found.diff:
        data(f"  {line}")
    lines = [["metric", "A", "B", "B - A", "B is"]]
    lines += [[row.metric, str(row.first), str(row.second), _signed(row.gain), row.verdict] for row in found.rows()]
    data("")
    data("\n".join(table(lines)))
    lines = [["cost", "A", "B", "B / A"]]
    for key, (one, two) in found.costs().items():
        ratio = f"{two / one:.2f}" if one and two is not None else "-"
        lines.append([UNITS[key], _count(one), _count(two), ratio])
    data("")
    data("\n".join(table(lines)))


def _signed(gain: object) -> str:
    if gain is None:
        return "-"
    text = str(gain)
    return text if text.startswith("-") else f"+{text}"


def _count(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if value < 100 and value != int(value) else f"{value:,.0f}"
