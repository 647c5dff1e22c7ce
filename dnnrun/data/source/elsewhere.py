"""Rows that dnnrun has never seen: those that an imported network was trained on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dnnrun.data.source import Places, Raw, Source
from dnnrun.errors import DataError


class Elsewhere(Source):
    """The unknown data of a network that was imported: it says how wide a row is, and has none."""

    type: Literal["elsewhere"] = "elsewhere"
    features: int = Field(gt=0, description="the width of a row")

    def read(self, places: Places) -> Raw:
        """Raises DataError: there are no rows."""
        raise DataError(
            "data.source: elsewhere: this network was imported and the data it was trained on is not known here; "
            "import it again with data.source=NAME to evaluate it (dnnrun ls datasets)"
        )
