"""What a report says of its runs, as plain data: the page, the Markdown and the plots are drawn from it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dnnrun import __version__
from dnnrun.data.dataset import Dataset
from dnnrun.data.source import Places
from dnnrun.errors import CheckpointError, DataError, RunDirectoryError
from dnnrun.nn.cost import cost_of
from dnnrun.report.gather import Run, find_run
from dnnrun.report.score import score
from dnnrun.spec.compare import flatten
from dnnrun.spec.load import dump

MOST_RUNS = 12
HEAT_LAYERS, HEAT_STEPS = 120, 120  # cells of a heat map; of more, some between are left out
QUANTITIES = {
    "gradient": "gradient, std (log10)",
    "pre_activation": "pre-activation, std (log10)",
    "activation": "activation, std (log10)",
    "update": "update to weight (log10)",
    "kernel_gradient": "gradient to weight (log10)",
    "rank": "effective rank",
    "saturated": "share of flat values",
    "dead": "share of dead units",
}
ENVIRONMENT = ("device", "threads", "platform", "git", "started", "ended")


def content_of(
    arguments: Sequence[str | Path], places: Places, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """All that the report shows of these runs. What of a run cannot be had is said, and left out.

    Raises CheckpointError for what is no run, SpecError for a run of which the spec cannot be read.
    """
    runs = [find_run(argument) for argument in arguments]
    unique = list({run.path.resolve(): run for run in runs}.values())
    if len(unique) > MOST_RUNS:
        raise RunDirectoryError(f"{len(unique)} runs: a report shows {MOST_RUNS} at most; name fewer")
    datasets: dict[str, Dataset] = {}
    labels = _labels(unique)
    specs = [flatten(run.spec.model_dump(mode="json")) for run in unique]
    return {
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "dnnrun": __version__,
        "runs": [_run(run, label, places, datasets, say) for run, label in zip(unique, labels, strict=True)],
        "diff": _diff(specs),
        "quantities": QUANTITIES,
    }


def _labels(runs: Sequence[Run]) -> list[str]:
    """The names, with the run's own where two share one."""
    names = [run.path.parent.name for run in runs]
    return [run.label if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]


def _run(
    run: Run, label: str, places: Places, datasets: dict[str, Dataset], say: Callable[[str], None]
) -> dict[str, Any]:
    meta, epochs = run.meta, run.epochs
    curves: dict[str, list[float | None]] = {}
    for split in ("train", "validation"):
        for metric in dict.fromkeys(name for epoch in epochs for name in epoch.get(split, {})):
            curves[f"{split}.{metric}"] = [epoch.get(split, {}).get(metric) for epoch in epochs]
    curves["learning_rate"] = [epoch.get("learning_rate") for epoch in epochs]
    try:
        scored = score(run, places, datasets)
        trouble = None if scored else "there is no checkpoint yet"
    except (DataError, CheckpointError) as error:
        scored, trouble = None, str(error)
        say(f"{label}: {trouble}")
    return {
        "label": label,
        "path": str(run.path),
        "status": run.status,
        "error": meta.get("error"),
        "seed": run.spec.seed,
        "epochs": [epoch["epoch"] for epoch in epochs],
        "steps": [epoch["step"] for epoch in epochs],
        "seconds": [epoch.get("timing", {}).get("seconds") for epoch in epochs],
        "curves": curves,
        "final": run.metrics,
        "timing": run.result.get("timing", {}),
        "costs": _costs(run),
        "signals": _signals(run),
        "score": scored,
        "no_score": trouble,
        "transfer": meta.get("transfer"),
        "environment": {key: meta[key] for key in ENVIRONMENT if meta.get(key) is not None},
        "versions": meta.get("versions", {}),
        "data": meta.get("data", {}).get("hash", "")[:16],
        "spec": dump(run.spec),
    }


def _costs(run: Run) -> dict[str, Any]:
    try:
        architecture = run.architecture
    except CheckpointError:
        return {}  # the predictions say so
    if architecture is None:
        return {}
    cost = cost_of(architecture)
    return {
        "layers": "-".join(str(n) for n in (architecture.features, *(x.units for x in architecture.layers))),
        "parameters": architecture.parameters(),
        "flops_per_prediction": cost.forward,
        "weights_bytes": cost.weights,
    }


def _diff(specs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The keys whose values differ between the runs, each with all of them."""
    keys = sorted({key for spec in specs for key in spec})
    found = []
    for key in keys:
        values = [spec.get(key) for spec in specs]
        if any(value != values[0] for value in values):
            found.append({"key": key, "values": ["" if value is None else str(value) for value in values]})
    return found


def _signals(run: Run) -> dict[str, Any] | None:
    """Quantity -> rows of layers over columns of steps; None where the run was not watched."""
    events = [event for event in run.events if event["event"] == "signals"]
    if not events:
        return None
    events = _thinned(events, HEAT_STEPS)
    layers = _thinned(list(events[-1]["layers"]), HEAT_LAYERS)
    grids = {}
    for name in QUANTITIES:
        grid = [[_cell(event["layers"].get(layer), name) for event in events] for layer in layers]
        if any(value is not None for row in grid for value in row):
            grids[name] = grid
    return {"layers": layers, "steps": [event["step"] for event in events], "grids": grids}


def _thinned(entries: list[Any], most: int) -> list[Any]:
    if len(entries) <= most:
        return entries
    return [entries[round(at * (len(entries) - 1) / (most - 1))] for at in range(most)]


def _cell(found: dict[str, Any] | None, name: str) -> float | None:
    if not isinstance(found, dict) or name not in found:
        return None
    if name in ("gradient", "pre_activation", "activation"):
        value = found[name]["std"]
    elif name in ("update", "kernel_gradient"):
        value = found[name] / found["kernel"] if found[name] is not None and found["kernel"] else None
    else:
        return None if found[name] is None else round(found[name], 4)
    return round(math.log10(value), 3) if value else None
