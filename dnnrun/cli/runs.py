"""The verb runs: what has been trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dnnrun.cli.output import Json, data, data_json, score, table, talk
from dnnrun.cli.places import RunsDir


def runs(runs_dir: RunsDir = Path("runs"), as_json: Json = False) -> None:
    """List the runs: name, when, status, epochs, metrics."""
    from dnnrun.errors import RunDirectoryError
    from dnnrun.store.run import all_runs

    if runs_dir.exists() and not runs_dir.is_dir():
        raise RunDirectoryError(f"{runs_dir}: a file; wanted the folder that runs are kept in")
    found = [_row(run) for run in all_runs(runs_dir)]
    if as_json:
        data_json(found)
        return
    if not found:
        talk(f"no runs in {runs_dir}; dnnrun train SPEC makes one")
        return
    lines = [["run", "status", "epochs", "validation", "test", "examples/s"]]
    for row in found:
        metrics = row["metrics"]
        scores = [score(metrics.get(s)) for s in ("validation", "test")]
        rate = row["examples_per_s"]
        lines.append([row["run"], row["status"], str(row["epochs"]), *scores, f"{rate:,.0f}" if rate else "-"])
    data("\n".join(table(lines)))


def _row(run: Any) -> dict[str, Any]:
    from dnnrun.errors import RunDirectoryError
    from dnnrun.store import events

    try:
        meta = run.meta()
        status, result = run.status(), meta.get("result", {})
        done = result.get("epochs")
        if done is None:
            done = max((event["epoch"] for event in events.read(run.metrics) if event["event"] == "epoch"), default=0)
    except RunDirectoryError as error:
        return {
            "run": str(run.path),
            "status": f"unreadable: {error}",
            "epochs": 0,
            "metrics": {},
            "examples_per_s": None,
        }
    return {
        "run": str(run.path),
        "status": status,
        "epochs": done,
        "metrics": result.get("metrics", {}),
        "examples_per_s": result.get("timing", {}).get("examples_per_s"),
    }
