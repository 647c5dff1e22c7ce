"""What process 0 of a team tells the others, who have no run directory: meta.json and the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.journal import Journal
from dnnrun.store import tensors as tensor_files
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.train.team import Team
from dnnrun.watch import Watcher


@dataclass(frozen=True)
class Sent(Checkpoint):
    """A checkpoint that process 0 has read and verified."""

    tensors: Mapping[str, Mapping[str, np.ndarray]]

    def model(self, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        found = self.tensors["model"]
        return {name: found[name] for name in (found if names is None else names)}

    def train(self) -> dict[str, np.ndarray]:
        return dict(self.tensors["train"])


class Listener(Journal):
    """The journal of a process that writes nothing and says nothing; `meta` is what process 0 has."""

    def __init__(self, meta: Mapping[str, Any]):
        super().__init__(Watcher(), None)
        self.meta = dict(meta)

    def begin(self, found: Mapping[str, Any], step: int) -> None:
        self.meta = {**self.meta, **found}
        self.meta.setdefault("history", []).append({"step": step})

    def write(self) -> None:
        pass

    def _log(self, line: str) -> None:
        pass


def tell(team: Team, meta: Mapping[str, Any], point: Checkpoint | None, finished: Mapping[str, Any] | None) -> None:
    """Say what the run's meta.json has, what to go on from, and the result where nothing is left to do."""
    if team.count == 1:
        return
    described = point and {"folder": str(point.folder), "manifest": point.manifest}
    team.first(json.dumps({"meta": dict(meta), "point": described, "finished": finished}))
    if point and finished is None:
        for tensors in (point.model(), point.train()):
            team.send(tensor_files.encode(tensors))


def hear(team: Team) -> tuple[Listener, Checkpoint | None, Mapping[str, Any] | None]:
    """What process 0 tells."""
    from safetensors.numpy import load

    said = json.loads(team.first(""))
    journal, described = Listener(said["meta"]), said["point"]
    if described is None or said["finished"] is not None:
        return journal, None, said["finished"]
    tensors = {name: load(team.send(None)) for name in ("model", "train")}
    return journal, Sent(Path(described["folder"]), described["manifest"], tensors), None
