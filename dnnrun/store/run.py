"""A run directory: made, opened again, locked while it is written, and its small files."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import ResumeError, RunDirectoryError

SPEC, METRICS, META, LOG, LOCK, CHECKPOINTS, STAGES = (
    "spec.yaml", "metrics.jsonl", "meta.json", "out.log", ".lock", "checkpoints", "stages",
)  # fmt: skip
ABANDONED = 600.0  # seconds after which something unfinished beside the runs is a killed process's


@dataclass(frozen=True)
class RunDirectory:
    """runs/<name>/<timestamp>-<id>/ and the places in it."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / SPEC

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    def lock(self) -> files.Lock:
        """The right to write here, held until released. Raises RunDirectoryError naming the process that has it."""
        return files.lock(self.path / LOCK)

    def meta(self) -> dict[str, Any]:
        """What meta.json says."""
        path = self.path / META
        try:
            found = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise RunDirectoryError(f"{self.path}: not a run directory (no {META})") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunDirectoryError(f"{path}: cannot be read ({error})") from None
        if not isinstance(found, dict) or not isinstance(found.get("status", ""), str):
            raise RunDirectoryError(f"{path}: says nothing of a run; the file was changed by something else")
        return found

    def status(self) -> str:
        """running, done, interrupted, failed; killed where the process that wrote here is gone without a word."""
        status = self.meta().get("status", "unknown")
        return "killed" if status in ("created", "running") and not self._alive() else status

    def _alive(self) -> bool:
        pid = files.holder(self.path / LOCK)
        try:
            if pid is not None:
                os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return pid is not None

    def write_meta(self, meta: Mapping[str, Any]) -> None:
        files.write_atomic(self.path / META, (json.dumps(meta, indent=1) + "\n").encode())

    def log(self, line: str) -> None:
        """Add a line to out.log, with the time before it."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        files.append(self.path / LOG, f"{stamp} {line}\n".encode())


def create(runs: Path, name: str, spec: str, meta: Mapping[str, Any]) -> RunDirectory:
    """A new run directory under `runs`/`name`, complete when it appears, and `latest` pointing to it."""
    parent = runs / name
    files.make_folder(parent, exist_ok=True)
    files.remove_temporaries(parent, older_than=ABANDONED)
    now = time.time_ns()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.localtime(now // 10**9))
    path = parent / f"{stamp}-{now // 1000 % 10**6:05x}{secrets.token_hex(1)}"  # names in the order of time
    contents = {SPEC: spec.encode(), META: (json.dumps(dict(meta), indent=1) + "\n").encode(), METRICS: b""}
    files.publish_folder(path, contents)
    files.make_folder(path / CHECKPOINTS)
    files.point(parent / "latest", Path(path.name))
    return RunDirectory(path)


def create_stage(run: RunDirectory, folder: str, spec: str, meta: Mapping[str, Any]) -> RunDirectory:
    """A directory of its own for a stage of a run, complete when it appears."""
    files.make_folder(run.path / STAGES, exist_ok=True)
    path = run.path / STAGES / folder
    contents = {SPEC: spec.encode(), META: (json.dumps(dict(meta), indent=1) + "\n").encode(), METRICS: b""}
    files.publish_folder(path, contents)
    files.make_folder(path / CHECKPOINTS, exist_ok=True)
    return RunDirectory(path)


def runs_of(folder: Path) -> list[RunDirectory]:
    """The runs kept under one name, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if (path / META).is_file() and not path.is_symlink()]
    found = [path for path in found if not path.name.startswith(files.TEMPORARY)]
    return [RunDirectory(path) for path in sorted(found)]


def all_runs(runs: Path) -> list[RunDirectory]:
    """The runs of every name under `runs`: by name, then oldest first."""
    names = sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
    return [run for name in names for run in runs_of(name)]


def newest(runs: Path, name: str) -> RunDirectory:
    """The newest run of this name. Raises ResumeError when there is none."""
    latest = runs / name / "latest"
    if latest.is_symlink() and latest.exists():
        return RunDirectory(runs / name / latest.readlink())
    if found := runs_of(runs / name):
        return found[-1]
    raise ResumeError(f"{runs / name}: nothing to resume (no run of this name); train without --resume to begin one")
