"""Which engine runs a sweep: the one that was asked for, or the one that fits."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from dnnrun.errors import EngineError
from dnnrun.spec.sections import Spec
from dnnrun.sweep.engine import Engine
from dnnrun.sweep.engine.local import LocalProcesses
from dnnrun.sweep.engine.together import Together
from dnnrun.train.device import available_threads

LANES = 64
PLUGINS = ("jax_plugins", "jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")


def choose(base: Spec, name: str | None, address: str | None, jobs: int | None) -> tuple[Engine, str]:
    """The engine for the trials of `base`, and why it.

    `name` is local, vmap, ray or auto (None: what the spec says); `address` is a Ray cluster's, `jobs` how many trials
    run at a time.
    Raises EngineError where they do not fit together, or Ray is missing or does not answer.
    """
    wanted = name or (base.sweep.engine if base.sweep else "auto")
    if wanted == "ray" or (wanted == "auto" and address is not None):
        from dnnrun.sweep.engine.ray import RayCluster

        return RayCluster(address, jobs), "an address was given" if wanted == "auto" else "asked for"
    if address is not None:
        raise EngineError(f"--address {address}: only Ray has one, not --engine {wanted}; use --engine ray")
    if wanted == "vmap":
        return Together(jobs or LANES, _accelerator(base) or "cpu"), "asked for"
    if wanted == "local":
        return LocalProcesses(jobs or available_threads()), "asked for"
    if (device := _accelerator(base)) is None:
        return LocalProcesses(jobs or available_threads()), "no accelerator is used"
    if shares_shape(base):
        return Together(jobs or LANES, device), "an accelerator, and trials of one shape"
    return LocalProcesses(jobs or 1), f"no two trials are of one shape; one at a time on {device}"


def shares_shape(base: Spec) -> bool:
    """Whether trials of `base` fit into one program: over seeds, or over numbers that it takes as arguments."""
    from dnnrun.sweep.lifted import can_share, numbers

    if base.sweep is None or not can_share(base):
        return False
    keys = {key for setting in base.sweep.settings for key in setting}
    keys |= {*base.sweep.grid, *base.sweep.zip, *base.sweep.ranges}
    free = {f"train.{name}" for name in numbers(base.train)} | {"train.optimizer.learning_rate", "seed"}
    return base.sweep.seeds > 1 or bool(keys & free)


def _accelerator(base: Spec) -> str | None:
    """The name of the accelerator that the trials would use, None for a CPU.

    JAX is asked in another process: in this one it would take the device, and most of its memory, for itself.
    """
    if base.train.device == "cpu" or not any(find_spec(plugin) for plugin in PLUGINS):
        return None
    ask = "import jax; found = jax.devices()[0]; print(found.platform, found.device_kind)"
    try:
        answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = answer.stdout.strip()
    return None if not found or found.startswith("cpu") else found
