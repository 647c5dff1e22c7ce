"""Sources to take layers from: trained ones on the digits, and checkpoints written without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.assemble import open_donors
from dnnrun.errors import TransferError
from dnnrun.nn.architecture import lay_out
from dnnrun.nn.network import initial_tensors
from dnnrun.spec.load import dump, load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import create
from dnnrun.transfer.plan import Ahead, Plan, make_plan

DIGITS = tuple("0123456789")
ADAM = {"type": "adam", "learning_rate": 0.01}

# Everything a layer can own: kernel, bias, batch norm with statistics, a learned slope.
RICH: dict[str, Any] = {
    "name": "rich",
    "seed": 5,
    "data": {"source": "digits", "validation": 0.2, "limit": 200},
    "model": {"hidden": [12, 10, 8], "activation": "prelu", "batch_norm": True},
    "train": {"optimizer": ADAM, "batch_size": 20, "epochs": 2, "checkpoint_every": {"seconds": 1000}},
}


def written(
    runs: Path,
    name: str,
    model: Mapping[str, Any],
    *,
    classes: Sequence[str] = DIGITS,
    image: tuple[int, int, int] | None = (8, 8, 1),
    features: int | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> Path:
    """A finished run with a checkpoint of first values; nothing is trained."""
    width = features or int(np.prod(image or 64))
    spec = load_mapping({"name": name, "seed": len(name), "data": {"source": "digits"}, "model": model})
    plan = lay_out(spec.model, width, len(classes))
    tensors = {name: value.astype(dtype) for name, value in initial_tensors(plan, spec.seed).items()}
    run = create(runs, name, dump(spec), {"status": "done", "name": name})
    told = {
        "spec": spec.model_dump(mode="json"),
        "layers": list(plan.names),
        "features": width,
        "image": image and list(image),
        "classes": list(classes),
        "largest": 16.0 if image else 0.0,
        "preprocessing": preprocessing or {"type": "unit", "divide_by": 16.0},
        **(manifest or {}),
    }
    there = checkpoints.save(run.checkpoints, 1, tensors, None, told)
    checkpoints.point(run.checkpoints, "last", there)
    return run.path


def spec_of(model: Mapping[str, Any], transfer: Mapping[str, Any], **train: Any) -> Spec:
    data = {"source": "digits", "validation": 0.2, "limit": 200}
    return load_mapping({"name": "new", "data": data, "model": model, "train": train, "transfer": transfer})


def planned(
    model: Mapping[str, Any],
    transfer: Mapping[str, Any],
    *,
    epochs: int = 20,
    patience: int | None = None,
    optimizer: Mapping[str, Any] | None = None,
    classes: Sequence[str] = DIGITS,
    features: int = 64,
) -> Plan:
    """The plan of a transfer, with a network of this width; the data is not looked at."""
    spec = spec_of(model, transfer)
    assert spec.transfer is not None
    architecture = lay_out(spec.model, features, len(classes))
    return make_plan(
        spec.transfer, architecture, open_donors(spec), Ahead(epochs, patience, optimizer or ADAM, classes)
    )


def refused(model: Mapping[str, Any], transfer: Mapping[str, Any], **ahead: Any) -> str:
    """What the plan is refused with."""
    try:
        planned(model, transfer, **ahead)
    except TransferError as error:
        return str(error)
    raise AssertionError("was planned")


def model_of(run: str | Path) -> dict[str, np.ndarray]:
    return find_checkpoint(run).model()


def layers_equal(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], *layers: str) -> bool:
    """Whether every tensor of these layers is the same, bit for bit; there must be some."""
    names = [name for name in a if name.partition("/")[0] in layers]
    assert names
    return all(a[name].tobytes() == b[name].tobytes() for name in names)


def on(source: str | Path | list[Any], *overrides: str, **transfer: Any) -> Spec:
    """The rich network again, called `new`, on layers of `source`."""
    given = source if isinstance(source, list) else str(source)
    return load_mapping({**RICH, "name": "new", "transfer": {"from": given, **transfer}}, overrides)
