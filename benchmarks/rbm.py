"""An epoch of an RBM, CD-1, 784-500, batch 20: dnnrun against scikit-learn's BernoulliRBM on the same rows.

    python benchmarks/rbm.py [ROWS]

MNIST as for `dnnrun train`. They take turns, five epochs each, one thread, timed by the processor
time that they take, so that other work on the machine counts for neither. (With many threads on a busy machine those
of scikit-learn's BLAS wait for each other, which would flatter us.)
scikit-learn's goes on with its chains (persistent CD-1) and reports nothing; ours is CD-1 and sums up its metrics
(reconstruction error, free energy, pseudo-likelihood) as in every run. Wanted: at least 2.5 times
as fast. scikit-learn computes in the type of the rows; ours is float32.
"""

from __future__ import annotations

import os
import sys
import time
from statistics import median

ROUNDS = 5
SPEC = {
    "name": "rbm",
    "data": {"source": "mnist", "validation": 0},
    "model": {"hidden": [500], "activation": "logistic"},
    "train": {"threads": 1},
    "pretrain": {"type": "rbm", "batch_size": 20, "epochs": ROUNDS, "optimizer": {"type": "sgd", "learning_rate": 0.1}},
}


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from sklearn.neural_network import BernoulliRBM

    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.pretraining import assemble_stage, plan_pretraining
    from dnnrun.spec.load import load_mapping

    places = find_places(None)
    pretraining = plan_pretraining(load_mapping(SPEC, [f"data.limit={rows}"]), places)
    parts = assemble_stage(pretraining, 0, {}, places, compile_cache(), None)
    state, frozen = parts.enter(0, [0], parts.first_tensors())
    x = pretraining.scaling.apply(pretraining.dataset.features[:rows])
    steps = parts.plan.steps_per_epoch
    theirs = BernoulliRBM(n_components=500, learning_rate=0.1, batch_size=20, n_iter=1, random_state=0)
    names = ("dnnrun", "scikit-learn, float32", "scikit-learn, float64")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    parts.evaluate({**frozen, **state.params}, "train")  # compiled in a thread of its own: done before the clock starts
    state = parts.program.train_chunk(state, frozen, parts.batches(0), 0, steps)
    state.step.block_until_ready()
    for epoch in range(1, ROUNDS + 1):
        data, at = parts.batches(epoch), int(state.step)
        began = time.process_time()
        state = parts.program.train_chunk(state, frozen, data, at, (epoch + 1) * steps)
        state.step.block_until_ready()
        seconds["dnnrun"].append(time.process_time() - began)
        for dtype in ("float32", "float64"):
            began = time.process_time()
            theirs.fit(x.astype(dtype))
            seconds[f"scikit-learn, {dtype}"].append(time.process_time() - began)
    print(f"seconds of processor time an epoch of {rows:,} rows")
    for name, found in seconds.items():
        ratios = sorted(b / a for a, b in zip(seconds["dnnrun"], found, strict=True))
        told = "" if name == "dnnrun" else f"  {median(ratios):.2f} times ours ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{name:>22}: {median(found):.2f} ({', '.join(f'{s:.2f}' for s in found)}){told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
