"""Polite stops: of training, where the first SIGINT or SIGTERM is remembered and the second ends the process at once;
and of what has nothing to save and must leave nothing half-written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType


class Signals:
    """Asks to be called between chunks: the number of the signal that came, None while none has."""

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def __call__(self) -> int | None:
        return self.received

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        with suppress(OSError):  # a pipe whose reader the same Ctrl-C has ended; what counts is to save
            os.write(2, b"\nstopping after this step, then saving; once more to stop at once\n")


_ended: list[int] = []  # the signal that ended this process's verb, if any did


def end_on_signals() -> Callable[[], None]:
    """From here on SIGINT and SIGTERM raise KeyboardInterrupt; call what this gives now and then.

    Where the exception is raised into a callback of a library (JAX has one in every collection of garbage) it is
    swallowed there. What this gives raises it again.
    """

    def end(number: int, frame: FrameType | None) -> None:
        _ended.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if _ended:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell has it for what runs in the background
            signal.signal(number, end)
    return check


def exit_code() -> int | None:
    """What the process ends with where a signal has ended its verb, whatever the exception became on its way."""
    return 128 + _ended[0] if _ended else None
