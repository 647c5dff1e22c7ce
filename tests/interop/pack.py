"""What the readers find in files of the frameworks, kept so that the tests without these frameworks have it.

    python -m tests.interop.frameworks FOLDER && python -m tests.interop.pack FOLDER

writes fixtures/NAME.weights (see dnnrun.interop.weights.pack) and NAME.npz with the inputs x and the outputs y.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dnnrun.interop import formats
from dnnrun.interop.weights import pack

FIXTURES = Path(__file__).parent / "fixtures"
KEPT = {
    "torch": ("norm.pt", "named.pt", "square.pt", "channels.pt", "slopes.pt", "convolved.pt"),
    "onnx": ("mixed.onnx", "normdynamo.onnx", "channels.onnx"),
    "keras": ("norm-keras.keras", "image-keras.keras", "plain-h5.h5", "norm-weightsh5.weights.h5"),
    "tensorflow": ("one.ckpt", "onev1.ckpt", "object-norm"),
}

if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    for framework, names in KEPT.items():
        for name in names:
            folder, stem = Path(sys.argv[1]) / framework, name.split(".")[0]
            (FIXTURES / f"{framework}-{stem}.weights").write_bytes(pack(formats.read(folder / name)))
            pair = {key: np.load(folder / f"{stem}.{key}.npy") for key in ("x", "y")}
            np.savez(FIXTURES / f"{framework}-{stem}.npz", **pair)
