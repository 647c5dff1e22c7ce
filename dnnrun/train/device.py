"""Which device trains, with how many threads, and where compiled code is kept. Called before anything else of JAX."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dnnrun.errors import DeviceError


@dataclass(frozen=True)
class Machine:
    """The devices in use: their platform (cpu, gpu, tpu), their name, how many of how many there are, in how many
    processes, and the threads of a CPU."""

    platform: str
    kind: str
    count: int
    threads: int
    there: int = 1
    processes: int = 1

    def __str__(self) -> str:
        many = f"{self.count} x " if self.count > 1 else ""
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.platform == "cpu" else ""
        rest = f", {self.count} of the {self.there} here (train.devices)" if self.count < self.there else ""
        rest += f", in {self.processes} processes" if self.processes > 1 else ""
        return f"{many}{self.platform} ({self.kind}{threads}){rest}"


def available_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(
    device: str,
    threads: int | str,
    cache: Path | None,
    preferred: int | None = None,
    count: int | Literal["all"] = 1,
    join: Callable[[], None] | None = None,
) -> Machine:
    """Choose the devices and start JAX on them. `device` is auto, cpu, gpu or tpu; compiled code is kept in `cache`.

    `preferred` is what `auto` threads come to, unless JAX runs already. `count` devices are used. `join` makes this
    process one of several before JAX starts: "all" are then the devices of all of them.
    Raises DeviceError when the named device is absent, there are fewer of it than wanted, or JAX runs already with
    another number of threads.
    """
    wanted = (preferred or available_threads()) if threads == "auto" else int(threads)
    started = "jax" in sys.modules and _started()
    if not started:
        os.environ["NPROC"] = str(wanted)  # what XLA sizes its thread pool by
    import jax

    if not started:
        if device != "auto":
            jax.config.update("jax_platforms", {"gpu": "cuda,rocm"}.get(device, device))
        if cache is not None:
            jax.config.update("jax_compilation_cache_dir", str(cache))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    elif threads != "auto" and os.environ.get("NPROC") != str(wanted):
        raise DeviceError(
            f"train.threads: JAX runs in this process already with {os.environ.get('NPROC', 'its own number of')} "
            f"threads; wanted {wanted}: ask for it in a new process, or set train.threads to auto"
        )
    if join is not None:
        if started:
            raise DeviceError("--distributed: JAX runs in this process already; join the others from a new process")
        join()
    try:
        devices = jax.devices() if device == "auto" else jax.devices(device)
    except RuntimeError:
        jax.config.update("jax_platforms", None)
        extra = {"gpu": "dnnrun[cuda]", "tpu": "dnnrun[tpu]"}.get(device)
        advice = f"; where there is one, install {extra}" if extra else ""
        raise DeviceError(f"device {device}: JAX finds none here; use cpu or auto{advice}") from None
    found = devices[0]
    used = len(devices) if count == "all" else count
    if used > len(devices):
        more = "; on a CPU, XLA_FLAGS=--xla_force_host_platform_device_count=N in the environment makes N of it"
        raise DeviceError(
            f"train.devices: wanted {used}, and JAX finds {len(devices)} ({found.platform}) here; use {len(devices)}, "
            f"or all{more if found.platform == 'cpu' else ''}"
        )
    running = int(os.environ.get("NPROC") or available_threads())
    return Machine(found.platform, found.device_kind, used, running, len(devices), jax.process_count())


def chosen(machine: Machine) -> list[Any]:
    """The devices of JAX that `machine` names."""
    import jax

    return jax.devices(machine.platform)[: machine.count]


def _started() -> bool:
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()


def free_memory() -> int:
    """Bytes that can still be taken on this machine, of what the container allows where there is one."""
    import psutil

    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with suppress(OSError, ValueError):
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free


def total_memory() -> int:
    """Bytes of memory that this machine has, or its container allows."""
    import psutil

    total = psutil.virtual_memory().total
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total
