"""What a run was made with: versions, the machine, the revision of the code around it."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("dnnrun", "jax", "jaxlib", "flax", "optax", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """The version of Python and of each package whose change can change the bits of a run."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_revision() -> str | None:
    """The commit of the working folder, with `+` where it has changes; None outside a repository or without git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + "+" * bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None


def describe() -> dict[str, Any]:
    return {"versions": versions(), "platform": platform.platform(), "git": git_revision()}


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=5, text=True).stdout.strip()
