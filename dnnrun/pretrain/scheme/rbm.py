"""Restricted Boltzmann machines, stacked to a deep belief network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from dnnrun.errors import SpecError
from dnnrun.nn.architecture import Architecture, Model, Tensor
from dnnrun.pretrain.corruption import Image
from dnnrun.pretrain.scheme import Scheme, without_dropout
from dnnrun.pretrain.stage import Stage

if TYPE_CHECKING:
    from dnnrun.nn.network import Split
    from dnnrun.pretrain.task.rbm import Rbm as Task


class Rbm(Scheme):
    """Restricted Boltzmann machines, one a layer, trained by contrastive divergence.

    Hinton, "Training products of experts by minimizing contrastive divergence" (2002); persistent chains: Tieleman
    (2008); stacked to a deep belief network: Hinton, Osindero and Teh (2006). Hidden units are logistic, so
    `activation: logistic` is wanted. Momentum and weight decay are the optimizer's.
    """

    type: Literal["rbm"] = "rbm"
    visible: Literal["bernoulli", "gaussian"] = Field(
        default="bernoulli", description="of the inputs: from 0 to 1, or real numbers of standard deviation 1"
    )
    k: int = Field(default=1, gt=0, description="Gibbs steps of the negative phase (CD-k)")
    persistent: bool = Field(default=False, description="go on with the chains of the step before")
    chains: int = Field(default=100, gt=0, description="samples drawn for a picture at the end")
    picture_steps: int = Field(default=1000, gt=0, description="Gibbs steps before and between them")

    def stages(self, model: Model, features: int, classes: int) -> list[Stage]:
        encoder = without_dropout(self.chosen(model, features))
        found = []
        for number, layer in enumerate(encoder.layers):
            kind = layer.activation.type  # type: ignore[attr-defined]
            for what, wrong in (
                (f"its activation is {kind}", kind != "logistic"),
                ("it has batch normalization", layer.batch_norm is not None),
                ("it has no bias", not layer.bias),
            ):
                if wrong:
                    raise SpecError(
                        [
                            f"pretrain: the hidden units of an rbm are logistic, with a bias and nothing else, and of "
                            f"{layer.name}: {what}; use activation: logistic, batch_norm: false and bias: true"
                        ]
                    )
            visible = f"visible{number + 1}"
            extra = [Tensor(f"{visible}/bias", (layer.fan_in,), 0.0)]
            below = Architecture(features, 0.0, encoder.layers[: number + 1])
            name = f"rbm:{layer.name}"
            found.append(Stage(name, below, (layer.name,), number + 1, number, extra=tuple(extra)))
        return found

    def gaussian(self, stage: Stage) -> bool:
        """Whether the inputs of this stage are real numbers; the outputs of a layer below never are."""
        return self.visible == "gaussian" and stage.first == 0

    def check(self, stage: Stage, low: float, high: float, image: Image | None) -> None:
        if stage.first == 0 and not self.gaussian(stage) and (low < 0 or high > 1):
            raise SpecError(
                [
                    f"pretrain.visible: bernoulli wants inputs from 0 to 1, and these go from {low:.3g} to {high:.3g}; "
                    "use visible: gaussian, or another data.scale"
                ]
            )

    def task(self, stage: Stage, split: Split, image: Image | None) -> Task:
        from dnnrun.pretrain.task.rbm import Rbm

        return Rbm(split, stage, self.gaussian(stage), self.k, self.persistent)

    def sized(self, stage: Stage, batch_size: int) -> Stage:
        """With the state of its persistent chains, one a row of a batch."""
        from dataclasses import replace

        if not self.persistent:
            return stage
        shape = (batch_size, stage.encoder.layers[-1].units)
        return replace(stage, extra=(*stage.extra, Tensor(f"visible{stage.depth}/chain", shape, 0.0, statistic=True)))

    def carried(self, tensor: str) -> bool:
        return not tensor.endswith("/chain")

    def compare(self, record: dict[str, Any], measure: Callable[[str, int], dict[str, float]], rows: int) -> None:
        """The free energy of the validation rows minus that of as many training rows: it grows with overfitting."""
        if validation := record.get("validation"):
            validation["free_energy_gap"] = validation["free_energy"] - measure("train", rows)["free_energy"]
