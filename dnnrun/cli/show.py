"""The verb show: a resolved spec, and the network it comes to, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, table
from dnnrun.cli.places import DataDir

if TYPE_CHECKING:
    from dnnrun.data.dataset import Dataset
    from dnnrun.nn.architecture import Architecture


def show(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A spec file, or a packaged one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Over the spec's own.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show a spec with every default, and its layers, shapes and parameters."""
    from dnnrun.assemble import read_data
    from dnnrun.data.places import find_places
    from dnnrun.data.scale import fit
    from dnnrun.nn.architecture import lay_out
    from dnnrun.nn.cost import forward_of
    from dnnrun.spec.load import dump, load
    from dnnrun.supervision import outputs_for

    loaded = load(spec, overrides or ())
    dataset = read_data(loaded, find_places(data_dir))
    scaling = fit(loaded.data.scale, dataset)
    architecture = lay_out(loaded.model, dataset.width, outputs_for(loaded, dataset))
    rows = {split: stop - start for split, (start, stop) in dataset.splits.items()}
    if as_json:
        network = {**_network(architecture), "cost": _cost(architecture, loaded.train.batch_size)}
        about = {"rows": rows, "features": dataset.width, "classes": list(dataset.classes), "scaling": scaling.type}
        about |= {"task": dataset.task, "targets": list(dataset.targets)}
        data_json({"spec": loaded.model_dump(mode="json"), "data": about, "network": network})
        return
    data(dump(loaded))
    counts = ", ".join(f"{count:,} {split}" for split, count in rows.items())
    data(f"data: {counts} rows of {dataset.width} features, {_told(dataset)}, scaling {scaling.type}\n")
    lines = [["layer", "in", "units", "activation", "initializer", "batch norm", "dropout", "parameters", "FLOPs"]]
    for layer in architecture.layers:
        count = sum(tensor.size for tensor in layer.tensors if not tensor.statistic)
        lines.append(
            [
                layer.name,
                str(layer.fan_in),
                str(layer.units),
                _type(layer.activation),
                f"{_type(layer.initializer)} ({layer.why_initializer})",
                f"{layer.batch_norm.position} activation" if layer.batch_norm else "-",
                f"{layer.dropout:g}" if layer.dropout else "-",
                f"{count:,}",
                f"{forward_of(layer):,}",
            ]
        )
    data("\n".join(table(lines)))
    data("")
    rows = [[t.name, _shape(t.shape), _yes(t)] for t in architecture.tensors]
    data("\n".join(table([["tensor", "shape", "trainable"], *rows])))
    trainable = [tensor for tensor in architecture.tensors if not tensor.statistic]
    data(
        f"\n{len(trainable)} trainable and {len(architecture.tensors)} global variables; "
        f"{architecture.parameters():,} parameters"
    )
    cost = _cost(architecture, loaded.train.batch_size)
    data(
        f"an example: {cost['flops_per_prediction']:,} FLOPs to predict, {cost['flops_per_training_example']:,} to "
        f"train on; memory: weights {_size(cost['weights_bytes'])}, a training step of batch size "
        f"{loaded.train.batch_size} about {_size(cost['training_bytes'])}"
    )
    for kind, why in _reasons(architecture).items():
        data(f"initializer {kind}: {why}")


def _cost(architecture: Architecture, batch_size: int) -> dict[str, int]:
    from dnnrun.nn.cost import cost_of

    cost = cost_of(architecture)
    return {
        "flops_per_prediction": cost.forward,
        "flops_per_training_example": cost.step,
        "weights_bytes": cost.weights,
        "activation_bytes_per_example": cost.activations,
        "training_bytes": cost.training(batch_size),
    }


def _reasons(architecture: Architecture) -> dict[str, str]:
    """Of each initializer in use the first line of what it is for."""
    kinds = {_type(layer.initializer): layer.initializer for layer in architecture.layers}
    return {kind: type(initializer).summary() for kind, initializer in kinds.items()}


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _told(dataset: Dataset) -> str:
    if dataset.task == "classification":
        return f"{len(dataset.classes)} classes"
    return f"{dataset.task} of {', '.join(dataset.targets)}"


def _network(architecture: Architecture) -> dict[str, Any]:
    return {
        "layers": [
            {
                "name": layer.name,
                "inputs": layer.fan_in,
                "units": layer.units,
                "activation": layer.activation.model_dump(mode="json"),
                "initializer": layer.initializer.model_dump(mode="json"),
                "why_initializer": layer.why_initializer,
                "batch_norm": layer.batch_norm and layer.batch_norm.model_dump(mode="json"),
                "dropout": layer.dropout,
            }
            for layer in architecture.layers
        ],
        "variables": {t.name: {"shape": list(t.shape), "trainable": not t.statistic} for t in architecture.tensors},
        "trainable_variables": sum(not tensor.statistic for tensor in architecture.tensors),
        "global_variables": len(architecture.tensors),
        "parameters": architecture.parameters(),
    }


def _type(component: Any) -> str:
    return component.type


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _yes(tensor: Any) -> str:
    return "statistic" if tensor.statistic else "yes"
