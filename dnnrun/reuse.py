"""Specs for the verb transfer: a spec of one's own or the source's own again, with what is to be reused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dnnrun.errors import TransferError
from dnnrun.foreign import is_foreign
from dnnrun.spec.load import load, load_mapping
from dnnrun.spec.override import apply
from dnnrun.spec.sections import Spec
from dnnrun.spec.tree import plant
from dnnrun.store.find import find_checkpoint, located, newest_finished

SUFFIX = "-transfer"


def transfer_spec(
    spec: str | Path | Mapping[str, Any] | None,
    source: str | Path | Sequence[Any] | None,
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
        said["from"] = str(source) if isinstance(source, (str, Path)) else source
    given = [f"transfer.{key}={json.dumps(value, default=str)}" for key, value in said.items()] + list(overrides)
    newest = newest_finished(runs)
    fill = {"transfer.from": str(newest)} if newest else {}
    if spec is None:
        own = _source(given) or newest
        if own is None:
            raise _nothing_there(runs)
        if is_foreign(located(own)):
            raise TransferError(f"{own}: no run of dnnrun, so it has no spec to go on with; name a spec before --from")
        whole = find_checkpoint(own).manifest["spec"]
        mapping = {key: value for key, value in whole.items() if key not in ("transfer", "pretrain")}
        name = str(mapping.get("name", "unnamed"))
        mapping["name"] = name if name.endswith(SUFFIX) else name[: 64 - len(SUFFIX)] + SUFFIX
        found = load_mapping(mapping, given, where=f"the spec of {own}", fill=fill)
    elif isinstance(spec, Mapping):
        found = load_mapping(spec, given, fill=fill)
    else:
        found = load(spec, given, fill=fill)
    if found.transfer is None:
        raise _nothing_there(runs)
    return found


def _source(given: Sequence[str]) -> str | None:
    """The first source that the overrides name."""
    tree = plant({}, "overrides")
    apply(tree, given)
    section = tree.value.get("transfer")
    found = section.get("from") if isinstance(section, dict) else None
    if isinstance(found, list) and found:
        found = found[0].get("from") if isinstance(found[0], dict) else found[0]
    return found if isinstance(found, str) else None


def _nothing_there(runs: Path) -> TransferError:
    return TransferError(f"{runs}: no finished run to take layers from; name one with --from")
