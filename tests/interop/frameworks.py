"""Networks written by the frameworks themselves: a file, inputs, and the outputs that the framework gives for them.

    python -m tests.interop.frameworks FOLDER [torch|keras|tensorflow|onnx ...]

writes NAME.<suffix>, NAME.x.npy and NAME.y.npy for each network into FOLDER.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 7
BOOK = (784, 300, 50, 50, 50, 50, 10)


def inputs(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1.2, (ROWS, *shape)).astype(np.float32)


def save(folder: Path, name: str, x: np.ndarray, y: Any) -> None:
    np.save(folder / f"{name}.x.npy", x)
    np.save(folder / f"{name}.y.npy", np.asarray(y, np.float32))


def torch_networks() -> dict[str, Any]:
    """Modules in evaluation mode with moved statistics, by name."""
    import torch
    from torch import nn

    torch.manual_seed(3)

    class Named(nn.Module):
        """Layers declared by kind, as people write them: the order of the file is not that of the network."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)
            self.bn1, self.bn2 = nn.BatchNorm1d(5), nn.BatchNorm1d(5)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.bn1(self.fc1(x)))
            return self.fc3(torch.relu(self.bn2(self.fc2(x))))

    networks = {
        "plain": nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)),
        "square": nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5)),
        "norm": nn.Sequential(
            nn.Linear(6, 5),
            nn.BatchNorm1d(5),
            nn.ReLU(),
            nn.Linear(5, 5),
            nn.BatchNorm1d(5),
            nn.ReLU(),
            nn.Linear(5, 3),
        ),
        "after": nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 3)),
        "slopes": nn.Sequential(nn.Linear(6, 5), nn.PReLU(5), nn.Linear(5, 4), nn.PReLU(4), nn.Linear(4, 3)),
        "shared": nn.Sequential(nn.Linear(6, 5), nn.PReLU(), nn.Linear(5, 3)),
        "nobias": nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)),
        "named": Named(),
        "double": nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double(),
    }
    for network in networks.values():
        for _ in range(5):
            network(torch.from_numpy(inputs(next(network.parameters()).shape[1])).to(next(network.parameters()).dtype))
        network.eval()
    return networks


def torch_files(folder: Path) -> None:
    import torch

    for name, network in torch_networks().items():
        first = next(network.parameters())
        x = inputs(first.shape[1], seed=1)
        torch.save(network.state_dict(), folder / f"{name}.pt")
        save(folder, name, x, network(torch.from_numpy(x).to(first.dtype)).detach().numpy())
    network = torch_networks()["plain"]
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.from_numpy(inputs(6))).sum().backward()
    optimizer.step()
    torch.save(
        {"epoch": 3, "model_state_dict": network.state_dict(), "optimizer": optimizer.state_dict()},
        folder / "trained.pt",
    )
    save(folder, "trained", inputs(6, seed=1), network(torch.from_numpy(inputs(6, seed=1))).detach().numpy())
    torch.save(network.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save(folder, "legacy", inputs(6, seed=1), network(torch.from_numpy(inputs(6, seed=1))).detach().numpy())
    flat = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 5, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)
    )
    x = inputs(3, 4, 5, seed=2)
    torch.save(flat.eval().state_dict(), folder / "channels.pt")
    save(folder, "channels", x, flat(torch.from_numpy(x)).detach().numpy())
    convolved = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 5), torch.nn.Linear(5, 3)
    )
    torch.save(convolved.state_dict(), folder / "convolved.pt")
    save(folder, "convolved", inputs(1, 4, 4), convolved(torch.from_numpy(inputs(1, 4, 4))).detach().numpy())


def onnx_files(folder: Path) -> None:
    """The same networks through both exporters of torch, and more activations."""
    import onnx
    import torch
    from torch import nn

    networks = torch_networks()
    mixed = [
        nn.ELU(0.7),
        nn.GELU(),
        nn.SiLU(),
        nn.Mish(),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.LeakyReLU(0.2),
        nn.SELU(),
        nn.Softplus(),
    ]
    layers: list[Any] = []
    for activation in mixed:
        layers += [nn.Linear(5, 5), activation]
    networks["mixed"] = nn.Sequential(*layers, nn.Linear(5, 3), nn.Softmax(1)).eval()
    networks["channels"] = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    for name, network in networks.items():
        first = next(network.parameters())
        if name == "double":
            continue
        x = inputs(3, 4, 5, seed=2) if name == "channels" else inputs(first.shape[1], seed=1)
        given = (torch.from_numpy(x),)
        for title, options in {
            "": {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "rows"}}},
            "old": {"dynamo": False, "opset_version": 13},
            "dynamo": {"dynamo": True, "external_data": False},
        }.items():
            if title == "old" and name == "slopes":
                continue
            torch.onnx.export(network, given, str(folder / f"{name}{title}.onnx"), **options)  # type: ignore[arg-type]
            save(folder, f"{name}{title}", x, network(*given).detach().numpy())
    given = (torch.from_numpy(inputs(6, seed=1)),)
    onnx.save_model(
        onnx.load(str(folder / "plain.onnx")),
        str(folder / "external.onnx"),
        save_as_external_data=True,
        location="external.onnx.data",
        size_threshold=0,
    )
    save(folder, "external", inputs(6, seed=1), networks["plain"](*given).detach().numpy())


