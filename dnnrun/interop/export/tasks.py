"""What runs in a process of its own: torch saves a state dict, and each framework runs the file written for it."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import io
import os
from typing import Any

import numpy as np


def save_torch(data: bytes) -> bytes:
    """The .pt file of the arrays in an .npz."""
    import torch

    arrays = np.load(io.BytesIO(data), allow_pickle=False)
    target = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}, target)
    return target.getvalue()


def run_torch(data: bytes, path: str, modules: list[Any]) -> bytes:
    """Outputs of the state dict in `path` in the modules that are told for it."""
    from collections import OrderedDict

    import torch

    network = torch.nn.Sequential(
        OrderedDict((name, getattr(torch.nn, kind)(**options)) for name, kind, options in modules)
    )
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    with torch.no_grad():
        return _answer(network.eval()(torch.from_numpy(_asked(data))).numpy())


def run_onnx(data: bytes, path: str) -> bytes:
    """The logits of an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return _answer(
        session.run(session.get_outputs()[0].name and [session.get_outputs()[0].name], {"inputs": _asked(data)})[0]
    )


def run_keras(data: bytes, path: str) -> bytes:
    """The outputs of a .keras file."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return _answer(np.asarray(model(_asked(data), training=False)))


def _asked(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _answer(outputs: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.save(target, outputs)
    return target.getvalue()
