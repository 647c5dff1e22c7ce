"""The report as one HTML file that needs nothing else, and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files as resources
from typing import Any


def html_of(content: Mapping[str, Any]) -> str:
    """The page. Drawn by its own script from the data inside; no address is contacted."""
    package = resources("dnnrun.report")
    names = ", ".join(run["label"] for run in content["runs"])
    # A closing tag inside a script would end it, whatever string it stands in.
    data = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "TITLE": escape(f"{names}: dnnrun report"),
        "STYLE": package.joinpath("page.css").read_text("utf-8"),
        "SCRIPT": package.joinpath("page.js").read_text("utf-8"),
        "DATA": data,
    }
    page = package.joinpath("page.html").read_text("utf-8")
    for key, value in parts.items():
        page = page.replace(f"@{key}@", value)
    return page


def markdown_of(content: Mapping[str, Any]) -> str:
    """The tables of the report, for a place that shows Markdown."""
    runs = content["runs"]
    lines = ["# Runs", "", f"dnnrun {content['dnnrun']}, {content['made']}", ""]
    metrics = list(dict.fromkeys(key for run in runs for key in run["final"]))
    head = ["run", "status", "seed", "epochs", *metrics, "examples/s", "parameters"]
    rows = [
        [
            run["label"],
            run["status"],
            str(run["seed"]),
            str(len(run["epochs"])),
            *(f"{run['final'][key]:.4f}" if key in run["final"] else "-" for key in metrics),
            _count(run["timing"].get("examples_per_s")),
            _count(run["costs"].get("parameters")),
        ]
        for run in runs
    ]
    lines += [*_table(head, rows), ""]
    if content["diff"]:
        lines += ["## Where the specs differ", ""]
        labels = [run["label"] for run in runs]
        lines += [*_table(["key", *labels], [[d["key"], *d["values"]] for d in content["diff"]]), ""]
    for run in runs:
        lines += [f"## {run['label']}", "", f"`{run['path']}`, {run['status']}", ""]
        if run["error"]:
            lines += [run["error"], ""]
        scored = run["score"]
        if scored:
            lines += _scored(scored)
            if "confusion" in scored:
                names = scored["classes"]
                table = [[name, *map(str, row)] for name, row in zip(names, scored["confusion"], strict=True)]
                lines += ["True classes down, predicted across:", "", *_table(["", *names], table), ""]
        if run["transfer"]:
            lines += [f"Reused: {', '.join(run['transfer'].get('reused', [])) or 'nothing'}", ""]
        lines += ["```yaml", run["spec"].rstrip(), "```", ""]
    return "\n".join(lines)


def _scored(scored: Mapping[str, Any]) -> list[str]:
    """What a run predicts, in words or a table."""
    told = f"{scored['split']}: {scored['examples']:,} examples"
    if scored["task"] == "classification":
        error = scored["calibration"]["error"]
        return [f"{told}, accuracy {scored['accuracy']:.4f}, calibration error {error:.4f}", ""]
    if scored["task"] == "regression":
        keys, parts = ("rmse", "mae", "r2"), scored["targets"]
    else:
        told += f", every label right in {scored['accuracy']:.2%}, single labels right {scored['label_accuracy']:.2%}"
        keys, parts = ("support", "accuracy", "precision", "recall", "f1", "area"), scored["labels"]
    rows = [[part["name"], *("-" if part[key] is None else f"{part[key]:.4g}" for key in keys)] for part in parts]
    more = [f"{scored['left_out']} more targets are left out", ""] if keys[0] == "rmse" and scored["left_out"] else []
    return [told, "", *_table(["", *keys], rows), "", *more]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(head), "|" + "---|" * len(head), *(line(row) for row in rows)]


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
