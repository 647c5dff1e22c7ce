from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnnrun import files


def pytest_configure(config: pytest.Config) -> None:
    """Let JAX keep what it compiles from one session to the next: half of a session's time, the first time."""
    if cache := getattr(config, "cache", None):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache.mkdir("compiled"))
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """No addresses in names: two processes must collect the same tests."""
    if callable(val):
        return getattr(val, "__name__", type(val).__name__)
    return type(val).__name__ if " at 0x" in repr(val) else None


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all the runs of the session, in this process and in others, keep compiled code."""
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(named) if named else tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def no_observer() -> Iterator[None]:
    """Whatever a test hangs into the seam to the disk is gone after it."""
    yield
    files.observe = None
