"""What `import dnnrun` offers: train a spec, train on layers of another run, load a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from dnnrun.assemble import plan_transfer
from dnnrun.data.places import compile_cache, find_places
from dnnrun.experiment import Result
from dnnrun.experiment import train as run
from dnnrun.reuse import transfer_spec
from dnnrun.spec import load as specs
from dnnrun.spec.sections import Spec
from dnnrun.trained import Trained, load
from dnnrun.transfer.plan import Plan
from dnnrun.watch import Watcher

__all__ = ["Plan", "Result", "Reuse", "Spec", "Trained", "Watcher", "load", "plan", "pretrain", "train", "transfer"]

AnySpec = str | Path | Mapping[str, Any] | Spec
Source = str | Path | Sequence[str | Path | Mapping[str, Any]]


class Reuse(TypedDict, total=False):
    """The options of `transfer` and `plan`: the keys of a spec's `transfer` section, with what they take there."""

    map: str | Path
    reuse: str
    rename: Mapping[str, str]
    freeze: str
    train: str
    freeze_batch_norm: bool
    unfreeze: Mapping[str, int | Mapping[str, int]]
    rates: Mapping[str, float]
    cache: str
    resize_inputs: bool | str
    optimizer_state: bool


def train(
    spec: AnySpec,
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
    return _run(_loaded(spec, overrides), resume, runs_dir, data_dir, watcher)


def pretrain(
    spec: AnySpec,
    *overrides: str,
    resume: bool = False,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    watcher: Watcher | None = None,
) -> Result:
    """Run the stages of the spec's `pretrain` section and nothing after them: a run to take layers from.

    All else is as for `train`; `stages` of the result says how each stage went.
    """
    return _run(_loaded(spec, overrides), resume, runs_dir, data_dir, watcher, only_stages=True)


def _loaded(spec: AnySpec, overrides: tuple[str, ...]) -> Spec:
    if isinstance(spec, (str, Path)):
        return specs.load(spec, overrides)
    return specs.load_mapping(_mapping(spec), overrides)


def transfer(
    spec: AnySpec | None = None,
    *overrides: str,
    source: Source | None = None,
    resume: bool = False,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    watcher: Watcher | None = None,
    **options: Unpack[Reuse],
) -> Result:
    """Train `spec` on layers of `source`: a run, a checkpoint, or a list of these or of {from, reuse, rename}.

    Without a spec, that of the source again, called NAME-transfer; without a source, the spec's own, else the newest
    finished run under `runs_dir`. The rest is as for `train`; also raises TransferError.
    """
    return _run(_transfer_spec(spec, overrides, source, runs_dir, options), resume, runs_dir, data_dir, watcher)


def plan(
    spec: AnySpec | None = None,
    *overrides: str,
    source: Source | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    **options: Unpack[Reuse],
) -> Plan:
    """What `transfer` of the same arguments would do, layer by layer: nothing is trained, no tensor read."""
    return plan_transfer(_transfer_spec(spec, overrides, source, runs_dir, options), find_places(data_dir))


def _transfer_spec(
    spec: AnySpec | None, overrides: Sequence[str], source: Source | None, runs_dir: str | Path, options: Reuse
) -> Spec:
    given = spec if spec is None or isinstance(spec, (str, Path)) else _mapping(spec)
    return transfer_spec(given, source, {**options}, overrides, Path(runs_dir))


def _mapping(spec: Mapping[str, Any] | Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json") if isinstance(spec, Spec) else dict(spec)


def _run(
    spec: Spec,
    resume: bool,
    runs_dir: str | Path,
    data_dir: str | Path | None,
    watcher: Watcher | None,
    only_stages: bool = False,
) -> Result:
    return run(
        spec,
        runs=Path(runs_dir),
        resume=resume,
        places=find_places(data_dir, watcher.download if watcher else None),
        watcher=watcher,
        cache=compile_cache(watcher.warn if watcher else None),
        only_stages=only_stages,
    )
