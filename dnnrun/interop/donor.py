"""A file of another framework as a source of layers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.interop.network import ForeignLayer, ForeignNetwork
from dnnrun.store.tensors import describe
from dnnrun.transfer.donor import Donor, Known


@dataclass(frozen=True)
class ForeignDonor(Donor):
    """The layers of a foreign network. Each also goes by the name that it has in its file."""

    name: str
    network: ForeignNetwork

    @property
    def where(self) -> Path:
        return self.network.path.absolute()

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.network.layers)

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """Every tensor by our name."""
        return {f"{layer.name}/{part}": x for layer in self.network.layers for part, x in layer.tensors.items()}

    @cached_property
    def described(self) -> Mapping[str, Mapping[str, Any]]:
        return describe(self.tensors)

    @property
    def features(self) -> int:
        return self.network.features

    @property
    def image(self) -> tuple[int, int, int] | None:
        return self.network.image

    @property
    def largest(self) -> float | None:
        found = self.network.own.get("largest")
        return float(found) if isinstance(found, (int, float)) else None

    @property
    def preprocessing(self) -> Any:
        return self.network.preprocessing

    @property
    def classes(self) -> tuple[str, ...] | None:
        found = self.network.own.get("classes")
        return tuple(map(str, found)) if isinstance(found, list) else None

    def resolve(self, layer: str) -> str:
        return next((own.name for own in self.network.layers if layer == own.foreign), layer)

    def known(self, layer: str) -> Known:
        found = self._layer(layer)
        return Known(found.activation, found.batch_norm or {})

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        return {name: self.tensors[name] for name in names}

    def fingerprint(self) -> str:
        told = "".join(f"{name} {entry['sha256']}\n" for name, entry in self.described.items())
        return hashlib.sha256(told.encode()).hexdigest()

    def _layer(self, name: str) -> ForeignLayer:
        return self.network.layers[self.layers.index(name)]
