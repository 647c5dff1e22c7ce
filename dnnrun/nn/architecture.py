"""What a network is made of: the `model:` section, and the plan of layers and tensors it comes to. No JAX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from dnnrun.component import Options, Shorthand
from dnnrun.nn.activation import Activation, Learned
from dnnrun.nn.initializer import Initializer

OUTPUTS = "outputs"
Rate = Annotated[float, Field(ge=0, lt=1)]
Units = Annotated[int, Field(gt=0)]


class BatchNorm(Options):
    """Batch normalization (Ioffe and Szegedy, 2015)."""

    momentum: float = Field(default=0.9, ge=0, lt=1, description="decay of the old value in the moving statistics")
    epsilon: float = Field(default=1e-3, gt=0, description="added to the variance")
    position: Literal["before", "after"] = Field(default="before", description="before or after the activation")
    logits: bool = Field(default=False, description="normalize the output layer too")
    scale: bool = Field(default=True, description="learn a scale (gamma)")
    center: bool = Field(default=True, description="learn a shift (beta)")
    statistics: Literal["moving", "exact"] = Field(
        default="moving",
        description="used in evaluation: moving averages, or exact ones over the training set at the end",
    )


def _switch(value: Any) -> Any:
    """`true` is batch normalization with its defaults; `false` is none."""
    return {} if value is True else value


BatchNormChoice = Annotated[BatchNorm | Literal[False] | None, Shorthand(_switch, {"const": True})]


class LayerOptions(Options):
    """One hidden layer: its units, and what it does otherwise than the model."""

    units: Units
    activation: Activation | None = Field(default=None, description="instead of the model's")
    initializer: Initializer | None = Field(default=None, description="instead of the model's")
    batch_norm: BatchNormChoice = Field(default=None, description="instead of the model's; false for none")
    dropout: Rate | None = Field(default=None, description="instead of the model's")
    bias: bool | None = Field(default=None, description="instead of the model's")


class Dropout(Options):
    """Dropout rates (Srivastava et al., 2014): the share of values set to zero in training."""

    input: Rate = 0.0
    hidden: Rate = 0.0


def _entry(value: Any) -> Any:
    """A bare number is a layer of that many units."""
    return {"units": value} if isinstance(value, int) and not isinstance(value, bool) else value


Entry = Annotated[LayerOptions, Shorthand(_entry, {"type": "integer", "exclusiveMinimum": 0})]


def _rates(value: Any) -> Any:
    """A bare rate is that of the hidden layers."""
    return {"hidden": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _default_activation() -> Activation:
    return Activation.parse("relu")


class Model(Options):
    """The network: hidden layers `hidden1`, `hidden2`, ..., then `outputs`."""

    hidden: Annotated[tuple[Entry, ...], Field(strict=False)] = Field(
        description="one entry a hidden layer: a number of units, or {units, activation, ...}"
    )
    activation: Activation = Field(default_factory=_default_activation)
    initializer: Initializer | None = Field(
        default=None, description="of every kernel, the output layer's too; unset, chosen by the activation"
    )
    batch_norm: BatchNormChoice = None
    dropout: Annotated[Dropout, Shorthand(_rates, {"type": "number", "minimum": 0, "exclusiveMaximum": 1})] = Field(
        default_factory=Dropout, description="a rate for the hidden layers, or {input, hidden}"
    )
    bias: bool = Field(default=True, description="dense layers have a bias, also under batch normalization")


@dataclass(frozen=True)
class Tensor:
    """One tensor of a layer. `start` is its first value, None for a kernel, which the initializer draws."""

    name: str
    shape: tuple[int, ...]
    start: float | None
    statistic: bool = False

    @property
    def size(self) -> int:
        size = 1
        for extent in self.shape:
            size *= extent
        return size


@dataclass(frozen=True)
class Layer:
    """A dense layer with what belongs to it: normalization, activation, dropout of its outputs."""

    name: str
    fan_in: int
    units: int
    activation: Activation
    initializer: Initializer
    why_initializer: str
    batch_norm: BatchNorm | None
    dropout: float
    bias: bool

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor, named `layer/what`, in a fixed order."""
        found = [Tensor(f"{self.name}/kernel", (self.fan_in, self.units), None)]
        if self.bias:
            found.append(Tensor(f"{self.name}/bias", (self.units,), 0.0))
        if norm := self.batch_norm:
            prefix = f"{self.name}/batch_norm"
            found += [Tensor(f"{prefix}/scale", (self.units,), 1.0)] * norm.scale
            found += [Tensor(f"{prefix}/bias", (self.units,), 0.0)] * norm.center
            found.append(Tensor(f"{prefix}/mean", (self.units,), 0.0, statistic=True))
            found.append(Tensor(f"{prefix}/var", (self.units,), 1.0, statistic=True))
        learned: dict[str, Learned] = self.activation.learned(self.units)
        found += [Tensor(f"{self.name}/activation/{part}", *what) for part, what in learned.items()]
        return tuple(found)

    @property
    def random(self) -> bool:
        """Whether its outputs in training differ from draw to draw."""
        return self.dropout > 0 or self.activation.random


