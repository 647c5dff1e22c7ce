"""What ELU and batch normalization cost at prediction, against ReLU: the same rows, in turn within one run.

    python benchmarks/prediction.py [--seeds 5] [--rounds 20] [--hidden 300,100]

Each seed has its own weights and its own rows of the shape of MNIST. A round predicts them once with every network, in
an order that turns from round to round; a seed's ratio is that of the medians over its rounds, and the interval is
over the seeds (Student's t, 95%). Nothing is trained: weights do not change how long a product takes.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from typing import Any

import numpy as np

ROWS, FEATURES, CLASSES = 10_000, 784, 10
NETWORKS: dict[str, dict[str, Any]] = {
    "relu": {"activation": "relu"},
    "elu": {"activation": "elu"},
    "relu + batch norm": {"activation": "relu", "batch_norm": True},
    "elu + batch norm": {"activation": "elu", "batch_norm": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--hidden", default="300,100")
    options = parser.parse_args()
    from dnnrun.sweep.statistics import estimate

    hidden = [int(units) for units in options.hidden.split(",")]
    ratios: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        seconds = measure(hidden, seed, options.rounds)
        for name, taken in seconds.items():
            ratios.setdefault(name, []).append(median(taken) / median(seconds["relu"]))
            rates.setdefault(name, []).append(ROWS / median(taken))
    told = {
        name: {"examples_per_s": round(median(rates[name])), "times_relu": str(estimate(ratios[name]))}
        for name in NETWORKS
    }
    print(json.dumps({"hidden": hidden, "seeds": options.seeds, "rounds": options.rounds, "networks": told}, indent=1))


def measure(hidden: list[int], seed: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of every round, by network."""
    import jax

    from dnnrun.nn.architecture import Model, lay_out
    from dnnrun.nn.network import Split, initial_tensors

    x = jax.numpy.asarray(np.random.default_rng(seed).random((ROWS, FEATURES), np.float32))
    functions = {}
    for name, choice in NETWORKS.items():
        architecture = lay_out(Model.model_validate({"hidden": hidden, **choice}), FEATURES, CLASSES)
        tensors = jax.device_put(initial_tensors(architecture, seed))
        split = Split(architecture)
        functions[name] = jax.jit(lambda t, x, split=split: split.merge(t)(x)).lower(tensors, x).compile(), tensors
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            function, tensors = functions[name]
            begun = time.perf_counter()
            function(tensors, x).block_until_ready()
            if number:  # the first round only warms up
                seconds[name].append(time.perf_counter() - begun)
    return seconds


if __name__ == "__main__":
    main()
