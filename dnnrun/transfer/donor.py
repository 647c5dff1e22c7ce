"""A source of layers: what it has, known before a tensor is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.nn.activation import Activation

OPTIMIZER = "optimizer/"


@dataclass(frozen=True)
class Known:
    """What a source says of a layer beside its tensors: None, or an option left out, where it does not say."""

    activation: Activation | None
    batch_norm: Mapping[str, Any] = field(default_factory=dict)


class Donor(ABC):
    """A network that layers are taken from; `name` is how the spec calls it."""

    name: str

    @property
    @abstractmethod
    def where(self) -> Path:
        """Its folder or file, absolute; opening that again gives the same donor."""

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """The names of its layers, first to last."""

    @property
    @abstractmethod
    def described(self) -> Mapping[str, Mapping[str, Any]]:
        """Tensor name -> its shape, dtype and sha256."""

    @property
    @abstractmethod
    def features(self) -> int:
        """The width of its inputs."""

    @property
    def image(self) -> tuple[int, int, int] | None:
        """Height, width and channels of the images it was trained on, None where they were none."""
        return None

    @property
    def largest(self) -> float | None:
        """The largest value that a pixel of its images could have, None where that is not known."""
        return None

    @property
    def preprocessing(self) -> Any:
        """How its inputs were scaled, as Scaling.to_json wrote it; None where that is not known."""
        return None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of its outputs, None where they have none."""
        return None

    @property
    def task(self) -> str | None:
        """What its outputs tell: classification, multilabel or regression; None where that is not known."""
        return None

    @property
    def optimizer(self) -> Mapping[str, Any]:
        """The options of the optimizer that trained it."""
        return {}

    def resolve(self, layer: str) -> str:
        """The layer's name here, where the source itself knows it by another one."""
        return layer

    @abstractmethod
    def known(self, layer: str) -> Known:
        """What is known of one of its `layers`."""

    @abstractmethod
    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """The named tensors, verified, and no others."""

    def optimizer_tensors(self) -> list[str] | None:
        """The names of the optimizer's state, None where there are the weights alone."""
        return None

    def read_optimizer(self) -> dict[str, np.ndarray]:
        """The optimizer's state, verified, and nothing else of the training."""
        raise LookupError(f"{self.name} has no optimizer state")

    @abstractmethod
    def fingerprint(self) -> str:
        """A sha256 that changes with any tensor."""
