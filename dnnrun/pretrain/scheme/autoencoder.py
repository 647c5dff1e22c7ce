"""Autoencoders, layer by layer or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dnnrun.errors import SpecError
from dnnrun.nn.activation import Activation
from dnnrun.nn.architecture import Architecture, Model, Tensor, beside
from dnnrun.pretrain.corruption import Corruption, Image
from dnnrun.pretrain.scheme import Scheme, without_dropout
from dnnrun.pretrain.stage import Stage

if TYPE_CHECKING:
    from dnnrun.nn.network import Split
    from dnnrun.pretrain.task.autoencoder import Autoencoder as Task


class Autoencoder(Scheme):
    """Layers learn to keep what their inputs can be reconstructed from.

    One layer after the other, each on the outputs of those below, which are frozen then, or all at once
    (`greedy: false`). Every layer has a decoder: a dense layer of its own, or its own kernel transposed. Dropout of the
    model is off; `noise` corrupts what a layer gets, never what it has to reconstruct.
    """

    type: Literal["autoencoder"] = "autoencoder"
    greedy: bool = Field(default=True, description="one layer after the other; false for the whole stack at once")
    tied: bool = Field(default=False, description="decode with the transposed kernel")
    noise: Corruption | None = Field(default=None, description="a corruption of the inputs in training")
    loss: Literal["mse", "cross_entropy"] = Field(
        default="mse", description="of the reconstruction; cross_entropy wants inputs from 0 to 1"
    )
    keep_decoder: bool = Field(default=False, description="keep the decoders in the checkpoint of `dnnrun pretrain`")

    def stages(self, model: Model, features: int, classes: int) -> list[Stage]:
        encoder = without_dropout(self.chosen(model, features))
        depth = len(encoder.layers)
        decoders = [self._decoder(model, encoder, number) for number in range(depth)]
        if not self.greedy:
            return [self._stage("autoencoder", encoder, decoders, 0)]
        found = []
        for number in range(depth):
            below = Architecture(features, 0.0, encoder.layers[: number + 1])
            name = f"autoencoder:{encoder.names[number]}"
            found.append(self._stage(name, below, decoders[: number + 1], number))
        return found

    def _stage(self, name: str, encoder: Architecture, decoders: list, first: int) -> Stage:
        return Stage(
            name=name,
            encoder=encoder,
            learns=encoder.names[first:],
            depth=len(encoder.layers),
            first=first,
            own=tuple(layer for layer in decoders if not self.tied),
            extra=tuple(Tensor(f"{layer.name}/bias", (layer.units,), 0.0) for layer in decoders if self.tied),
            kept=frozenset(layer.name for layer in decoders[:first]),
        )

    def _decoder(self, model: Model, encoder: Architecture, number: int):
        """The layer from the outputs of layer `number` to its inputs."""
        layer = encoder.layers[number]
        activation = encoder.layers[number - 1].activation if number else Activation.parse("identity")
        if self.loss == "cross_entropy" and number and self.greedy and activation.type != "logistic":  # type: ignore[attr-defined]
            raise SpecError(
                [
                    f"pretrain.loss: cross_entropy wants inputs from 0 to 1, and {layer.name} gets those of "
                    f"{activation.type}; use loss: mse, activation: logistic or greedy: false"  # type: ignore[attr-defined]
                ]
            )
        if self.tied and activation.learned(layer.fan_in):
            raise SpecError(["pretrain.tied: true, and the activation has slopes to learn; use tied: false"])
        return beside(model, f"decoder{number + 1}", layer.units, layer.fan_in, activation)

    def check(self, stage: Stage, low: float, high: float, image: Image | None) -> None:
        if self.noise:
            self.noise.check(stage.encoder.layers[stage.first].fan_in, image if stage.first == 0 else None)
        if self.loss == "cross_entropy" and stage.first == 0 and (low < 0 or high > 1):
            raise SpecError(
                [
                    f"pretrain.loss: cross_entropy wants inputs from 0 to 1, and these go from {low:.3g} to "
                    f"{high:.3g}; use loss: mse, or another data.scale"
                ]
            )

    def task(self, stage: Stage, split: Split, image: Image | None) -> Task:
        from dnnrun.pretrain.task.autoencoder import Autoencoder, Decoder

        decoders = []
        for number in reversed(range(stage.first, stage.depth)):
            layer = stage.encoder.layers[number]
            activation = stage.encoder.layers[number - 1].activation if number else Activation.parse("identity")
            name = f"decoder{number + 1}"
            decoders.append(Decoder(name, layer.name, self.tied, activation, layer.fan_in))
        width = stage.encoder.layers[stage.first].fan_in
        noise = self.noise and self.noise.build(width, image if stage.first == 0 else None)
        return Autoencoder(split, stage, tuple(decoders), stage.first, self.loss == "cross_entropy", noise)

    def carried(self, tensor: str) -> bool:
        return self.keep_decoder or not tensor.startswith("decoder")
