"""safetensors: one file, or a folder as the Hugging Face Hub has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnnrun.data.finding import natural
from dnnrun.errors import InteropError
from dnnrun.interop.readers.arrays import own_json
from dnnrun.interop.weights import Weights

INDEX = "model.safetensors.index.json"
CONFIG = 1 << 24  # bytes that a JSON file may have
# What wrote the file, in the metadata of the format's own libraries -> how its kernels lie.
WRITERS = {"pt": "out_in", "tf": "in_out", "flax": "in_out", "np": None, "mlx": "out_in"}


def read_safetensors(path: Path) -> Weights:
    """The tensors of a file in the natural order of their names. Raises InteropError."""
    tensors, metadata = _file(path)
    return _weights(path, tensors, metadata)


def read_folder(folder: Path) -> Weights:
    """A folder with config.json and *.safetensors, in one file or in shards. Raises InteropError."""
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    tensors: dict[str, np.ndarray] = {}
    metadata: Mapping[str, str] = {}
    for file in _shards(folder):
        part, metadata = _file(file)
        tensors |= part
    found = _weights(folder, tensors, metadata)
    notes = list(found.notes)
    labels = config.get("id2label")
    own = dict(found.own or {})
    if isinstance(labels, dict) and "classes" not in own:
        own["classes"] = [str(labels[key]) for key in sorted(labels, key=natural)]
    activation = config.get("hidden_act", config.get("activation"))
    if isinstance(activation, str) and "activation" not in own:
        own["activation"] = activation
        notes.append(f"config.json says the activation: {activation}")
    return Weights("safetensors", found.tensors, orientation=found.orientation, own=own or None, notes=tuple(notes))


def _weights(where: Path, tensors: dict[str, np.ndarray], metadata: Mapping[str, str]) -> Weights:
    if not tensors:
        raise InteropError(f"{where}: has no tensors")
    ordered = dict(sorted(tensors.items(), key=lambda item: natural(item[0])))
    own = own_json(where, metadata["dnnrun"]) if "dnnrun" in metadata else None
    orientation = "in_out" if own else WRITERS.get(metadata.get("format", ""))
    return Weights("safetensors", ordered, orientation=orientation, own=own, epsilon=1e-3 if own else 1e-5)


def _file(path: Path) -> tuple[dict[str, np.ndarray], Mapping[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except FileNotFoundError:
        raise InteropError(f"{path}: not found") from None
    except SafetensorError as error:
        raise InteropError(f"{path}: not a whole safetensors file ({error}); copy it again") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InteropError(
            f"{path}: has a type of numbers that NumPy lacks ({error}); save it as float32 or bfloat16"
        ) from None
    except OSError as error:
        raise InteropError(f"{path}: cannot be read ({error.strerror or error})") from None


def _shards(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        named = _json(folder / INDEX).get("weight_map")
        names = sorted(set(named.values())) if isinstance(named, dict) else []
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise InteropError(f"{folder / INDEX}: names {name!r}, wanted files of its own folder")
        found = [folder / name for name in names]
    else:
        found = sorted(folder.glob("*.safetensors"))
        if len(found) > 1 and (folder / "model.safetensors") in found:
            found = [folder / "model.safetensors"]
    if len(found) > 1 and not (folder / INDEX).is_file():
        raise InteropError(f"{folder}: has {', '.join(path.name for path in found)}; name the one that is meant")
    for file in found:
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            raise InteropError(f"{file}: a link out of its folder; copy the file there")
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        raise InteropError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(found, dict):
        raise InteropError(f"{path}: no JSON mapping")
    return found
