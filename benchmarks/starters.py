"""Starter models for the zoo: configs of chapter 11, trained here, their cards with what they reached.

    python benchmarks/starters.py [--only NAME ...] [--zoo FOLDER] [--runs-dir FOLDER]

Takes minutes a model; MNIST is looked for as in docs/data.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dnnrun
from dnnrun.catalogued import add_run
from dnnrun.store.zoo_place import zoo_folder

STARTERS = {
    "clip": "Five hidden ReLU layers, gradients clipped: the base of the reuse experiments.",
    "bn_elu": "Batch normalization before ELU, and on the logits.",
    "momentum_decay": "Two hidden layers, momentum, a falling rate: the most accurate of chapter 11.",
    "ex8_searched": "Digits 0 to 4 alone, five hidden layers: the base of exercise 9.",
}
LICENCE = "Apache-2.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=STARTERS, default=list(STARTERS))
    parser.add_argument("--zoo", type=Path, default=None)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    options = parser.parse_args()
    zoo = options.zoo or zoo_folder()
    for name in options.only:
        result = dnnrun.train(f"ch11/{name}", runs_dir=options.runs_dir)
        title = f"mnist-{name.replace('_', '-')}"
        found = add_run(
            zoo, result.run, title, licence=LICENCE, description=STARTERS[name], tags=("starter",), force=True
        )
        accuracies = {split: round(values["accuracy"], 4) for split, values in result.metrics.items()}
        print(f"zoo:{found.name}  {result.timing['total_s']:.0f} s  {accuracies}", flush=True)


if __name__ == "__main__":
    main()
