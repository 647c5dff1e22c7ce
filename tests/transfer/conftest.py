from __future__ import annotations

from pathlib import Path

import pytest

from dnnrun.spec.load import load_mapping
from tests.smallruns import trained
from tests.transfer.sources import RICH, written


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Path:
    """The directory of a run trained on the digits, with batch norm and learned slopes; tests do not change it."""
    return trained(load_mapping(RICH), tmp_path_factory.mktemp("sources"), compiled).run


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve hidden layers, never trained."""
    return str(written(tmp_path_factory.mktemp("deep"), "deep", {"hidden": [4] * 12}))
