"""What a run shows: a live table with small curves on a terminal, a plain line an epoch elsewhere. All on stderr."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dnnrun.cli.output import table, talk
from dnnrun.watch import Status, Watcher

QUIET_SECONDS = 0.1
GREEN, YELLOW, CYAN = "32", "33", "36"


class Terminal(Watcher):
    """Plain lines on stderr; on a terminal, a small table with curves below them, drawn anew as the run goes on."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.colors = self.live and not os.environ.get("NO_COLOR")
        self.fine = "utf" in (sys.stderr.encoding or "").lower()
        self.drawn = 0
        self.drawn_at = 0.0
        self.stage: str | None = None
        self.reads: tuple[str, float, int] | None = None  # a file, and when at which byte it was first told of
        self.course: dict[str, list[float]] = {}

    def say(self, line: str) -> None:
        self._erase()
        talk(line)

    def warn(self, line: str) -> None:
        self.say(self._paint(f"warning: {line}", YELLOW))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        self.say("\n".join(table(rows)))

    def status(self, status: Status) -> None:
        if not self.live or time.monotonic() - self.drawn_at < QUIET_SECONDS:
            return
        share = status.step / status.steps
        stage = f"{status.stage}  " if status.stage else ""
        lines = [
            f"{stage}{self._bar(share)} {share:4.0%}  epoch {status.epoch}/{status.epochs}  "
            f"step {status.step:,}/{status.steps:,}  {status.examples_per_s:,.0f} examples/s  "
            f"ETA {duration(status.seconds_left)}"
        ]
        now = {"loss": status.loss}
        now |= {f"validation {name}": value for name, value in (status.validation or {}).items()}
        for name, value in now.items():
            curve = sparkline(self.course.get(name, []) if status.stage == self.stage else [], self.fine)
            lines.append(f"  {name:20}{value:9.4f}  {self._paint(curve, CYAN)}")
        self._draw(lines)

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        width = len(str(epochs))
        stage = f"{record['stage']}  " if "stage" in record else ""
        line = f"{stage}epoch {record['epoch']:{width}}/{epochs}  loss {record['train']['loss']:.4f}"
        if stage or "validation" not in record:
            line += "".join(f"  {told}" for told in _told(record["train"]) if not told.startswith("loss"))
        if validation := record.get("validation"):
            line += "  validation " + " ".join(_told(validation))
        self._remember(record)
        self.say(f"{line}  {record['timing']['examples_per_s']:,.0f} examples/s")

    def download(self, name: str, done: int, total: int | None) -> None:
        if self.live:
            share = f" ({done / total:.0%})" if total else ""
            self._draw([f"downloading {name}: {done / 2**20:.1f} MiB{share}"])
        elif done == total:
            self.say(f"downloaded {name}: {done / 2**20:.1f} MiB")

    def reading(self, name: str, done: int, total: int) -> None:
        """How much of a large file is read; on a terminal alone."""
        now = time.monotonic()
        if self.reads is None or self.reads[0] != name or done < self.reads[2]:
            self.reads = name, now, done
        elif self.live and now - self.drawn_at >= QUIET_SECONDS:
            left = (now - self.reads[1]) * (total - done) / max(1, done - self.reads[2])
            share = done / total
            self._draw([f"{self._bar(share)} {share:4.0%}  reading {name}  ETA {duration(left)}"])

    def predicting(self, rows: int, seconds: float) -> None:
        """How many rows are predicted after so many seconds."""
        if self.live and time.monotonic() - self.drawn_at >= QUIET_SECONDS:
            self._draw([f"predicted {rows:,} rows  {rows / max(seconds, 1e-9):,.0f} rows/s"])

    def progress(self, what: str, share: float) -> None:
        """How much of something is done; on a terminal alone."""
        if self.live and (share in (0, 1) or time.monotonic() - self.drawn_at >= QUIET_SECONDS):
            self._draw([f"{self._bar(share)} {share:4.0%}  {what}"])

    def close(self) -> None:
        """Leave nothing half drawn."""
        self._erase()

    def _remember(self, record: Mapping[str, Any]) -> None:
        """Add the epoch to the curves; a stage has its own."""
        if self.stage != record.get("stage"):
            self.stage, self.course = record.get("stage"), {}
        values = {"loss": record["train"]["loss"]}
        values |= {f"validation {name}": value for name, value in (record.get("validation") or {}).items()}
        for name, value in values.items():
            self.course.setdefault(name, []).append(value)

    def _bar(self, share: float) -> str:
        filled = round(share * 20)
        done, ahead = "█░" if self.fine else "#."
        return self._paint(done * filled, GREEN) + ahead * (20 - filled)

    def _paint(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self.colors and text else text

    def _draw(self, lines: Sequence[str]) -> None:
        import shutil

        width = shutil.get_terminal_size().columns - 1
        back = f"\r\x1b[{self.drawn - 1}A" if self.drawn > 1 else "\r"
        talk(f"{back}\x1b[J" + "\n".join(_cut(line, width) for line in lines), end="")
        self.drawn, self.drawn_at = len(lines), time.monotonic()

    def _erase(self) -> None:
        if self.drawn:
            back = f"\x1b[{self.drawn - 1}A" if self.drawn > 1 else ""
            talk(f"\r{back}\x1b[J", end="")
            self.drawn = 0


def _told(metrics: Mapping[str, float]) -> list[str]:
    """Each metric and its value; one that is the loss under its own name stands for it."""
    same = any(value == metrics.get("loss") for name, value in metrics.items() if name != "loss")
    return [f"{name} {value:.4f}" for name, value in metrics.items() if not (same and name == "loss")]


def sparkline(values: Sequence[float], fine: bool = True, width: int = 32) -> str:
    """The last values as small bars, the lowest and the highest of them at the ends; not finite ones are left out."""
    finite = [value for value in values if math.isfinite(value)][-width:]
    steps = "▁▂▃▄▅▆▇█" if fine else ".:-=+*#"
    if len(finite) < 2:
        return ""
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    return "".join(steps[round((value - low) / span * (len(steps) - 1))] for value in finite)


def _cut(line: str, width: int) -> str:
    """The line in at most `width` places; colours take none."""
    parts, left = [], width
    for part in re.split(r"(\x1b\[\d+m)", line):
        if part.startswith("\x1b"):
            parts.append(part)
        else:
            parts.append(part[:left])
            left -= len(parts[-1])
    return "".join(parts)


def duration(seconds: float) -> str:
    """As 0:42 or 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
