"""How the files of a table are written, for a spec that is proposed: as it was said, else as they show it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dnnrun.data.finding import find_all
from dnnrun.data.source import Places
from dnnrun.data.table.files import format_of, open_table
from dnnrun.data.table.kinds import has_commas
from dnnrun.errors import DataError
from dnnrun.proposal.text import listed
from dnnrun.spec.load import load_mapping

FORM = ("separator", "decimal", "quote", "encoding", "header", "null", "types")
WHERE = "data.source."
SAMPLE = 1000  # rows


def read_as(
    path: str, targets: Sequence[str], options: Mapping[str, Any], overrides: Sequence[str], places: Places
) -> tuple[Any, list[str]]:
    """The source of a table, and the lines of a spec on how its files are written.

    `overrides` say that, as data.source.encoding=cp1252. Raises SpecError, DataError.
    """
    for text in overrides:
        key = text.partition("=")[0].strip()
        if key.removeprefix(WHERE).split(".")[0] not in FORM or not key.startswith(WHERE):
            raise DataError(
                f"{text}: new takes {', '.join(WHERE + name for name in FORM)}, which say how the file is written; all "
                "else is changed in the spec that it writes"
            )
    said = {text.removeprefix(WHERE).partition("=")[0].strip().split(".")[0]: "" for text in overrides}
    plain = {"type": format_of(Path(path)), "path": path, "target": list(targets) or ["?"]}
    source: Any = load_mapping(
        {"data": {"source": {**plain, **options}}, "model": {"hidden": [1]}}, overrides, where="new"
    ).data.source
    if plain["type"] == "csv" and "decimal" not in said and (commas := _with_commas(path, source, places)):
        source = source.model_copy(update={"decimal": ","})
        said["decimal"] = f"  # as in {listed(commas)}"
    values = source.model_dump(mode="json")
    return source, [f"    {key}: {json.dumps(values[key], ensure_ascii=False)}{why}" for key, why in said.items()]


def _with_commas(path: str, source: Any, places: Places) -> list[str]:
    """The columns of numbers with a decimal comma, in a file whose values something else divides."""
    file = open_table(find_all(path, places)[0], source.form()).file
    if file is None or file.separator == ",":
        return []
    frame = next(iter(file.frames(file.names, file.names, {}, set())), None)
    return [] if frame is None else [one.name for one in frame.head(SAMPLE) if has_commas(one)]
