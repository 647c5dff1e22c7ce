"""A network as an ONNX graph: raw inputs in, logits and probabilities out, any number of rows."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import json
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.export.bundle import Bundle, options_of
from dnnrun.nn.architecture import Layer

INPUT, LOGITS, PROBABILITIES, TARGETS = "inputs", "logits", "probabilities", "targets"
OPSET, OPSET_GELU = 18, 20
KINDS = {
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "selu": "Selu",
    "gelu": "Gelu",
    "mish": "Mish",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "logistic": "Sigmoid",
    "tanh": "Tanh",
    "prelu": "PRelu",
}


def onnx_bytes(bundle: Bundle) -> bytes:
    """The model. Raises InteropError for an activation that ONNX has not."""
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    value = graph.scaling(bundle)
    for layer in bundle.architecture.layers:
        value = graph.layer(bundle, layer, value)
    given = [TARGETS] if bundle.task == "regression" else [LOGITS, PROBABILITIES]
    graph.rename(value, given[0])
    if PROBABILITIES in given and (bundle.task == "multilabel" or bundle.architecture.outputs == 1):
        graph.node("Sigmoid", [LOGITS], PROBABILITIES)
    elif PROBABILITIES in given:
        graph.node("Softmax", [LOGITS], PROBABILITIES, axis=1)
    shapes = {
        INPUT: ["rows", bundle.architecture.features],
        **{name: ["rows", bundle.architecture.outputs] for name in given},
    }
    told = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    whole = helper.make_graph(graph.nodes, bundle.name, [told[INPUT]], [told[name] for name in given], graph.constants)
    gelu = any(node.op_type == "Gelu" for node in graph.nodes)
    opset = [helper.make_opsetid("", OPSET_GELU if gelu else OPSET)]
    model = helper.make_model(whole, opset_imports=opset, ir_version=9, producer_name="dnnrun")
    helper.set_model_props(model, {"dnnrun": json.dumps(bundle.told()), "classes": json.dumps(list(bundle.classes))})
    checker.check_model(model)
    return model.SerializeToString()


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str, **options: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **options))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(value, np.float32).reshape(value.shape), name)
        )
        return name

    def rename(self, value: str, name: str) -> None:
        """Call the last output `name`; without any node, hand the value through."""
        if value == INPUT:
            self.node("Identity", [INPUT], name)
            return
        self.nodes[-1].output[0] = name

    def scaling(self, bundle: Bundle) -> str:
        """(x - offset) * factor, without what changes nothing."""
        offset, factor = bundle.scaling.offset_factor()
        value = INPUT
        if np.any(offset):
            value = self.node("Sub", [value, self.constant("offset", np.asarray(offset))], "centered")
        if np.any(factor != 1):
            value = self.node("Mul", [value, self.constant("factor", np.asarray(factor))], "scaled")
        return value

    def layer(self, bundle: Bundle, layer: Layer, value: str) -> str:
        own = {name: x for name, x in bundle.tensors.items() if name.startswith(f"{layer.name}/")}
        names = [
            self.constant(name, own[name]) for name in (f"{layer.name}/kernel", f"{layer.name}/bias") if name in own
        ]
        value = self.node("Gemm", [value, *names], f"{layer.name}/dense")
        norm = layer.batch_norm
        if norm and norm.position == "before":
            value = self._norm(layer, own, value)
        value = self._activation(layer, own, value)
        if norm and norm.position == "after":
            value = self._norm(layer, own, value)
        return value

    def _norm(self, layer: Layer, own: dict[str, np.ndarray], value: str) -> str:
        assert layer.batch_norm is not None
        prefix = f"{layer.name}/batch_norm"
        filled = {"scale": np.ones(layer.units, np.float32), "bias": np.zeros(layer.units, np.float32)}
        names = [
            self.constant(f"{prefix}/{part}", own.get(f"{prefix}/{part}", filled.get(part, filled["bias"])))
            for part in ("scale", "bias", "mean", "var")
        ]
        options = {"epsilon": layer.batch_norm.epsilon, "momentum": layer.batch_norm.momentum}
        return self.node("BatchNormalization", [value, *names], f"{layer.name}/normalized", **options)

    def _activation(self, layer: Layer, own: dict[str, np.ndarray], value: str) -> str:
        options, out = options_of(layer.activation), f"{layer.name}/activation"
        kind = options["type"]
        if kind == "identity":
            return value
        if kind == "silu":
            return self.node("Mul", [value, self.node("Sigmoid", [value], f"{layer.name}/logistic")], out)
        if kind not in KINDS:
            raise InteropError(
                f"{layer.name}: ONNX has no node for the activation {kind}; export to safetensors or npz"
            )
        keywords: dict[str, Any] = {
            "leaky_relu": {"alpha": options.get("slope")},
            "elu": {"alpha": options.get("alpha")},
            "gelu": {"approximate": "tanh" if options.get("approximate") else "none"},
        }.get(kind, {})
        inputs = [value]
        if kind == "prelu":
            inputs.append(self.constant(f"{layer.name}/activation/slope", own[f"{layer.name}/activation/slope"]))
        return self.node(KINDS[kind], inputs, out, **keywords)
