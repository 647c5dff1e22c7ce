"""Several processes that train one model: how they find each other, agree, and notice that one is gone.

What must be the same everywhere (how far a chunk goes, whether to stop or save) goes over JAX's coordination service,
which process 0 hosts, not over the devices: a wait there can end when a process is gone, a collective may not.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from dnnrun.errors import DeviceError, ProcessLost

JOIN_SECONDS = 300.0  # for all processes to come
LOST_SECONDS = 30.0  # of silence after which a process counts as gone
PULSE_SECONDS = 2.0
GRACE_SECONDS = 20.0  # for the main thread to end by itself once a process is gone
PARTING_SECONDS = 10.0  # for the others to come to the same end
SAVING_SECONDS = 3600.0  # for process 0 to write the last checkpoint
PIECE = 64 << 20  # bytes sent at a time
BROKEN = ("gloo", "nccl", "connection", "unavailable", "deadline", "heartbeat", "socket", "coordination")


@dataclass(frozen=True)
class Meeting:
    """Where the processes meet: HOST:PORT of process 0, how many they are, which one this is; None: by the cluster."""

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


class Team:
    """This process and the others. Alone, it agrees with itself.

    `tell` shows a last message where the process must be ended from outside its main thread; more who are to hear it
    can be added to `last_words`. What process 0 does when all have ended can be added to `leavings`.
    """

    def __init__(self, meeting: Meeting | None = None, tell: Callable[[str], None] = lambda line: None):
        self.meeting, self.last_words = meeting, [tell]
        self.leavings: list[Callable[[], Any]] = []
        self.index, self.count = 0, 1
        self.gone: str | None = None
        self.broken = False
        self._asked = 0
        self._spent: list[str] = []
        self._heard: dict[int, tuple[str, float]] = {}
        self._over = threading.Event()

    @property
    def lead(self) -> bool:
        """Whether this is process 0: it alone writes the run directory and talks."""
        return self.index == 0

    def join(self) -> None:
        """Meet the others. Called before JAX has any device. Raises DeviceError where they cannot be found."""
        import jax

        assert self.meeting is not None
        jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        late = threading.Timer(JOIN_SECONDS, self._nobody)
        late.daemon = True
        late.start()
        try:
            jax.distributed.initialize(
                self.meeting.coordinator,
                self.meeting.processes,
                self.meeting.process,
                initialization_timeout=int(JOIN_SECONDS) + 60,
                shutdown_timeout_seconds=60,
            )
        except ValueError as error:
            if "should be defined" not in str(error) and "must be defined" not in str(error):
                raise DeviceError(f"--distributed: {error}") from None
            raise DeviceError(
                "--distributed: no cluster is recognised here (Slurm, Open MPI, Kubernetes, TPU pod); say where the "
                "processes meet: --coordinator HOST:PORT --processes N --process I, I from 0 to N - 1"
            ) from None
        except RuntimeError as error:
            where = self.meeting.coordinator or "the coordinator"
            raise DeviceError(
                f"--distributed: the processes cannot meet at {where} ({error}); let it be a free port of the machine "
                "of process 0, which the others reach"
            ) from None
        finally:
            late.cancel()
        state = _state()
        self.index, self.count = state.process_id, state.num_processes
        for target in (self._pulse, self._guard):
            threading.Thread(target=target, daemon=True).start()

    def first(self, value: str) -> str:
        """The value of process 0."""
        if self.count == 1:
            return value
        self._asked += 1
        key = f"dnnrun/first/{self._asked}"
        if self.lead:
            self._set(key, value)
            self._spent.append(key)
            return value
        return self._get(key)

    def highest(self, value: int) -> int:
        """The largest value of all processes; every one has come here when it returns."""
        if self.count == 1:
            return value
        self._asked += 1
        key = f"dnnrun/highest/{self._asked}"
        if not self.lead:
            self._set(f"{key}/{self.index}", str(value))
            return self._get(key + "/all")
        keys = [f"{key}/{other}" for other in range(1, self.count)]
        found = max([value, *(int(self._get(name)) for name in keys)])
        for name in self._spent:  # all have read these, or they would not have come here
            _client().key_value_delete(name)
        self._set(key + "/all", str(found))
        self._spent = [*keys, key + "/all"]
        return found

    def send(self, contents: bytes | None) -> bytes:
        """The contents that process 0 has, over the devices; the others give None."""
        if self.count == 1:
            return contents or b""
        from jax.experimental.multihost_utils import broadcast_one_to_all

        size = int(self.first(str(len(contents or b""))))
        pieces = []
        for at in range(0, size, PIECE):
            piece = np.zeros(min(PIECE, size - at), np.uint8)
            if contents is not None:
                piece[:] = np.frombuffer(contents[at : at + PIECE], np.uint8)
            pieces.append(np.asarray(broadcast_one_to_all(piece)).tobytes())
        return b"".join(pieces)

    def compare(self, facts: Mapping[str, str]) -> None:
        """Raise DeviceError where a fact is another one in this process than in process 0."""
        for name, value in facts.items():
            own = hashlib.sha256(value.encode()).hexdigest()
            if self.first(own) != own:
                raise DeviceError(
                    f"process {self.index} has another {name} than process 0; give every process the same spec, "
                    "overrides, data and versions"
                )
        self.highest(0)

    def lost(self, error: BaseException) -> ProcessLost | None:
        """What `error` means where it comes of a process that is gone; None where it has another cause."""
        if isinstance(error, ProcessLost):
            self._over.set()
            return error
        text = str(error).splitlines()[0] if str(error) else ""
        if self.count == 1 or not any(word in text.lower() for word in BROKEN):
            return None
        self.broken = True
        self.gone = self.gone or f"the connection to another process broke ({text[:200]})"
        self._over.set()  # the main thread ends by itself
        return ProcessLost(self.gone)

    def part(self, failure: str | None) -> bool:
        """Leave together with the others, or without those that do not come. Whether this process is to speak.

        The process is to end at once then, without JAX's own leave-taking, which waits for those that are gone.
        """
        done_early = failure is None and not self.lead  # process 0 still saves: should it go now, that is to be noticed
        if not done_early:
            self._over.set()
        if self.count == 1:
            return True
        client, together = _client(), False
        if self.broken and not self.lead:
            return True  # at once: where process 0 is gone, JAX is about to abort this process
        if failure is not None:
            with suppress(Exception):
                client.key_value_set(f"dnnrun/failed/{self.index}", failure, allow_overwrite=True)
        if not self.broken:
            with suppress(Exception):
                seconds = SAVING_SECONDS if done_early else PARTING_SECONDS
                client.wait_at_barrier("dnnrun/end", int(seconds * 1000))
                together = True
        self._over.set()
        if self.lead:
            time.sleep(1.0)  # the others end before the service that this process hosts
            self._leave()
        return self.lead or not together

    def _set(self, key: str, value: str) -> None:
        try:
            _client().key_value_set(key, value)
        except Exception as error:
            raise self.lost(error) or error from None

    def _get(self, key: str) -> Any:
        while True:
            if self.gone is not None:
                raise ProcessLost(self.gone)
            try:
                found = _client().blocking_key_value_get(key, 1000)
            except Exception as error:
                if "DEADLINE_EXCEEDED" in str(error):
                    continue
                raise self.lost(error) or error from None
            return int(found) if key.startswith("dnnrun/highest") else found

    def _nobody(self) -> None:
        where = self.meeting.coordinator if self.meeting else None
        many = self.meeting.processes if self.meeting else None
        self._end(
            f"--distributed: after {JOIN_SECONDS:.0f} s not all {many or ''} processes have come to "
            f"{where or 'the coordinator'}; start them all, each with its own --process, and see that they reach it"
        )

    def _pulse(self) -> None:
        """Tell the others that this process lives, and hear it of them."""
        client, beat = _client(), 0
        while not self._over.wait(PULSE_SECONDS if beat else 0):
            beat += 1
            with suppress(Exception):  # silence is what counts
                client.key_value_set(f"dnnrun/alive/{self.index}", str(beat), allow_overwrite=True)
                for key, value in client.key_value_dir_get("dnnrun/alive/"):
                    other = int(key.rpartition("/")[2])
                    if self._heard.get(other, ("", 0.0))[0] != value:
                        self._heard[other] = value, time.monotonic()
                for key, value in client.key_value_dir_get("dnnrun/failed/"):
                    if (other := int(key.rpartition("/")[2])) != self.index:
                        self.gone = self.gone or f"process {other} failed: {value}"

    def _guard(self) -> None:
        """End this process where its main thread waits for one that is gone and cannot be woken."""
        began = time.monotonic()
        while not self._over.wait(1.0):
            for other in range(self.count):
                silent = time.monotonic() - self._heard.get(other, ("", began))[1]
                if other != self.index and silent > LOST_SECONDS:
                    self.broken = True
                    self.gone = self.gone or f"process {other} was not heard of for {LOST_SECONDS:.0f} s"
            if self.gone is not None and not self._over.wait(GRACE_SECONDS):
                self._end(str(ProcessLost(self.gone)))

    def _leave(self) -> None:
        for leave in self.leavings:
            with suppress(Exception):
                leave()

    def _end(self, message: str) -> NoReturn:
        for hear in self.last_words:
            with suppress(Exception):
                hear(message)
        self._leave()
        os._exit(ProcessLost.exit_code)


def _state() -> Any:
    from jax._src import distributed

    return distributed.global_state


def _client() -> Any:
    return _state().client
