"""A stage of pretraining: some layers that learn together, on what the layers below them make of the rows."""

from __future__ import annotations

from dataclasses import dataclass

from dnnrun.nn.architecture import Architecture, Layer, Tensor


@dataclass(frozen=True)
class Stage:
    """What learns in a stage.

    `name` as `rbm:hidden1`. `encoder` are the layers up to the highest that learns, and a head on top of them where
    the task has one; its `first` layers are frozen. `learns` names the layers of the encoder that learn. `own` are
    dense layers beside the encoder and `extra` further tensors: they learn too but those in `kept`, which stay what an
    earlier stage made of them. `depth` is how many of the model's hidden layers there are in the encoder.
    """

    name: str
    encoder: Architecture
    learns: tuple[str, ...]
    depth: int
    first: int = 0
    own: tuple[Layer, ...] = ()
    extra: tuple[Tensor, ...] = ()
    kept: frozenset[str] = frozenset()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor of the stage."""
        return (*self.encoder.tensors, *(tensor for layer in self.own for tensor in layer.tensors), *self.extra)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers, those of the encoder first."""
        more = [layer.name for layer in self.own] + [tensor.name.partition("/")[0] for tensor in self.extra]
        return (*self.encoder.names, *dict.fromkeys(more))

    @property
    def trainable(self) -> frozenset[str]:
        """The layers that learn, those beside the encoder too."""
        beside = set(self.names) - set(self.encoder.names) - self.kept
        return frozenset(self.learns) | beside

    @property
    def hidden(self) -> tuple[str, ...]:
        """The model's layers that learn."""
        return tuple(name for name in self.learns if name in self.encoder.names[: self.depth])
