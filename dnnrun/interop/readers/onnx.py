"""ONNX: the protocol buffer is parsed and its graph walked; no node is run, no other file read unless that is asked."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportMissingModuleSource=false
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.errors import InteropError
from dnnrun.interop.readers.arrays import own_json
from dnnrun.interop.readers.onnxgraph import Chain
from dnnrun.interop.weights import Weights, pack

FLOATS = {1: 4, 10: 2, 11: 8, 16: 2, 6: 4, 7: 8}  # TensorProto types that are read, and their bytes


def task(data: bytes, path: str, external: bool) -> bytes:
    """`read` for `apart.call`."""
    return pack(read(Path(path), external))


def read(path: Path, external: bool) -> Weights:
    """The graph as a chain of steps. `external` lets it have its data in files of its own folder.

    Raises InteropError.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise InteropError(f"{path}: not a whole ONNX file ({str(error)[:150]}); export it again") from None
    if not model.graph.node:
        raise InteropError(f"{path}: an ONNX file without a graph; export it again")
    own = next((prop.value for prop in model.metadata_props if prop.key == "dnnrun"), None)
    content = _Contents(path, external)
    constants = {tensor.name: content.array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    constants[node.output[0]] = content.array(attribute.t)
                elif attribute.name in ("value_float", "value_int") or attribute.name in ("value_floats", "value_ints"):
                    constants[node.output[0]] = np.asarray(onnx.helper.get_attribute_value(attribute))
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise InteropError(f"{path}: takes {len(inputs)} inputs ({names}), and dnnrun builds networks of one")
    shape = [dim.dim_value or None for dim in inputs[0].type.tensor_type.shape.dim]
    chain = Chain(path, list(model.graph.node), constants, _attributes(onnx.helper.get_attribute_value))
    steps, used, image, notes = chain.walk(inputs[0].name, shape)
    return Weights(
        "onnx",
        {name: constants[name] if name in constants else chain.constants[name] for name in used},
        steps=tuple(steps),
        epsilon=1e-5,
        image=image,
        own=own_json(path, own) if own else None,
        notes=tuple(notes),
    )


def _attributes(value_of: Callable[[Any], Any]) -> Callable[[Any], Mapping[str, Any]]:
    def read(node: Any) -> Mapping[str, Any]:
        return {a.name: value_of(a) for a in node.attribute if a.type not in (4, 5, 9, 10)}

    return read


class _Contents:
    """The values of tensors, checked against what the file has."""

    def __init__(self, path: Path, external: bool):
        self.path, self.external = path, external

    def array(self, tensor: Any) -> np.ndarray:
        from onnx import TensorProto, numpy_helper

        width = FLOATS.get(tensor.data_type)
        if width is None:
            kind = TensorProto.DataType.Name(tensor.data_type) if tensor.data_type < 24 else tensor.data_type
            if tensor.data_type in (2, 3, 4, 5, 9, 12, 13):
                width = 1
            else:
                raise InteropError(f"{self.path}: {tensor.name} holds {kind}, wanted float32; export it so")
        if any(extent < 0 for extent in tensor.dims):
            raise InteropError(f"{self.path}: {tensor.name} declares the shape {list(tensor.dims)}; it is damaged")
        count = math.prod(tensor.dims)
        if tensor.data_location == TensorProto.EXTERNAL:
            raw = self._external(tensor, count * width)
            inner = TensorProto()
            inner.CopyFrom(tensor)
            inner.data_location = TensorProto.DEFAULT
            del inner.external_data[:]
            inner.raw_data = raw
            return numpy_helper.to_array(inner)
        lists = (tensor.float_data, tensor.double_data, tensor.int32_data, tensor.int64_data, tensor.uint64_data)
        have = len(tensor.raw_data) // width if tensor.HasField("raw_data") else sum(map(len, lists))
        if have < count:
            shape = "x".join(map(str, tensor.dims))
            raise InteropError(f"{self.path}: {tensor.name} declares {shape} values and has {have:,}; it is damaged")
        return numpy_helper.to_array(tensor)

    def _external(self, tensor: Any, size: int) -> bytes:
        told = {entry.key: entry.value for entry in tensor.external_data}
        location = told.get("location", "")
        if not self.external:
            raise InteropError(
                f"{self.path}: the values of {tensor.name} are in another file, {location[:100]!r}; "
                "read it too with --external-data, or export with external_data=False"
            )
        folder = self.path.resolve().parent
        target = folder / location
        inside = location and not Path(location).is_absolute() and target.resolve().is_relative_to(folder)
        if not inside or target.is_symlink() or not target.is_file():
            raise InteropError(
                f"{self.path}: {tensor.name} wants the file {location[:100]!r}; wanted a plain file in {folder}"
            )
        try:
            offset, length = int(told.get("offset", 0)), int(told.get("length", size))
        except ValueError:
            offset = length = -1
        if offset < 0 or length < size or offset + size > target.stat().st_size:
            raise InteropError(f"{target}: has no {size:,} bytes at {offset:,} for {tensor.name}; it is damaged")
        with target.open("rb") as file:
            file.seek(offset)
            return file.read(size)
