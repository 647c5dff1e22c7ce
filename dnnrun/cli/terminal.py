"""What a run shows: a live line with progress on a terminal, a plain line an epoch anywhere else. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dnnrun.cli.output import table, talk
from dnnrun.metric import chief
from dnnrun.watch import Status, Watcher

QUIET_SECONDS = 0.1


class Terminal(Watcher):
    """Plain lines on stderr; on a terminal, a line below them that is drawn anew as the run goes on."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.drawn = 0
        self.drawn_at = 0.0

    def say(self, line: str) -> None:
        self._erase()
        talk(line)

    def warn(self, line: str) -> None:
        self.say(f"warning: {line}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        self.say("\n".join(table(rows)))

    def status(self, status: Status) -> None:
        if not self.live or time.monotonic() - self.drawn_at < QUIET_SECONDS:
            return
        share = status.step / status.steps
        line = (
            f"{self._bar(share)} {share:4.0%}  epoch {status.epoch}/{status.epochs}  step {status.step:,}/{status.steps:,}  "
            f"{status.examples_per_s:,.0f} examples/s  ETA {duration(status.seconds_left)}  loss {status.loss:.4f}"
        )
        if status.validation:
            line += f"  validation {_chief(status.validation):.4f}"
        self._draw(f"{status.stage}  {line}" if status.stage else line)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        width = len(str(epochs))
        stage = f"{record['stage']}  " if "stage" in record else ""
        line = f"{stage}epoch {record['epoch']:{width}}/{epochs}  loss {record['train']['loss']:.4f}"
        if stage or "validation" not in record:
            line += "".join(f"  {told}" for told in _told(record["train"]) if not told.startswith("loss"))
        if validation := record.get("validation"):
            line += "  validation " + " ".join(_told(validation))
        self.say(f"{line}  {record['timing']['examples_per_s']:,.0f} examples/s")

    def download(self, name: str, done: int, total: int | None) -> None:
        if self.live:
            share = f" ({done / total:.0%})" if total else ""
            self._draw(f"downloading {name}: {done / 2**20:.1f} MiB{share}")
        elif done == total:
            self.say(f"downloaded {name}: {done / 2**20:.1f} MiB")

    def predicting(self, rows: int, seconds: float) -> None:
        """How many rows are predicted after so many seconds."""
        if self.live and time.monotonic() - self.drawn_at >= QUIET_SECONDS:
            self._draw(f"predicted {rows:,} rows  {rows / max(seconds, 1e-9):,.0f} rows/s")

    def progress(self, what: str, share: float) -> None:
        """How much of something is done; on a terminal alone."""
        if self.live and (share in (0, 1) or time.monotonic() - self.drawn_at >= QUIET_SECONDS):
            self._draw(f"{self._bar(share)} {share:4.0%}  {what}")

    def close(self) -> None:
        """Leave nothing half drawn."""
        self._erase()

    @staticmethod
    def _bar(share: float) -> str:
        filled = round(share * 20)
        done, ahead = "█░" if "utf" in (sys.stderr.encoding or "").lower() else "#."
        return done * filled + ahead * (20 - filled)

    def _draw(self, line: str) -> None:
        import shutil

        line = line[: shutil.get_terminal_size().columns - 1]
        talk("\r" + line + " " * (self.drawn - len(line)), end="")
        self.drawn, self.drawn_at = len(line), time.monotonic()

    def _erase(self) -> None:
        if self.drawn:
            talk("\r" + " " * self.drawn + "\r", end="")
            self.drawn = 0


def _told(metrics: Mapping[str, float]) -> list[str]:
    """Each metric and its value; one that is the loss under its own name stands for it."""
    same = any(value == metrics.get("loss") for name, value in metrics.items() if name != "loss")
    return [f"{name} {value:.4f}" for name, value in metrics.items() if not (same and name == "loss")]


def _chief(metrics: Mapping[str, float]) -> float:
    """The one value to show where there is room for one."""
    return metrics[chief(metrics)]


def duration(seconds: float) -> str:
    """As 0:42 or 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
