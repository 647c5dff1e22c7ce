"""A model card: Markdown with front matter, which says what a model is, how good it is, and how to start from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from dnnrun.errors import ZooError
from dnnrun.nn.architecture import Model, lay_out
from dnnrun.store.checkpoint import outputs_of

FRONT = "---\n"
LARGEST = 1 << 20
KEYS = ("name", "task", "data", "licence", "description", "tags", "layers", "parameters", "input", "classes", "metrics")


@dataclass(frozen=True)
class Card:
    """What the front matter says. `input` has features, image (height, width, channels, or null) and scaling."""

    name: str
    task: str
    data: str
    licence: str
    layers: tuple[int, ...]
    parameters: int
    input: Mapping[str, Any]
    classes: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, float]]
    description: str = ""
    tags: tuple[str, ...] = field(default=())

    def front(self) -> dict[str, Any]:
        """As YAML and JSON have it."""
        found = {key: getattr(self, key) for key in KEYS}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def card_of(
    name: str,
    manifest: Mapping[str, Any],
    metrics: Mapping[str, Any],
    licence: str,
    description: str,
    tags: tuple[str, ...],
) -> Card:
    """The card of a checkpoint, from what its manifest says."""
    plan = lay_out(Model.model_validate(manifest["spec"]["model"]), manifest["features"], outputs_of(manifest))
    image, task = manifest.get("image"), manifest.get("task", "classification")
    source = manifest["spec"]["data"]["source"]
    imported = manifest.get("imported")
    told = source["type"] if source["type"] != "elsewhere" else "unknown"
    return Card(
        name=name,
        task=f"{'image' if image else 'tabular'}-{task}",
        data=told if not imported or told != "unknown" else f"unknown (imported from {imported['format']})",
        licence=licence,
        layers=(plan.features, *(layer.units for layer in plan.layers)),
        parameters=plan.parameters(),
        input={
            "features": manifest["features"],
            "image": image and list(image),
            "scaling": manifest["preprocessing"]["type"],
        },
        classes=tuple(map(str, manifest["classes"] or manifest.get("targets", ()))),
        metrics={split: dict(values) for split, values in metrics.items()},
        description=description,
        tags=tags,
    )


def write(card: Card, spec: str) -> str:
    """The whole card as Markdown; `spec` is the resolved spec as YAML."""
    front = yaml.safe_dump(card.front(), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    image = card.input["image"]
    shape = f"images of {'x'.join(map(str, image))}, flattened: " if image else ""
    told = "outputs" if card.task.endswith("regression") else "classes"
    lines = [
        f"# {card.name}",
        "",
        card.description or f"A dense network for {card.task.replace('-', ' ')}, trained on {card.data}.",
        "",
        "## Inputs and outputs",
        "",
        f"{shape}{card.input['features']} raw numbers a row, scaled by the network itself ({card.input['scaling']}).",
        f"{len(card.classes)} {told}: {', '.join(card.classes[:20])}{', ...' if len(card.classes) > 20 else ''}.",
        "",
        "## Metrics",
        "",
        *_table(card.metrics),
        "",
        "## How to transfer from it",
        "",
        "```sh",
        f"dnnrun transfer new.yaml --from zoo:{card.name} --reuse 'hidden.*' --train outputs",
        f"dnnrun train new.yaml transfer.from=zoo:{card.name}",
        "```",
        "",
        "## Spec",
        "",
        "```yaml",
        spec.rstrip(),
        "```",
        "",
    ]
    return FRONT + front + FRONT + "\n" + "\n".join(lines)


def read(text: str, where: object) -> Card:
    """The card in a Markdown text. Raises ZooError where its front matter is not one."""
    parts = text.split(FRONT, 2)
    if len(parts) != 3 or parts[0]:
        raise ZooError(f"{where}: no front matter; wanted a card that begins with ---")
    try:
        front = yaml.safe_load(parts[1])
        known = {key: front[key] for key in KEYS}
        for key in ("layers", "classes", "tags"):
            known[key] = tuple(known[key])
        return Card(**known)
    except (yaml.YAMLError, KeyError, TypeError, RecursionError) as error:
        raise ZooError(f"{where}: its front matter cannot be used ({type(error).__name__}: {error})") from None


def _table(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not metrics:
        return ["None are known."]
    names = sorted({name for values in metrics.values() for name in values})
    rows = [f"| split | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for split, values in metrics.items():
        rows.append(f"| {split} | {' | '.join(f'{values[name]:.4f}' if name in values else '-' for name in names)} |")
    return rows