def keras_networks() -> dict[str, Any]:
    import keras

    keras.utils.set_random_seed(4)
    layers = keras.layers
    image = layers.Input((4, 5, 3))
    hidden = layers.Dense(6, activation="gelu", name="hidden1")(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    scaled = layers.Normalization()
    scaled.adapt(inputs(6))
    found = {
        "plain": keras.Sequential(
            [layers.Input((6,)), layers.Dense(5, "relu"), layers.Dense(4, "relu"), layers.Dense(3, "softmax")]
        ),
        "square": keras.Sequential(
            [layers.Input((5,)), layers.Dense(5, "tanh"), layers.Dense(5, "tanh"), layers.Dense(5)]
        ),
        "norm": keras.Sequential(
            [
                layers.Input((6,)),
                layers.Dense(5, use_bias=False),
                layers.BatchNormalization(momentum=0.9, epsilon=1e-4),
                layers.Activation("elu"),
                layers.Dropout(0.3),
                layers.Dense(5),
                layers.BatchNormalization(scale=False),
                layers.ReLU(),
                layers.Dense(3),
            ]
        ),
        "after": keras.Sequential(
            [layers.Input((6,)), layers.Dense(5, "relu"), layers.BatchNormalization(), layers.Dense(3)]
        ),
        "slopes": keras.Sequential(
            [
                layers.Input((6,)),
                layers.Dense(5),
                layers.PReLU("uniform"),
                layers.Dense(4),
                layers.LeakyReLU(0.2),
                layers.Dense(3),
            ]
        ),
        "image": keras.Model(image, layers.Dense(3, name="outputs")(hidden)),
        "scaled": keras.Sequential([layers.Input((6,)), scaled, layers.Dense(5, "silu"), layers.Dense(3)]),
    }
    for network in found.values():
        rng = np.random.default_rng(5)
        for layer in network.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in layer.get_weights()])
    return found


def keras_files(folder: Path) -> None:
    for name, network in keras_networks().items():
        shape = network.input_shape[1:]
        x = inputs(*shape, seed=1) * (60 if name == "image" else 1)
        y = np.asarray(network(x, training=False))
        for suffix in ("keras", "h5", "weights.h5"):
            title = f"{name}-{suffix.replace('.', '')}"
            network.save_weights(folder / f"{title}.{suffix}") if "weights" in suffix else network.save(
                folder / f"{title}.{suffix}"
            )
            save(folder, title, x, y)


def book_graph(sizes: tuple[int, ...] = BOOK, seed: int = 42) -> tuple[Any, Any, Any]:
    """The notebook's graph in compat.v1: placeholder, logits, and the operation that trains, scopes and all."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.set_random_seed(seed)
    x = v1.placeholder(tf.float32, (None, sizes[0]), name="X")
    labels = v1.placeholder(tf.int32, (None,), name="y")
    out: Any = x
    with v1.variable_scope("dnn"):
        for number, units in enumerate(sizes[1:], 1):
            last = number == len(sizes) - 1
            with v1.variable_scope("outputs" if last else f"hidden{number}"):
                start = v1.glorot_uniform_initializer(seed=seed + number)
                kernel = v1.get_variable("kernel", (int(out.shape[1]), units), initializer=start)
                bias = v1.get_variable("bias", (units,), initializer=v1.zeros_initializer())
                out = tf.matmul(out, kernel) + bias
                out = out if last else tf.nn.relu(out)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=out), name="loss")
    optimizer = v1.train.MomentumOptimizer(0.05, 0.9)
    clipped = [
        (tf.clip_by_value(gradient, -1.0, 1.0), variable) for gradient, variable in optimizer.compute_gradients(loss)
    ]
    return x, labels, (out, optimizer.apply_gradients(clipped))


def tensorflow_files(folder: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    for name, sizes in {"one": (6, 5, 4, 3), "square1": (5, 5, 5, 5)}.items():
        with tf.Graph().as_default():
            x, labels, (logits, learn) = book_graph(sizes)
            given = inputs(sizes[0], seed=1)
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                for _ in range(3):
                    session.run(learn, {x: given, labels: np.arange(ROWS) % sizes[-1]})
                y = session.run(logits, {x: given})
                v1.train.Saver().save(session, str(folder / f"{name}.ckpt"), write_meta_graph=False)
                v1.train.Saver(write_version=v1.train.SaverDef.V1).save(
                    session, str(folder / f"{name}v1.ckpt"), write_meta_graph=False
                )
                save(folder, name, given, y)
                save(folder, f"{name}v1", given, y)
    for name, network in keras_networks().items():
        if name in ("plain", "norm", "square"):
            tf.train.Checkpoint(model=network).write(str(folder / f"object-{name}"))
            given = inputs(*network.input_shape[1:], seed=1)
            save(folder, f"object-{name}", given, np.asarray(network(given, training=False)))


MAKERS: dict[str, Callable[[Path], None]] = {
    "torch": torch_files,
    "onnx": onnx_files,
    "keras": keras_files,
    "tensorflow": tensorflow_files,
}

if __name__ == "__main__":
    target = Path(sys.argv[1])
    for wanted in sys.argv[2:] or MAKERS:
        (target / wanted).mkdir(parents=True, exist_ok=True)
        MAKERS[wanted](target / wanted)
