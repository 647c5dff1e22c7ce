"""What a run says of itself: to the watcher, to out.log, to meta.json. Nothing is on disk before the run has begun."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dnnrun.errors import DnnrunError, Interrupted, ResumeError
from dnnrun.store.run import RunDirectory
from dnnrun.watch import Watcher


class Journal:
    """The small files of a run directory but metrics.jsonl, and the watcher."""

    def __init__(self, watcher: Watcher, directory: RunDirectory | None):
        self.watcher = watcher
        self.directory = directory
        self.meta: dict[str, Any] = directory.meta() if directory else {}
        self._early: list[str] = []

    def open(self, directory: RunDirectory) -> None:
        """From now on there is a directory to write to; what was said before goes there first."""
        self.directory, self.meta = directory, directory.meta()
        for line in self._early:
            directory.log(line)
        self._early.clear()

    def say(self, line: str) -> None:
        """Something worth knowing."""
        self._log(line)
        self.watcher.say(line)

    def warn(self, line: str) -> None:
        """Something that a person should look at."""
        self._log(f"warning: {line}")
        self.watcher.warn(line)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows of cells, the headings first."""
        for row in rows:
            self._log(" | ".join(row))
        self.watcher.table(rows)

    def begin(self, found: Mapping[str, Any], step: int) -> None:
        """A process starts to train here at `step`; `found` is what it runs with.

        Where an earlier one ran with other versions or another device, that is said. Raises ResumeError where the
        data or the source of reused layers is not what it was.
        """
        if "data" in self.meta:
            self._compare(found)
        self.meta = {**self.meta, **found, "status": "running", "started": self.meta.get("started", now())}
        self.meta.setdefault("history", []).append({"at": now(), "step": step})
        self.write()

    def set_out(self) -> None:
        """The run goes through its stages; what it trains with is known later."""
        self.meta = {**self.meta, "status": "running", "started": self.meta.get("started", now())}
        self.write()

    def end(self, status: str, **what: Any) -> None:
        """The run is done, interrupted or failed."""
        self.meta = {**self.meta, "status": status, "ended": now(), **what}
        self.write()

    def fail(self, reason: str) -> None:
        """Keep why the run ended; a finished run stays one when something hinders its resume."""
        if self.directory is None:
            return
        try:
            self._log(f"failed: {reason}")
            if self.meta["status"] in ("created", "running"):
                self.end("failed", error=reason)
        except DnnrunError:
            pass  # the disk is what failed; the first error is the one to show

    def write(self) -> None:
        """Write meta.json."""
        assert self.directory is not None
        self.directory.write_meta(self.meta)

    def _compare(self, now: Mapping[str, Any]) -> None:
        assert self.directory is not None
        before, after = self.meta["data"]["hash"], now["data"]["hash"]
        if before != after:
            raise ResumeError(
                f"{self.directory.path}: the data has changed since this run began (its hash was {before[:12]}, "
                f"now {after[:12]}); restore it, or begin a new run"
            )
        for old, new in zip(self.meta.get("sources", ()), now.get("sources", ()), strict=False):
            if old["manifest"] != new["manifest"]:
                raise ResumeError(
                    f"{new['checkpoint']}: the source of the reused layers has changed since this run began; "
                    "restore it, or begin a new run"
                )
        first, last = (
            {
                **found["versions"],
                "device": found["device"],
                "threads": found["threads"],
                "number of devices": found.get("devices", 1),
                "number of processes": found.get("processes", 1),
            }
            for found in (self.meta, now)
        )
        for key, value in first.items():
            if value != last.get(key):
                self.warn(f"{key} was {value}, now {last.get(key)}: the bits will differ from an unbroken run")

    def _log(self, line: str) -> None:
        if self.directory is None:
            self._early.append(line)
        else:
            self.directory.log(line)


def now() -> str:
    """The time of day with its zone, as meta.json has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


@contextmanager
def failures(journal: Journal) -> Iterator[None]:
    """Whatever ends a run is in its meta.json."""
    try:
        yield
    except Interrupted:
        raise
    except DnnrunError as error:
        journal.fail(str(error))
        raise
    except BaseException as error:
        journal.fail(f"{type(error).__name__}: {error}")
        raise
