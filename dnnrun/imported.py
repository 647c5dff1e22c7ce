"""A file of another framework as a run of its own: in the format of every run, with a checkpoint and no training."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from dnnrun import files
from dnnrun.data.scale import Scaling
from dnnrun.data.targets import TargetScale
from dnnrun.errors import InteropError
from dnnrun.foreign import Reading, open_network
from dnnrun.interop.check import forward
from dnnrun.interop.fold import fold
from dnnrun.interop.network import ForeignNetwork
from dnnrun.interop.settle import ALIASES, Settled, settle
from dnnrun.journal import now
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import Architecture, Model, lay_out
from dnnrun.nn.loss import Loss
from dnnrun.spec.load import default_name, dump, load, load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store import environment, events
from dnnrun.store.run import create


@dataclass(frozen=True)
class Wanted:
    """How a file becomes a network, where it does not say so itself.

    `model` is a YAML file with a `model` section (and, if it likes, all of a spec); `activation` one for the layers of
    which none is told; `divide_by` what inputs are divided by; `classes` the names of the outputs.
    """

    reading: Reading = field(default_factory=Reading)
    model: Path | None = None
    activation: str | None = None
    divide_by: float | None = None
    classes: Sequence[str] | None = None
    fold: bool = False


@dataclass(frozen=True)
class Import:
    """A network read from a file, ready to be written. `notes` are what was taken without the file saying so."""

    spec: Spec
    network: ForeignNetwork
    architecture: Architecture
    tensors: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def path(self) -> Path:
        return self.network.path

    @property
    def task(self) -> str:
        """As a file of ours says; another one is taken for a classification."""
        said = self.network.own.get("task")
        return said if said in ("multilabel", "regression") else "classification"

    def manifest(self) -> dict[str, Any]:
        """What the checkpoint says of the network."""
        largest = self.preprocessing.get("divide_by") if self.network.image else None
        own = self.network.own.get("largest")
        return {
            "spec": self.spec.model_dump(mode="json"),
            "layers": list(self.architecture.names),
            "features": self.architecture.features,
            "image": self.network.image and list(self.network.image),
            "classes": list(self.classes) if self.task == "classification" else [],
            "task": self.task,
            "targets": [] if self.task == "classification" else list(self.classes),
            "outputs": self.architecture.outputs,
            "target_scale": self._target_scale(),
            "largest": own if isinstance(own, (int, float)) else largest,
            "preprocessing": dict(self.preprocessing),
            "data_hash": None,
            "seed": self.spec.seed,
            "resize": None,
            "transfer": None,
            "imported": self.account(),
            "epochs": 0.0,
            "progress": {},
            "final": True,
        }

    def _target_scale(self) -> dict[str, Any] | None:
        """A regression's outputs are in the units of its targets, as they stand in the file."""
        if self.task != "regression":
            return None
        count = self.architecture.outputs
        return TargetScale((0.0,) * count, (1.0,) * count).to_json()

    def account(self) -> dict[str, Any]:
        """Where the network comes from, as `--json`, meta.json and the manifest have it under `imported`."""
        return {
            "source": str(self.path.absolute()),
            "format": self.network.format,
            "sha256": digest(self.path),
            "mapping": self.network.mapping(),
            "leftover": list(self.network.leftover),
            "training_only": list(self.network.passed),
            "notes": list(self.notes),
        }

    def logits(self, x: np.ndarray, *, scaled: bool) -> np.ndarray:
        """Outputs (rows, units) of inputs (rows, features); `scaled` where these went through the scaling already."""
        values = x.astype(np.float32) if scaled else Scaling.from_json(dict(self.preprocessing)).apply(x)
        return forward(self.architecture, self.tensors, values)


def read_import(path: Path, name: str | None, wanted: Wanted, overrides: Sequence[str] = ()) -> Import:
    """The network in a file. `overrides` are `key=value` of its spec, as data.source=mnist. Writes nothing.

    Raises InteropError for a file that cannot be read or understood, SpecError for a model file, a map or overrides.
    """
    model_spec = None
    if wanted.model is not None:
        filler = {"data.source": {"type": "elsewhere", "features": 1}}
        model_spec = load(wanted.model, fill=filler)
    network = open_network(path, wanted.reading, model_spec and _normalized(model_spec.model))
    settled = settle(network, model_spec and model_spec.model, _activation(wanted.activation))
    notes = [*network.notes, *settled.notes]
    spec = _spec(path, name, settled, model_spec, overrides)
    model, tensors = spec.model, dict(settled.tensors)
    if wanted.fold:
        model, tensors = fold(model, settled.architecture, tensors)
        spec = spec.model_copy(update={"model": model})
        notes.append("batch norm is folded into the kernels")
    architecture = lay_out(spec.model, settled.features, settled.outputs)
    if misfit := architecture.misfit({name: value.shape for name, value in tensors.items()}):
        raise InteropError(f"{path}: {misfit}; undo the overrides of the model")
    classes = _classes(network, wanted, settled.outputs)
    return Import(
        spec=_told_by(spec, network, classes, settled.outputs),
        network=network,
        architecture=architecture,
        tensors=tensors,
        classes=classes,
        preprocessing=_preprocessing(network, wanted, notes),
        notes=tuple(notes),
    )


