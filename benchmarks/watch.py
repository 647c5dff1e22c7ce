"""What watching the signals of every layer costs a training: the same steps with and without it, in turn.

    python benchmarks/watch.py [--rounds 25] [--spec ch11/he_elu]

Each round trains some epochs of the spec with `train.watch: true` at the interval that this has in a run of all its
epochs, and the same epochs without it, in an order that turns from round to round; events are turned to numbers and
text, as in a run. Counted are the processor's seconds on one thread, since what else runs on the machine lengthens
those of the clock. The cost is the median over the rounds of the ratio of both, less 1.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from statistics import median

EPOCHS = 2  # of a round


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--spec", default="ch11/he_elu")
    options = parser.parse_args()
    from dnnrun.assemble import assemble
    from dnnrun.data.places import compile_cache, find_places
    from dnnrun.spec.load import load
    from dnnrun.train import signals
    from dnnrun.train.loop import Progress, Watched, fit

    spec = load(options.spec, ("train.watch=true", "train.threads=1"))
    parts = assemble(spec, find_places(None), compile_cache(print))
    state, frozen = parts.enter(0, [0], parts.first_tensors())
    plan, watch = replace(parts.plan, epochs=EPOCHS), signals.compiled(parts.program)

    def seconds(watched: bool) -> float:
        began, watching = time.process_time(), watch if watched else None
        for event in fit(
            parts.program, state, frozen, parts.batches, plan, Progress(), time.perf_counter, watch=watching
        ):
            if isinstance(event, Watched):
                json.dumps(signals.on_host(event.signals))
        return time.process_time() - began

    for watched in (True, False):  # compiles
        seconds(watched)
    ratios = []
    for number in range(options.rounds):
        first = number % 2 == 0
        took = {watched: seconds(watched) for watched in (first, not first)}
        ratios.append(took[True] / took[False])
    steps = EPOCHS * plan.steps_per_epoch
    told = {
        "spec": options.spec,
        "every_steps": plan.watch_every,
        "times_in_a_round": -(-steps // (plan.watch_every or 1)),
        "rounds": options.rounds,
        "cost": round(median(ratios) - 1, 4),
        "costs": [round(ratio - 1, 3) for ratio in sorted(ratios)],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
