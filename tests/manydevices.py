"""Runs on forced host devices, in a process of their own: JAX settles how many there are when it starts.

As a program: reads jobs as JSON from stdin, one a run, and writes what each came to as JSON to stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dnnrun.errors import DnnrunError
from dnnrun.spec.sections import Spec
from tests.smallruns import Collected, trained

ROOT = Path(__file__).resolve().parent.parent


def stop_after(events: int | None) -> Callable[[], int | None]:
    """Ends a run politely at so many chunks and epochs."""
    asked = iter(range(10**9))
    return lambda: 15 if events is not None and next(asked) >= events else None


def job(spec: Spec, runs: Path, resume: bool = False, stop: int | None = None) -> dict[str, Any]:
    return {"spec": spec.model_dump(mode="json"), "runs": str(runs), "resume": resume, "stop": stop}


def work(jobs: Sequence[Mapping[str, Any]], devices: int, compiled: Path) -> list[dict[str, Any]]:
    """What the jobs come to, one after another, where there are so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.manydevices", str(compiled)],
        input=json.dumps(jobs), capture_output=True, text=True, timeout=240, cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _one(spec: dict[str, Any], runs: str, resume: bool, stop: int | None, compiled: Path) -> dict[str, Any]:
    watcher = Collected()
    found: dict[str, Any] = {"error": None}
    try:
        made = Spec.model_validate(spec, strict=False)
        result = trained(made, Path(runs), compiled, resume=resume, stop=stop_after(stop), watcher=watcher)
        found |= result.as_json()
    except DnnrunError as error:
        found["error"] = str(error)
    return {**found, "said": watcher.said, "warned": watcher.warned}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump([_one(**entry, compiled=Path(sys.argv[1])) for entry in given], sys.stdout)
