"""Specs for the verb transfer: a spec of one's own or the source's own again, with what is to be reused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dnnrun.errors import TransferError
from dnnrun.spec.load import load, load_mapping
from dnnrun.spec.sections import Spec
from dnnrun.store.find import find_checkpoint, newest_finished

SUFFIX = "-transfer"


def transfer_spec(
    spec: str | Path | Mapping[str, Any] | None,
    source: str | Path | None,
    options: Mapping[str, Any],
    overrides: Sequence[str] = (),
    runs: Path = Path("runs"),
) -> Spec:
    """`spec` with a `transfer` section made of `source` and `options` (keys of the section; None leaves one unset).

    Without a source, the section's own, else the newest finished run under `runs`. Without a spec, that of the source,
    under its name with `-transfer` behind. Raises SpecError, CheckpointError, and TransferError without any source.
    """
    said = {key: value for key, value in options.items() if value is not None}
    if source is not None:
        said["from"] = str(source)
    given = [f"transfer.{key}={json.dumps(value)}" for key, value in said.items()] + list(overrides)
    newest = newest_finished(runs)
    fill = {"transfer.from": str(newest)} if newest else {}
    if spec is None:
        own = source or newest
        if own is None:
            raise TransferError(f"{runs}: no finished run to take layers from; name one with --from")
        mapping = {key: value for key, value in find_checkpoint(own).manifest["spec"].items() if key != "transfer"}
        if not mapping["name"].endswith(SUFFIX):
            mapping["name"] = mapping["name"][: 64 - len(SUFFIX)] + SUFFIX
        return load_mapping(mapping, given, where=f"the spec of {own}", fill=fill)
    if isinstance(spec, Mapping):
        return load_mapping(spec, given, fill=fill)
    return load(spec, given, fill=fill)