def write_run(found: Import, runs: Path) -> Path:
    """A new run directory with the network as its `last` and `best` checkpoint; done, of 0 epochs. Returns it."""
    began = time.perf_counter()
    spec, account = found.spec, found.account()
    files.make_folder(runs / spec.name, exist_ok=True)
    told = {**environment.describe(), "imported": account, "started": now()}
    run = create(runs, spec.name, dump(spec), {"status": "created", "name": spec.name, **told})
    with run.lock():
        run.log(f"imported from {found.path}")
        for row in found.network.rows():
            run.log(" | ".join(row))
        for note in found.notes:
            run.log(f"note: {note}")
        there = checkpoints.save(run.checkpoints, 0, found.tensors, None, found.manifest())
        checkpoints.point(run.checkpoints, "last", there)
        checkpoints.point(run.checkpoints, "best", there)
        event = {"event": "import", "step": 0, "source": account["source"], "sha256": account["sha256"]}
        events.append(run.metrics, event)
        result = {
            "run": str(run.path),
            "status": "done",
            "epochs": 0,
            "steps": 0,
            "metrics": {},
            "timing": {
                "total_s": round(time.perf_counter() - began, 3),
                "to_first_step_s": None,
                "examples_per_s": None,
            },
            "parameters": {"trainable": found.architecture.parameters(), "frozen": 0},
        }
        run.write_meta({**run.meta(), "status": "done", "ended": now(), "result": result})
    return run.path


def digest(path: Path) -> str:
    """The sha256 of a file, or of the names and contents of all files that a folder or a checkpoint prefix has."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    found = path.iterdir() if path.is_dir() else path.parent.glob(f"{path.name}.*")
    total = hashlib.sha256()
    for file in sorted(entry for entry in found if entry.is_file()):
        total.update(f"{file.name} {digest(file)}\n".encode())
    return total.hexdigest()


def _spec(path: Path, name: str | None, settled: Settled, model_spec: Spec | None, overrides: Sequence[str]) -> Spec:
    elsewhere = {"type": "elsewhere", "features": settled.features}
    content: dict[str, Any] = {"data": {"source": elsewhere}}
    if model_spec is not None:
        content = model_spec.model_dump(mode="json")
        if content["data"]["source"]["type"] == "elsewhere":
            content["data"]["source"] = elsewhere
    content["name"] = name or default_name(path)
    content["model"] = _without_unset(settled.model.model_dump(mode="json"))
    content.pop("transfer", None)
    content.pop("sweep", None)
    return load_mapping(content, overrides, where=str(path))


def _told_by(spec: Spec, network: ForeignNetwork, classes: Sequence[str], outputs: int) -> Spec:
    """The spec with the task and the loss that a file of ours says, where it has none of its own."""
    task = network.own.get("task")
    if task in ("multilabel", "regression") and spec.data.task is None:
        return spec.model_copy(update={"data": spec.data.model_copy(update={"task": task})})
    if outputs == 1 and len(classes) == 2 and spec.train.loss is None:
        loss = Loss.parse("binary_cross_entropy")
        return spec.model_copy(update={"train": spec.train.model_copy(update={"loss": loss})})
    return spec


def _without_unset(model: dict[str, Any]) -> dict[str, Any]:
    entries = [{key: value for key, value in entry.items() if value is not None} for entry in model["hidden"]]
    return {**model, "hidden": entries}


def _normalized(model: Model) -> list[bool]:
    architecture = lay_out(model, 1, 1)
    return [layer.batch_norm is not None for layer in architecture.layers]


def _activation(name: str | None) -> Activation | None:
    if name is None:
        return None
    try:
        return Activation.parse(ALIASES.get(name, name))
    except ValidationError:
        from dnnrun.component import members

        known = ", ".join(members(Activation))
        raise InteropError(f"--activation {name}: unknown; wanted one of {known}") from None


def _classes(network: ForeignNetwork, wanted: Wanted, outputs: int) -> tuple[str, ...]:
    own = network.own.get("classes") or network.own.get("targets")
    if isinstance(own, list) and len(own) == 2 and outputs == 1:
        outputs = 2  # one logit tells two classes apart
    found = wanted.classes or (own if isinstance(own, list) else None)
    if found is None:
        return tuple(str(number) for number in range(outputs))
    if len(found) != outputs:
        what = "--classes names" if wanted.classes else "it names"
        raise InteropError(f"{network.path}: {what} {len(found)} classes, and the network has {outputs} outputs")
    return tuple(map(str, found))


def _preprocessing(network: ForeignNetwork, wanted: Wanted, notes: list[str]) -> dict[str, Any]:
    if wanted.divide_by is not None:
        if network.preprocessing is not None:
            raise InteropError(f"{network.path}: says itself how its inputs are scaled; leave out --divide-by")
        return {"type": "unit", "divide_by": wanted.divide_by}
    if network.preprocessing is None:
        notes.append(
            "the file does not say how its inputs were scaled: they are taken as they are; "
            "with --divide-by 255 pixels are divided first"
        )
        return {"type": "none"}
    return Scaling.from_json(dict(network.preprocessing)).to_json()
