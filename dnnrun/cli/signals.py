"""Polite stops: the first SIGINT or SIGTERM is remembered, the second ends the process at once."""

from __future__ import annotations

import os
import signal
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
