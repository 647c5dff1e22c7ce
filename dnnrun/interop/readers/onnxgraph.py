"""An ONNX graph that is a chain, walked from its input to its output; patterns of nodes become steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.weights import Step

PASSED = {"Identity", "Dropout", "Cast"}
CHANNELS = (1, 3, 4)


def _simple(kind: str, *options: tuple[str, str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def read(attributes: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": kind, **{ours: _short(attributes.get(theirs, default)) for ours, theirs, default in options}}

    return read


def _short(value: Any) -> Any:
    """A float32 as the shortest decimal number that means it."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


ACTIVATIONS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "Relu": _simple("relu"),
    "LeakyRelu": _simple("leaky_relu", ("slope", "alpha", 0.01)),
    "Elu": _simple("elu", ("alpha", "alpha", 1.0)),
    "Selu": _simple("selu"),
    "Sigmoid": _simple("logistic"),
    "Tanh": _simple("tanh"),
    "Softplus": _simple("softplus"),
    "Softsign": _simple("softsign"),
    "Mish": _simple("mish"),
    "Softmax": _simple("softmax"),
    "LogSoftmax": _simple("softmax"),
}


class Chain:
    """The nodes of a graph by what they take; `constants` grows by what is computed of constants alone."""

    def __init__(
        self,
        path: Path,
        nodes: Sequence[Any],
        constants: Mapping[str, np.ndarray],
        attributes: Callable[[Any], Mapping[str, Any]],
    ):
        self.path, self.attributes = path, attributes
        self.constants = dict(constants)
        self.takers: dict[str, list[Any]] = {}
        for node in nodes:
            if node.op_type == "Constant":
                continue
            known = [self.constants.get(name) for name in node.input]
            if known and all(value is not None for value in known) and self._fold(node, known):
                continue
            for name in set(node.input):
                self.takers.setdefault(name, []).append(node)

    def walk(
        self, value: str, shape: Sequence[int | None]
    ) -> tuple[list[Step], list[str], tuple[int, int, int] | None, list[str]]:
        """The steps from the input `value` on, the tensors they use, and the image that the input is."""
        self.steps: list[Step] = []
        self.notes: list[str] = []
        image, self.channel_first = _image(shape)
        if image and image[2] in CHANNELS and image[0] in CHANNELS:
            self.notes.append(f"its inputs are taken as channel-first images, {image[0]}x{image[1]}x{image[2]}")
        seen: set[str] = set()
        while value in self.takers:
            if value in seen:
                raise InteropError(f"{self.path}: its graph runs in a circle; it is damaged")
            seen.add(value)
            value = self._next(value)
        used = [name for step in self.steps for name in step.tensors.values()]
        return self.steps, list(dict.fromkeys(used)), image, self.notes

    def _fold(self, node: Any, known: Sequence[Any]) -> bool:
        """Compute the node from constants where that is a matter of names or axes."""
        if node.op_type == "Identity" or (node.op_type == "Cast" and known[0].dtype.kind == "f"):
            self.constants[node.output[0]] = known[0]
        elif node.op_type == "Transpose":
            self.constants[node.output[0]] = np.transpose(known[0], self.attributes(node).get("perm"))
        elif node.op_type in ("Unsqueeze", "Squeeze", "Reshape") and known[0].size <= 1:
            self.constants[node.output[0]] = known[0].reshape(-1)
        else:
            return False
        return True

    def _next(self, value: str) -> str:
        nodes = self.takers[value]
        if len(nodes) > 1:
            return self._pattern(value, nodes)
        (node,) = nodes
        kind, name = node.op_type, node.name or node.op_type
        told = self.attributes(node)
        if node.domain not in ("", "ai.onnx"):
            return self._other(node, f"{node.domain}.{kind}")
        if kind in PASSED:
            return node.output[0]
        if kind in ACTIVATIONS:
            self.steps.append(Step("activation", name, {}, ACTIVATIONS[kind](told)))
        elif kind == "Gelu":
            approximate = {"approximate": True} if told.get("approximate") == b"tanh" else {}
            self.steps.append(Step("activation", name, {}, {"type": "gelu", **approximate}))
        elif kind == "PRelu" and self._constant(node, 1):
            self.steps.append(Step("activation", name, {"slope": node.input[1]}, {"type": "prelu"}))
        elif kind == "BatchNormalization" and node.input[0] == value and all(map(self._known, node.input[1:5])):
            tensors: dict[str, str] = dict(zip(("scale", "bias", "mean", "var"), node.input[1:5], strict=True))
            options = {
                "epsilon": _short(told.get("epsilon", 1e-5)),
                "momentum": _short(told.get("momentum", 0.9)),
            }
            self.steps.append(Step("batch_norm", name, tensors, options))
        elif kind in ("Gemm", "MatMul") and node.input[0] == value and self._constant(node, 1):
            return self._dense(node, told)
        elif kind in ("Flatten", "Reshape") and self._flattens(node, told):
            self.steps.append(Step("flatten", name, {}, {"channel_first": self.channel_first}))
        elif kind == "Transpose" and list(told.get("perm", ())) in ([0, 2, 3, 1], [0, 3, 1, 2]):
            self.channel_first = list(told["perm"]) == [0, 3, 1, 2]
        elif kind in ("Add", "Sub", "Mul", "Div"):
            return self._arithmetic(value, node)
        else:
            return self._other(node, kind)
        return node.output[0]

    def _dense(self, node: Any, told: Mapping[str, Any]) -> str:
        """A dense layer with its bias, which may be a node of its own behind it."""
        if any(told.get(key, 1.0) != 1.0 for key in ("alpha", "beta")) or told.get("transA", 0):
            return self._other(node, "Gemm with alpha, beta or transA")
        tensors, out = {"kernel": node.input[1]}, node.output[0]
        if len(node.input) > 2 and node.input[2]:
            if not self._known(node.input[2]):
                return self._other(node, "Gemm with a computed bias")
            tensors["bias"] = node.input[2]
        after = self.takers.get(out, ())
        units = self.constants[node.input[1]].shape[0 if told.get("transB", 0) else -1]
        if node.op_type == "MatMul" and len(after) == 1 and after[0].op_type == "Add":
            other = next((name for name in after[0].input if name != out), "")
            if self._known(other) and self.constants[other].size == units:
                tensors["bias"], out = other, after[0].output[0]
        options = {"orientation": "out_in" if told.get("transB", 0) else "in_out"}
        self.steps.append(Step("dense", _title(node.input[1], node), tensors, options))
        return out

    def _flattens(self, node: Any, told: Mapping[str, Any]) -> bool:
        if node.op_type == "Flatten":
            return told.get("axis", 1) == 1
        return self._constant(node, 1) and self.constants[node.input[1]].size == 2

    def _arithmetic(self, value: str, node: Any) -> str:
        """A scaling of the inputs, before any layer."""
        other = node.input[1] if node.input[0] == value else node.input[0]
        if any(step.kind not in ("scaling", "flatten") for step in self.steps) or not self._known(other):
            return self._other(node, node.op_type)
        number, first = np.asarray(self.constants[other], np.float64), node.input[0] == value
        if node.op_type in ("Sub", "Div") and not first:
            return self._other(node, f"{node.op_type} of a constant by the inputs")
        with np.errstate(divide="ignore"):
            options = {
                "Add": lambda: (1.0, _plain(number)),
                "Sub": lambda: (1.0, _plain(-number)),
                "Mul": lambda: (_plain(number), 0.0),
                "Div": lambda: (_plain(1 / number), 0.0),
            }[node.op_type]()
        what = {"type": "affine", "factor": options[0], "shift": options[1]}
        self.steps.append(Step("scaling", node.name or node.op_type, {}, what))
        return node.output[0]

    def _pattern(self, value: str, nodes: Sequence[Any]) -> str:
        """Activations that are several nodes: x * sigmoid(x), x * tanh(softplus(x)), and GELU with erf."""
        kinds = {node.op_type: node for node in nodes}
        joined = kinds.get("Mul")
        if joined is not None and len(nodes) == 2:
            (first,) = [node for node in nodes if node is not joined]
            path = self._path(first)
            own = [node.op_type for node in path]
            ends = path and set(joined.input) == {value, path[-1].output[0]}
            if ends and own == ["Sigmoid"]:
                self.steps.append(Step("activation", first.name or "silu", {}, {"type": "silu"}))
                return joined.output[0]
            if ends and own == ["Softplus", "Tanh"]:
                self.steps.append(Step("activation", first.name or "mish", {}, {"type": "mish"}))
                return joined.output[0]
            if ends and own in (["Div", "Erf", "Add"], ["Mul", "Erf", "Add"]) and self._halved(path, joined):
                self.steps.append(Step("activation", first.name or "gelu", {}, {"type": "gelu"}))
                return self.takers[joined.output[0]][0].output[0]
        if set(kinds) == {"Softplus", "Greater", "Where"} and kinds["Where"].input[1] == value:
            self.steps.append(Step("activation", kinds["Softplus"].name or "softplus", {}, {"type": "softplus"}))
            return kinds["Where"].output[0]  # x where x > 20, as torch's exporter writes it
        names = ", ".join(node.op_type for node in nodes)
        raise InteropError(f"{self.path}: {value} goes to {names}: its graph is no chain of layers")

    def _path(self, node: Any) -> list[Any]:
        """The nodes from `node` on while each goes to one other alone, without the joining product."""
        found = [node]
        while len(after := self.takers.get(found[-1].output[0], ())) == 1 and len(found) < 4:
            if (after[0].op_type == "Mul" and len(found) > 1) or found[-1].op_type == "Sigmoid":
                break
            found.append(after[0])
        return found

    def _halved(self, path: Sequence[Any], joined: Any) -> bool:
        """Whether these nodes are 0.5 * x * (1 + erf(x / sqrt 2)), constants and all."""
        after = self.takers.get(joined.output[0], ())
        if len(after) != 1 or after[0].op_type != "Mul":
            return False
        divide = path[0].op_type == "Div"
        scale, one, half = self._scalar(path[0]), self._scalar(path[2]), self._scalar(after[0])
        wanted = math.sqrt(2) if divide else 1 / math.sqrt(2)
        return all(
            found is not None and abs(found - number) < 1e-4
            for found, number in ((scale, wanted), (one, 1), (half, 0.5))
        )

    def _scalar(self, node: Any) -> float | None:
        values = [self.constants[name] for name in node.input if name in self.constants]
        return float(values[0].reshape(())) if len(values) == 1 and values[0].size == 1 else None

    def _other(self, node: Any, what: str) -> str:
        tensors = {str(at): name for at, name in enumerate(node.input) if self._known(name)}
        self.steps.append(Step("other", node.name or node.op_type, tensors, {"what": what}))
        return node.output[0] if node.output else ""

    def _known(self, name: str) -> bool:
        return name in self.constants

    def _constant(self, node: Any, at: int) -> bool:
        return len(node.input) > at and self._known(node.input[at])


def _image(shape: Sequence[int | None]) -> tuple[tuple[int, int, int] | None, bool]:
    """Height, width, channels of the inputs, and whether channels come first there; None where they are no images."""
    if len(shape) != 4 or not all(shape[1:]):
        return None, False
    a, b, c = (int(extent or 0) for extent in shape[1:])
    if c in CHANNELS and a not in CHANNELS:
        return (a, b, c), False
    return (b, c, a), True


def _plain(number: np.ndarray) -> Any:
    return number.item() if number.size == 1 else number.ravel().tolist()


def _title(tensor: str, node: Any) -> str:
    """What a dense layer is called: by its kernel where that has a name of its own, else by its node."""
    scope = tensor.replace("/", ".").rpartition(".")[0].strip(".")
    return scope or node.name or tensor
