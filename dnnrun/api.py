"""What `import dnnrun` offers: train a spec, load a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnnrun.data.places import compile_cache, find_places
from dnnrun.experiment import Result
from dnnrun.experiment import train as run
from dnnrun.spec import load as specs
from dnnrun.spec.sections import Spec
from dnnrun.trained import Trained, load
from dnnrun.watch import Watcher

__all__ = ["Result", "Spec", "Trained", "Watcher", "load", "train"]


def train(
    spec: str | Path | Mapping[str, Any] | Spec,
    *overrides: str,
    resume: bool = False,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    watcher: Watcher | None = None,
) -> Result:
    """Train `spec`: a file, the name of a packaged config, a mapping, or a Spec.

    `overrides` are `key.sub=value`. Nothing is printed: give a `watcher` to hear of progress. Raises SpecError for a
    spec that cannot be used, and the other errors of dnnrun.errors.
    """
    if isinstance(spec, (str, Path)):
        loaded = specs.load(spec, overrides)
    else:
        mapping = spec.model_dump(mode="json") if isinstance(spec, Spec) else dict(spec)
        loaded = specs.load_mapping(mapping, overrides)
    return run(
        loaded,
        runs=Path(runs_dir),
        resume=resume,
        places=find_places(data_dir, watcher.download if watcher else None),
        watcher=watcher,
        cache=compile_cache(),
    )
