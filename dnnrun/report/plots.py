"""The report's curves, heat maps and confusion matrices as picture files, drawn with matplotlib (extra `plot`)."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from dnnrun.errors import DnnrunError

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#7f7f7f", "#e69f00")


def matplotlib() -> ModuleType:
    """Pyplot without a screen. Raises DnnrunError where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise DnnrunError("plots want matplotlib, which is not installed; pip install 'dnnrun[plot]'") from None
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


def plots_of(content: Mapping[str, Any], form: str) -> dict[str, bytes]:
    """File name -> picture (svg or png): a plot a metric, and of each run its heat maps and confusion matrix."""
    plt = matplotlib()
    found: dict[str, bytes] = {}
    for name in dict.fromkeys(key for run in content["runs"] for key in run["curves"]):
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        for number, run in enumerate(content["runs"]):
            if name in run["curves"]:
                values = [float("nan") if v is None else v for v in run["curves"][name]]
                color, line = COLORS[number % len(COLORS)], ("-", "--", ":", "-.")[number % 4]
                axes.plot(run["epochs"], values, line, color=color, label=run["label"])
        axes.set(xlabel="epoch", ylabel=name.replace(".", " ").replace("_", " "))
        axes.grid(alpha=0.3)
        axes.legend()
        found[f"{name}.{form}"] = _drawn(plt, figure, form)
    for run in content["runs"]:
        label = re.sub(r"[^A-Za-z0-9._-]", "-", run["label"])
        for name, grid in (run["signals"] or {"grids": {}})["grids"].items():
            title = f"{run['label']}: {content['quantities'][name]}"
            figure = heat_map(plt, run["signals"], grid, title, _ends(content, name))
            found[f"{label}-{name}.{form}"] = _drawn(plt, figure, form)
        if run["score"] and "confusion" in run["score"]:
            found[f"{label}-confusion.{form}"] = _drawn(plt, _confusion(plt, run["score"]), form)
        if run["score"] and run["score"]["task"] == "regression":
            for target in run["score"]["targets"]:
                name = re.sub(r"[^A-Za-z0-9._-]", "-", target["name"])
                found[f"{label}-{name}.{form}"] = _drawn(plt, _numbers(plt, run["score"]["split"], target), form)
    return found


def _numbers(plt: ModuleType, split: str, target: Mapping[str, Any]) -> Any:
    """Predicted over true, and the residuals beside it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    left.plot(target["true"], target["predicted"], ".", color=COLORS[0], alpha=0.6)
    ends = [f(target["true"] + target["predicted"]) for f in (min, max)]
    left.plot(ends, ends, "--", color="0.5")
    r2 = "" if target["r2"] is None else f", R2 {target['r2']:.4f}"
    left.set(xlabel="true", ylabel="predicted", title=f"{target['name']}, {split}{r2}")
    right.stairs(target["residuals"]["counts"], target["residuals"]["edges"], fill=True, color=COLORS[0])
    right.set(xlabel="predicted minus true", ylabel="rows", title=f"RMSE {target['rmse']:.4g}")
    return figure


def _ends(content: Mapping[str, Any], name: str) -> tuple[float, float]:
    """The lowest and the highest value of a quantity in all runs, so that their heat maps can be compared."""
    grids = [
        run["signals"]["grids"][name] for run in content["runs"] if name in (run["signals"] or {"grids": {}})["grids"]
    ]
    values = [value for grid in grids for row in grid for value in row if value is not None]
    return min(values), max(values)


def heat_map(
    plt: ModuleType,
    signals: Mapping[str, Any],
    grid: list[list[float | None]],
    title: str,
    ends: tuple[float, float],
) -> Any:
    """Layers down, steps across; `ends` are the values of the first and the last colour."""
    layers, steps = signals["layers"], signals["steps"]
    figure, axes = plt.subplots(figsize=(7, min(12, 1.6 + 0.22 * len(layers))), layout="constrained")
    values = [[float("nan") if v is None else v for v in row] for row in grid]
    picture = axes.imshow(values, aspect="auto", interpolation="nearest", cmap="viridis", vmin=ends[0], vmax=ends[1])
    every = max(1, len(layers) // 24)
    axes.set_yticks(range(0, len(layers), every), layers[::every])
    across = max(1, len(steps) // 8)
    axes.set_xticks(range(0, len(steps), across), [f"{step:,}" for step in steps[::across]])
    axes.set(xlabel="step", title=title)
    figure.colorbar(picture)
    return figure


def _confusion(plt: ModuleType, score: Mapping[str, Any]) -> Any:
    names, counts = score["classes"], score["confusion"]
    figure, axes = plt.subplots(figsize=(5.5, 5), layout="constrained")
    shares = [[v / max(1, sum(row)) for v in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, count, ha="center", va="center", fontsize=7, color="w" if shares[i][j] > 0.5 else "k")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=f"{score['split']}, accuracy {score['accuracy']:.4f}")
    return figure


def _drawn(plt: ModuleType, figure: Any, form: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=120, metadata={"Date": None} if form == "svg" else None)
    plt.close(figure)
    return buffer.getvalue()


def range_test(rates: list[float], losses: list[float], suggested: float, form: str) -> bytes:
    """Losses over learning rates, with the suggested one."""
    plt = matplotlib()
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.semilogx(rates, losses, color=COLORS[0])
    axes.axvline(suggested, color=COLORS[1], linestyle="--", label=f"suggested: {suggested:g}")
    axes.set(xlabel="learning rate", ylabel="loss (smoothed)", ylim=(None, min(max(losses), 2 * losses[0])))
    axes.grid(alpha=0.3)
    axes.legend()
    return _drawn(plt, figure, form)
