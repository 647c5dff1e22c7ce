"""The trackers of a run. One that fails is left out from then on, which is said once: the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dnnrun.track import About, Tracker, Tracking


class Trackers:
    """Hands what a run records to each of its trackers."""

    def __init__(self, trackers: Sequence[Tracker], warn: Callable[[str], None]):
        self._chosen, self._warn = trackers, warn
        self._tracking: dict[str, Tracking] = {}

    def begin(self, about: Callable[[], About]) -> None:
        """Begin with each; `about` is asked where there is one."""
        for tracker in self._chosen:
            name: str = tracker.type  # type: ignore[attr-defined]
            self._guarded(name, lambda tracker=tracker, name=name: self._begin(name, tracker, about()))

    @property
    def want_tensors(self) -> bool:
        return any(tracking.wants_tensors for tracking in self._tracking.values())

    def epoch(self, record: Mapping[str, Any], tensors: Callable[[], Mapping[str, Any]]) -> None:
        """An epoch is done; `tensors` is asked where a tracker wants them."""
        found = tensors() if self.want_tensors else {}
        self._each(lambda tracking: tracking.epoch(record, found))

    def signals(self, record: Mapping[str, Any]) -> None:
        """Signals were measured."""
        self._each(lambda tracking: tracking.signals(record))

    def end(
        self,
        status: str,
        metrics: Mapping[str, Mapping[str, float]] | None = None,
        tensors: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        """The run ends; with its final metrics and tensors where it is done."""
        found = tensors() if tensors and self.want_tensors else {}
        self._each(lambda tracking: tracking.end(status, metrics or {}, found))
        self._tracking.clear()

    def _begin(self, name: str, tracker: Tracker, about: About) -> None:
        self._tracking[name] = tracker.begin(about)

    def _each(self, call: Callable[[Tracking], None]) -> None:
        for name, tracking in list(self._tracking.items()):
            self._guarded(name, lambda tracking=tracking: call(tracking))

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except ModuleNotFoundError as error:
            self._lose(name, f"{(error.name or name).partition('.')[0]} is not installed; pip install 'dnnrun[{name}]'")
        except Exception as error:  # whatever a foreign package or a server far away comes up with
            self._lose(name, f"{type(error).__name__}: {error}")

    def _lose(self, name: str, why: str) -> None:
        self._tracking.pop(name, None)
        self._warn(f"tracker {name}: {why}. The run goes on without it; metrics.jsonl has everything")
