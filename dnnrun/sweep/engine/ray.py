"""Trials as tasks of a Ray cluster: where each runs, what happens when a machine dies, how many machines there are."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from dnnrun.errors import EngineError
from dnnrun.sweep.engine import Answer, Task

RETRIES = 5  # of a trial whose process or machine dies
AHEAD = 2  # trials given to Ray for each core it has, so that it sees what waits and can ask for more machines
WAIT = 5.0  # seconds for a cluster to answer at its address


class RayCluster:
    """Each trial is a Ray task on one core (and one GPU where the spec says `device: gpu`), with one thread.

    A trial whose worker dies is given to another one by Ray and goes on from its checkpoint: the runs lie on a file
    system that all machines share. Without an address a cluster of `jobs` cores is started on this machine.
    """

    def __init__(self, address: str | None, jobs: int | None):
        self.ray, self.address, self.jobs = _connected(address, jobs), address, jobs
        self.talk = ExitStack()  # what Ray prints of its workers is no result
        self.talk.enter_context(redirect_stdout(sys.stderr))
        self.flying: dict[Any, Task] = {}
        self.remote = self.ray.remote(_trial)
        self.ending = False

    def __str__(self) -> str:
        where = f"the Ray cluster at {self.address}" if self.address else "Ray, started on this machine"
        return f"{where}, {self._cores()} cores, one trial a core"

    @property
    def capacity(self) -> int:
        return self.jobs or AHEAD * self._cores()

    def submit(self, task: Task) -> None:
        paths = {key: str(Path(task[key]).absolute()) for key in ("runs", "data_dir", "shared") if task.get(key)}
        gpus = int(task["spec"]["train"]["device"] == "gpu")
        asked = self.remote.options(num_cpus=1, num_gpus=gpus, max_retries=RETRIES, name=task["spec"]["name"])
        self.flying[asked.remote({**task, **paths})] = task

    def next(self, seconds: float) -> tuple[Task, Answer] | None:
        done, _ = self.ray.wait(list(self.flying), num_returns=1, timeout=seconds)
        if not done:
            return None
        return self.flying.pop(done[0]), self._answer(done[0])

    def end(self, number: int) -> None:
        self.ending = True
        for reference in self.flying:
            self.ray.cancel(reference, force=False)

    def close(self) -> None:
        if self.flying:
            self.end(15)
            self.ray.wait(list(self.flying), num_returns=len(self.flying), timeout=60)
        self.ray.shutdown()
        self.talk.close()

    def _answer(self, reference: Any) -> Answer:
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except (errors.TaskCancelledError, KeyboardInterrupt):
            return {"status": "interrupted", "error": "cancelled"}
        except errors.OutOfMemoryError as error:
            return {"status": "memory", "error": f"Ray ended it for want of memory: {_first(error)}"}
        except errors.WorkerCrashedError:
            text = f"its worker died {RETRIES + 1} times, most likely out of memory"
            return {"status": "memory", "error": text}
        except errors.RayError as error:
            status = "interrupted" if self.ending else "failed"
            return {"status": status, "error": f"{type(error).__name__}: {_first(error)}"}

    def _cores(self) -> int:
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))


def _trial(task: Task) -> Answer:
    """In a worker of Ray, which keeps its process from trial to trial. Cancelled, it saves and stops."""
    import signal

    os.environ["NPROC"] = "1"
    from dnnrun.sweep.kept import Kept
    from dnnrun.sweep.trial import run_trial

    global _kept
    _kept = globals().get("_kept") or Kept()
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        return run_trial(task, lambda: received[0] if received else None, _kept.assemble_for(task))
    finally:
        signal.signal(signal.SIGINT, before)


def _connected(address: str | None, jobs: int | None) -> Any:
    """The module ray, connected. Raises EngineError where it is not installed or the cluster does not answer."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray: Any = import_module("ray")
        import_module("ray.exceptions")
    except ImportError:
        raise EngineError("--engine ray: Ray is not installed; install dnnrun[ray], or use --engine local") from None
    reach(address)
    own = {name: value for name, value in os.environ.items() if name.startswith("DNNRUN_")}
    more: dict[str, Any] = {"runtime_env": {"env_vars": {**own, "NPROC": "1"}}}
    if address is None:
        more |= {"num_cpus": jobs, "include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **more)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise EngineError(f"--address {address}: Ray cannot join this cluster: {_first(error)}") from None
    return ray


def reach(address: str | None) -> None:
    """Raise EngineError at once where nothing listens, instead of after Ray's own minutes."""
    if address is None or address in ("auto", "local"):
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal() or not host:
        raise EngineError(f"--address {address}: wanted HOST:PORT, ray://HOST:PORT, or auto for this machine's cluster")
    try:
        socket.create_connection((host, int(port)), WAIT).close()
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"--address {address}: no Ray cluster answers there ({_first(error)}); start one with ray start --head, "
            "or correct the address"
        ) from None


def _first(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
