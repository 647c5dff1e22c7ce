"""What a network costs, counted from its shapes: operations and memory. No JAX."""

from __future__ import annotations

from dataclasses import dataclass

from dnnrun.nn.architecture import Architecture, Layer

FLOAT = 4  # bytes
# Operations a value beside the matrix product: the bias' sum, batch norm (subtract, divide, scale, shift), the
# activation counted as one, dropout's product.
NORM = 4


@dataclass(frozen=True)
class Cost:
    """Operations an example, a multiplication and an addition being two; bytes of float32 tensors.

    forward: of a prediction. step: of a training step, three times the products (forward, by the inputs, by the
    kernel; the first layer needs no gradient of its inputs). weights: bytes of all tensors. activations: bytes an
    example that training keeps between forward and backward.
    """

    forward: int
    step: int
    weights: int
    activations: int

    def training(self, batch_size: int, moments: int = 2) -> int:
        """Bytes that a training step takes: weights, gradients, `moments` of the optimizer, kept activations."""
        return self.weights * (2 + moments) + batch_size * self.activations


def cost_of(architecture: Architecture) -> Cost:
    """The cost of the whole network."""
    layers = architecture.layers
    products = [2 * layer.fan_in * layer.units for layer in layers]
    rest = [_elementwise(layer) for layer in layers]
    forward = sum(products) + sum(rest)
    step = 3 * sum(products) - products[0] + 2 * sum(rest)
    kept = architecture.features + sum(layer.units * (3 if layer.batch_norm else 2) for layer in layers)
    weights = sum(tensor.size for tensor in architecture.tensors)
    return Cost(forward, step, FLOAT * weights, FLOAT * kept)


def forward_of(layer: Layer) -> int:
    """Operations an example of one layer's prediction."""
    return 2 * layer.fan_in * layer.units + _elementwise(layer)


def _elementwise(layer: Layer) -> int:
    return layer.units * (int(layer.bias) + NORM * bool(layer.batch_norm) + 1)