@dataclass(frozen=True)
class Architecture:
    """A network laid out for one width of input and one number of outputs."""

    features: int
    input_dropout: float
    layers: tuple[Layer, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    @property
    def outputs(self) -> int:
        return self.layers[-1].units

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(tensor for layer in self.layers for tensor in layer.tensors)

    def parameters(self) -> int:
        """Scalars that training can change; the moving statistics of batch normalization are not among them."""
        return sum(tensor.size for tensor in self.tensors if not tensor.statistic)

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
        """What keeps tensors of these names and shapes from being this network's, None where nothing does."""
        return misfit(self.tensors, shapes)


def layer_of(tensor: str) -> str:
    """The layer that a tensor name belongs to."""
    return tensor.partition("/")[0]


def is_kernel(tensor: str) -> bool:
    """Whether penalties, weight decay and max-norm touch the tensor of this name."""
    return tensor.endswith("/kernel")


def lay_out(model: Model, features: int, outputs: int) -> Architecture:
    """The plan of every layer of `model` over `features` inputs and `outputs` classes or targets."""
    layers, fan_in = [], features
    for number, entry in enumerate(model.hidden, 1):
        activation = entry.activation or model.activation
        norm = model.batch_norm if entry.batch_norm is None else entry.batch_norm
        if entry.initializer:
            initializer, why = entry.initializer, "set for this layer"
        else:
            initializer, why = _initializer(model, activation)
        layers.append(
            Layer(
                name=f"hidden{number}",
                fan_in=fan_in,
                units=entry.units,
                activation=activation,
                initializer=initializer,
                why_initializer=why,
                batch_norm=norm or None,
                dropout=model.dropout.hidden if entry.dropout is None else entry.dropout,
                bias=model.bias if entry.bias is None else entry.bias,
            )
        )
        fan_in = entry.units
    identity = Activation.parse("identity")
    initializer, why = _initializer(model, identity)
    norm = model.batch_norm if model.batch_norm and model.batch_norm.logits else None
    layers.append(Layer(OUTPUTS, fan_in, outputs, identity, initializer, why, norm, 0.0, model.bias))
    return Architecture(features, model.dropout.input, tuple(layers))


def beside(model: Model, name: str, fan_in: int, units: int, activation: Activation) -> Layer:
    """A dense layer that is none of the model's, drawn as the model says: a decoder, a head of another task."""
    initializer, why = _initializer(model, activation)
    return Layer(name, fan_in, units, activation, initializer, why, None, 0.0, True)


def misfit(tensors: Iterable[Tensor], shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """What keeps tensors of these names and shapes from being `tensors`, None where nothing does."""
    wanted = {tensor.name: tensor.shape for tensor in tensors}
    for name in wanted:
        if name not in shapes:
            return f"has no tensor {name}, which the network wants"
        if tuple(shapes[name]) != wanted[name]:
            return f"tensor {name} has shape {list(shapes[name])}, the network wants {list(wanted[name])}"
    more = ", ".join(sorted(shapes.keys() - wanted.keys()))
    return f"has tensors that the network has not: {more}" if more else None


def _initializer(model: Model, activation: Activation) -> tuple[Initializer, str]:
    if model.initializer:
        return model.initializer, "set for the model"
    name = activation.default_initializer
    kind = activation.type if hasattr(activation, "type") else type(activation).__name__  # type: ignore[attr-defined]
    return Initializer.parse(name), f"the default for {'logits' if kind == 'identity' else kind}"
