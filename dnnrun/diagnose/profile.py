"""Where a step's time goes, what XLA counts of it, and how near it comes to this machine's own matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnrun.data.source import Places
from dnnrun.diagnose.sample import sample
from dnnrun.nn.cost import cost_of
from dnnrun.spec.sections import Spec

if TYPE_CHECKING:
    from dnnrun.assembly import Assembly
    from dnnrun.train.program import Program

SECONDS = 0.4  # that each part is measured for
REPEATS = 5  # the fastest of which counts: whatever else runs only ever slows down
GEMM = 1024  # rows, columns and depth of the product that the machine is measured by
FACTORS = (0.5, 2, 4)  # of the batch size, tried for the advice


@dataclass(frozen=True)
class Profile:
    """One spec's step. `parts` are seconds a step; `flops` what the network's products come to, `counted` XLA's count.

    `gemm` and `achieved` are GFLOP/s: of a square product of GEMM, and of the step. `batches` maps batch sizes tried
    to examples/s.
    """

    device: str
    batch_size: int
    step: float
    parts: Mapping[str, float]
    flops: int
    counted: Mapping[str, float]
    gemm: float
    batches: Mapping[int, float] = field(default_factory=dict)

    @property
    def achieved(self) -> float:
        return self.flops / self.step / 1e9

    @property
    def examples_per_s(self) -> float:
        return self.batch_size / self.step

    def advice(self) -> list[str]:
        """What might make it faster."""
        found = []
        best = max(self.batches, key=lambda size: self.batches[size], default=self.batch_size)
        gain = self.batches.get(best, 0) / self.examples_per_s
        if gain > 1.15:
            found.append(f"a batch size of {best} goes over {gain:.1f} times as many examples a second; the rate that "
                         "suits it is another one (dnnrun find-lr)")  # fmt: skip
        if self.achieved < 0.1 * self.gemm:
            found.append(
                "the products are small: most of a step is not spent in them. Larger batches or layers use more of the "
                "machine; many small networks go side by side in a sweep"
            )
        if self.parts["update"] > 0.4 * self.step:
            found.append("the optimizer takes much of a step: sgd and momentum have less to compute than adam")
        if self.parts["data"] > 0.3 * self.step:
            found.append("taking the batch takes much of a step; a larger batch size takes fewer, longer rows at once")
        if self.device.startswith("cpu"):
            found.append("try train.threads=1: small networks are often faster on one thread")
        return found

    def as_json(self) -> dict[str, Any]:
        """What `profile --json` prints."""
        return {
            "device": self.device,
            "batch_size": self.batch_size,
            "step_s": self.step,
            "parts_s": dict(self.parts),
            "examples_per_s": self.examples_per_s,
            "flops_per_step": self.flops,
            "xla": dict(self.counted),
            "achieved_gflops": self.achieved,
            "gemm_gflops": self.gemm,
            "examples_per_s_by_batch_size": {str(size): rate for size, rate in self.batches.items()},
            "advice": self.advice(),
        }


def profile(
    spec: Spec,
    places: Places,
    *,
    cache: Path | None = None,
    trace: Path | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, steps: None,
) -> Profile:
    """Measure a training step of `spec`; with `trace`, write what JAX's profiler sees of some steps into that folder.

    Raises what training raises.
    """
    import jax
    import jax.numpy as jnp

    from dnnrun.assemble import assemble

    total = 3 + len(FACTORS)
    progress("compiling", 0, total)
    spec = sample(spec)
    parts = assemble(spec, places, cache)
    once, program, state, frozen, data = _step(parts)
    loops = {spec.train.batch_size: once}
    for number, factor in enumerate(FACTORS):
        size = int(spec.train.batch_size * factor)
        progress(f"batch size {size}", 1 + number, total)
        first, last = parts.dataset.splits["train"]
        if 1 <= size <= last - first:
            other = spec.model_copy(update={"train": spec.train.model_copy(update={"batch_size": size})})
            loops[size] = _step(assemble(other, places, cache))[0]
    times = {size: float("inf") for size in loops}
    square = jnp.ones((GEMM, GEMM), jnp.float32)
    product, gemm = _compiled(lambda a: a @ a, square), 0.0
    for _ in range(REPEATS):  # in turns, so that what else runs meets all of them
        gemm = max(gemm, 2 * GEMM**3 / _timed(product, 1) / 1e9)
        times = {size: min(times[size], loop()) for size, loop in loops.items()}
    step = times[spec.train.batch_size]
    progress("its parts", total - 2, total)
    takes = jax.jit(lambda data, rows: data.take(rows))
    rows = data.order[: parts.plan.batch_size]
    taken = takes(data, rows)
    forward, gradient, update = _pieces(program)
    key = jax.random.key(0)
    gradients = jax.jit(gradient)(state.params, state, frozen, taken, key)
    seconds = {
        "data": _timed(lambda: takes(data, rows)),
        "forward": _timed(_compiled(forward, state.params, state, frozen, taken, key)),
        "gradient": _timed(_compiled(gradient, state.params, state, frozen, taken, key)),
        "update": _timed(_compiled(update, state, gradients)),
    }
    seconds["backward"] = max(0.0, seconds.pop("gradient") - seconds["forward"])
    # Alone, each part pays a call and writes out what the whole step keeps at hand: their shares are what counts.
    scale = step / sum(seconds.values())
    shares = {name: seconds[name] * scale for name in ("data", "forward", "backward", "update")}
    counted = _counted(program)
    if trace is not None:
        _trace(parts, program, trace)
    progress("done", total, total)
    flops = cost_of(parts.architecture).step * spec.train.batch_size
    batches = {size: size / seconds for size, seconds in times.items()}
    return Profile(str(parts.machine), spec.train.batch_size, step, shares, flops, counted, gemm, batches)


def _step(parts: Assembly) -> tuple[Callable[[], float], Program, Any, Any, Any]:
    """What gives seconds of a training step in the loop it runs in, and what it runs with."""
    state, frozen = parts.enter(0, [0], parts.first_tensors())
    data, program = parts.batches(0), parts.program
    count = min(10, parts.plan.steps_per_epoch)
    float(program.train_chunk(state, frozen, data, 0, count).sums["loss_sum"])
    began = time.perf_counter()
    float(program.train_chunk(state, frozen, data, 0, count).sums["loss_sum"])
    pace = (time.perf_counter() - began) / count
    steps = max(1, min(parts.plan.steps_per_epoch, int(SECONDS / REPEATS / max(pace, 1e-7))))

    def once() -> float:
        began = time.perf_counter()
        float(program.train_chunk(state, frozen, data, 0, steps).sums["loss_sum"])
        return (time.perf_counter() - began) / steps

    return once, program, state, frozen, data


def _pieces(program: Program) -> tuple[Callable[..., Any], ...]:
    import jax

    from dnnrun.train.task import Batch, Differentiable

    goal, task = program.objective, program.task
    assert isinstance(task, Differentiable)

    def loss(params: Any, state: Any, frozen: Any, taken: Any, key: Any) -> Any:
        batch = Batch(taken.x, taken.labels, key, state.step, program.first, True, program.still, taken.weights)
        losses, _, _ = task.losses({**frozen, **state.statistics, **params}, batch)
        return losses.mean() + program.penalty(params)

    def update(state: Any, gradients: Any) -> Any:
        return program.update(state, gradients, goal.rate(state.step))

    return loss, jax.grad(loss), update


def _compiled(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    import jax

    compiled = jax.jit(function).lower(*arguments).compile()
    return lambda: compiled(*arguments)


def _timed(call: Callable[[], Any], rounds: int = REPEATS) -> float:
    """Seconds of one call, the fastest of some rounds of several."""
    import jax

    jax.block_until_ready(call())
    began = time.perf_counter()
    jax.block_until_ready(call())
    count = max(1, min(1000, int(SECONDS / REPEATS / max(time.perf_counter() - began, 1e-7))))
    fastest = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            found = call()
        jax.block_until_ready(found)
        fastest = min(fastest, (time.perf_counter() - began) / count)
    return fastest


def _counted(program: Program) -> dict[str, float]:
    """What XLA's cost analysis says of the compiled loop: its body counts once."""
    analysis = program.costs()
    names = {"flops": "flops", "bytes accessed": "bytes_accessed", "transcendentals": "transcendentals"}
    return {name: float(analysis[key]) for key, name in names.items() if key in analysis}


def _trace(parts: Assembly, program: Program, folder: Path) -> None:
    import jax

    from dnnrun import files

    files.make_folder(folder, exist_ok=True)
    state, frozen = program.begin(parts.first_tensors())
    data = parts.batches(0)
    stop = min(20, parts.plan.steps_per_epoch)
    with jax.profiler.trace(str(folder)) if stop else nullcontext():
        float(program.train_chunk(state, frozen, data, 0, stop).sums["loss_sum"])
