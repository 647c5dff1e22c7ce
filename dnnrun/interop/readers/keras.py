"""Keras' .keras, .h5 and .weights.h5: by h5py and JSON alone, so that no layer of the file is ever built or run."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportMissingModuleSource=false
from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.finding import natural
from dnnrun.errors import InteropError
from dnnrun.interop.readers.damage import DAMAGED
from dnnrun.interop.readers.kerasconfig import steps_of
from dnnrun.interop.weights import Weights, pack

MEMBERS = ("config.json", "model.weights.h5")
LARGEST = 4 << 30
CONFIG = 1 << 24
RATIO = 100  # how many times more a file may declare than it stores, above a MiB
OBJECTS, DEPTH = 100_000, 32
HEAD = b"\x89HDF\r\n\x1a\n"


def task(data: bytes, path: str) -> bytes:
    """`read` for `apart.call`."""
    return pack(read(Path(path)))


def read(path: Path) -> Weights:
    """The weights, and the chain of layers where the file has its configuration. Raises InteropError."""
    config, own, content = None, None, None
    if zipfile.is_zipfile(path):
        config, own, content = _archive(path)
    import h5py

    try:
        with h5py.File(io.BytesIO(content) if content is not None else path, "r") as file:
            if content is None and isinstance(text := file.attrs.get("model_config"), (str, bytes)):
                config = _json(path, text)
            tensors, layers = _tensors(path, file)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise InteropError(f"{path}: not a whole HDF5 file ({str(error)[:150]}); copy or save it again") from None
    if not tensors:
        raise InteropError(f"{path}: has no weights; save the model after it is built")
    weights = Weights("keras", tensors, orientation="in_out", epsilon=1e-3, own=own)
    if config is None:
        return _by_kind(weights, layers)
    return steps_of(path, weights, config, layers)


def _archive(path: Path) -> tuple[Any, Mapping[str, Any] | None, bytes]:
    from dnnrun.interop.readers.arrays import own_json

    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member for member in archive.infolist()}
            for name in MEMBERS:
                if name not in sizes:
                    raise InteropError(f"{path}: has no {name}; wanted a file as model.save('m.keras') writes it")
                member = sizes[name]
                limit = CONFIG if name == "config.json" else LARGEST
                if member.file_size > limit or (
                    member.file_size > 1 << 20 and member.file_size > RATIO * member.compress_size
                ):
                    raise InteropError(
                        f"{path}: {name} declares {member.file_size:,} bytes, stored in {member.compress_size:,}; "
                        "it is damaged or made to fill the memory"
                    )
            config = _json(path, archive.read("config.json"))
            own = own_json(path, archive.read("dnnrun.json")) if "dnnrun.json" in sizes else None
            return config, own, archive.read("model.weights.h5")
    except DAMAGED as error:
        raise InteropError(f"{path}: not a whole archive ({error}); copy it again") from None


def _json(path: Path, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InteropError(f"{path}: its configuration is not JSON ({str(error)[:100]})") from None


def _tensors(path: Path, file: Any) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Tensors by name, and the names of each layer's, in the order of the layer's own variables."""
    found: dict[str, np.ndarray] = {}
    layers: dict[str, list[str]] = {}
    root = file.get("model_weights", file)
    for name, dataset in _datasets(path, root):
        if name.startswith(("optimizer/", "_optimizer", "optimizer_weights")):
            continue
        found[name] = _array(path, name, dataset)
    if "layer_names" in root.attrs:  # .h5 of Keras 1 to 3
        for layer in map(_text, root.attrs["layer_names"]):
            if layer not in root:
                raise InteropError(f"{path}: names the layer {layer} and has no weights of it; the file is damaged")
            layers[layer] = [f"{layer}/{_text(name)}" for name in root[layer].attrs.get("weight_names", ())]
    else:  # .weights.h5: layers/dense_1/vars/0
        for name in sorted(found, key=natural):
            layer, _, number = name.rpartition("/vars/")
            if number.isdecimal():
                layers.setdefault(layer, []).append(name)
    missing = [name for names in layers.values() for name in names if name not in found]
    if missing:
        raise InteropError(f"{path}: has no tensor {missing[0]}, which it names; the file is damaged")
    ordered = [name for names in layers.values() for name in names]
    rest = [name for name in found if name not in set(ordered)]
    return {name: found[name] for name in [*ordered, *rest]}, _titled(root, layers)


def _titled(root: Any, layers: dict[str, list[str]]) -> dict[str, list[str]]:
    """Layers of a .weights.h5 under their own names too, which newer versions keep beside the variables."""
    titled = dict(layers)
    for layer, names in layers.items():
        if f"{layer}/vars" in root and "name" in root[f"{layer}/vars"].attrs:
            titled.setdefault(f"name:{_text(root[f'{layer}/vars'].attrs['name'])}", names)
    return titled


def _datasets(path: Path, root: Any) -> Iterator[tuple[str, Any]]:
    import h5py

    queue, seen = [("", root, 0)], 0
    while queue:
        prefix, group, depth = queue.pop()
        if depth > DEPTH:
            raise InteropError(f"{path}: groups nested more than {DEPTH} deep; not written by Keras")
        for key in group:
            seen += 1
            if seen > OBJECTS:
                raise InteropError(f"{path}: more than {OBJECTS:,} objects; not written by Keras")
            name = f"{prefix}{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                target = getattr(link, "filename", "another place in it")
                raise InteropError(f"{path}: {name} is a link to {target}, which is not followed; save the model again")
            item = group[key]
            if isinstance(item, h5py.Group):
                queue.append((f"{name}/", item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                yield name, item


def _array(path: Path, name: str, dataset: Any) -> np.ndarray:
    if dataset.external or dataset.is_virtual:
        raise InteropError(f"{path}: the values of {name} lie in another file, which is not read; save the model again")
    if dataset.dtype.hasobject or dataset.dtype.kind not in "biuf":
        raise InteropError(f"{path}: {name} holds {dataset.dtype}, wanted numbers")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > 1 << 20 and dataset.nbytes > RATIO * stored:
        shape = "x".join(map(str, dataset.shape))
        raise InteropError(
            f"{path}: {name} declares {shape} values, {dataset.nbytes:,} bytes, and the file stores {stored:,}; "
            "it is damaged or made to fill the memory"
        )
    return dataset[()] if dataset.shape == () else dataset[...]


def _by_kind(weights: Weights, layers: Mapping[str, list[str]]) -> Weights:
    """Weights without a configuration under names that say what they are, by the kind of layer that Keras names."""
    roles = {
        "dense": ("kernel", "bias"),
        "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
        "p_re_lu": ("alpha",),
    }
    renamed: dict[str, str] = {}
    for layer, names in layers.items():
        kind = str(natural(layer.rpartition("/")[2])[0][1]).rstrip("_")
        known = roles.get(kind)
        if known is None or layer.startswith("name:"):
            continue
        if kind == "batch_normalization" and len(names) < 4:
            continue  # without a scale or a shift; which of them, only the configuration says
        title = next((key[5:] for key, inner in layers.items() if key.startswith("name:") and inner == names), layer)
        for name, role in zip(names, known, strict=False):
            renamed[name] = f"{title}/{role}"
    tensors = {renamed.get(name, name): value for name, value in weights.tensors.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: natural(item[0])))
    return Weights("keras", ordered, orientation="in_out", epsilon=1e-3)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
