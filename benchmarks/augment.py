"""What augmentation costs: the examples/s of a step with it against those without, in turn within one process.

    python benchmarks/augment.py [--rounds 5] [--batch 200]

MNIST, 784-300-100-10, Adam. All programs are compiled first; every round runs an epoch of each, one after another, and
the ratio is of the medians, so that a machine whose speed drifts is fair to all.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from dnnrun.assemble import assemble
from dnnrun.data.places import find_places
from dnnrun.spec.load import load_mapping

SETTINGS: dict[str, Any] = {
    "none": None,
    "flip": {"flip": "horizontal"},
    "shift": {"shift": 2},
    "shift, flip": {"shift": 2, "flip": "horizontal"},
    "noise": {"noise": 0.1},
    "all": {"shift": 2, "flip": "horizontal", "noise": 0.1},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    epochs, machine = {}, ""
    for name, augment in SETTINGS.items():
        spec = load_mapping(
            {
                "data": {"source": "mnist", "validation": 5000, "augment": augment},
                "model": {"hidden": [300, 100]},
                "train": {"batch_size": options.batch},
            }
        )
        parts = assemble(spec, find_places(options.data_dir), None)
        state, frozen = parts.enter(0, [0], parts.first_tensors())
        epochs[name] = (parts, state, frozen)
        machine = f"{parts.machine.platform} {parts.machine.kind}"
    rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for number in range(options.rounds + 1):
        for name, (parts, state, frozen) in epochs.items():
            steps = parts.plan.steps_per_epoch
            began = time.perf_counter()
            after = parts.program.train_chunk(state, frozen, parts.data, 0, steps)
            int(after.step)  # waits
            if number:  # the first round warms up
                rates[name].append(steps * options.batch / (time.perf_counter() - began))
    found = {name: median(values) for name, values in rates.items()}
    result = {
        "device": machine,
        "batch": options.batch,
        "examples_per_s": {name: round(rate) for name, rate in found.items()},
        "of_none": {name: round(rate / found["none"], 3) for name, rate in found.items()},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
