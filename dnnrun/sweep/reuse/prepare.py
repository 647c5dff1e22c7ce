"""What a reuse search tries, settled and checked before anything runs: its source, its depths, its variants."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnnrun.assemble import plan_transfer, read_data
from dnnrun.data.dataset import Dataset
from dnnrun.data.source import Places
from dnnrun.errors import DataError, SpecError, TransferError
from dnnrun.metric import CHIEF
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Sweep
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import all_runs
from dnnrun.sweep.plan import Trial, compared, spec_of
from dnnrun.sweep.reuse.variants import SCRATCH, TOPS, UNFREEZE, Top, Variant, variants_of
from dnnrun.transfer.options import Transfer

KEPT = ("from", "cache", "resize_inputs", "freeze_batch_norm")  # of the transfer section; the rest is what is tried
OWN = ("seeds", "folds", "metric", "confirm", "engine")  # of the sweep section


@dataclass(frozen=True)
class Prepared:
    """A search that can begin. `base` is the spec without transfer whose sweep has the variants as settings.

    `source` is the checkpoint that every variant reuses, `given` what was typed for it: a source trained on later
    changes nothing. `notes` are things that a person should know and may have meant, `score` is
    the metric that test rows are told in.
    """

    base: Spec
    source: Path
    given: str
    variants: tuple[Variant, ...]
    notes: tuple[str, ...]
    score: str

    @property
    def sweep(self) -> Sweep:
        assert self.base.sweep is not None
        return self.base.sweep


def prepare(
    spec: Spec,
    places: Places,
    runs: Path,
    *,
    source: Path | None = None,
    depths: Collection[int] | None = None,
    unfreeze: Collection[int | str] = UNFREEZE,
    tops: Collection[Top] = TOPS,
) -> Prepared:
    """The search over what `spec` can reuse of the source of its `transfer` section, or of `source` in its place.

    `depths` are the numbers of layers to reuse, unset all that fit. Raises SpecError for keys that are tried here and
    set in the spec, TransferError where there is no source or nothing of it fits, DataError and CheckpointError.
    """
    if spec.transfer is None and source is not None:
        spec = spec.model_copy(update={"transfer": Transfer.model_validate({"from": str(source)})})
    _check(spec, runs)
    assert spec.transfer is not None
    assert spec.sweep is not None
    given = spec.transfer.parts[0].from_
    pinned = source or find_checkpoint(given).folder.resolve()
    options = _options(spec.transfer, pinned)
    bare = spec.model_copy(update={"transfer": None})
    first = Trial({}, spec.seed, fold=1 if spec.sweep.folds else None)
    dataset = read_data(spec_of(bare, first), places)
    spec = compared(spec, dataset.task)
    assert spec.sweep is not None
    split = spec.sweep.metric.partition(".")[0]
    if split not in dataset.splits:
        raise DataError(
            f"data.validation leaves no rows, and variants are compared by {spec.sweep.metric}; leave some, or give "
            "--folds"
        )
    hidden = [_entry(entry) for entry in spec.model.model_dump(mode="json")["hidden"]]
    fitting, why = _fitting(bare, places, dataset, hidden, options)
    chosen = _chosen(depths, fitting, why, pinned)
    variants = variants_of(hidden, chosen, options, unfreeze, tops)
    if variants == [SCRATCH]:
        raise SpecError(
            ["nothing is left to try: these depths leave hidden layers of the spec above them; let --variants have "
             "dropped or replaced, or --unfreeze numbers no larger than the depths"]
        )  # fmt: skip
    notes = [why] if why is not None and depths is None else []
    for variant in variants[1:]:
        plan = plan_transfer(spec_of(bare, Trial(variant.setting, spec.seed)), places, dataset)
        notes += [note for note in plan.notes if note not in notes]
    settings = tuple(dict(variant.setting) for variant in variants)
    base = bare.model_copy(update={"sweep": spec.sweep.model_copy(update={"settings": settings})})
    return Prepared(base, pinned, given, tuple(variants), tuple(notes), CHIEF[dataset.task])


def _check(spec: Spec, runs: Path) -> None:
    problems = []
    if spec.sweep is not None:
        fresh = Sweep()
        varied = [
            key for key in Sweep.model_fields if key not in OWN and getattr(spec.sweep, key) != getattr(fresh, key)
        ]
        problems += [
            f"sweep.{key}: reuse-search varies the reuse alone; leave it out, or use dnnrun sweep" for key in varied
        ]
    if not spec.model.hidden:
        problems.append("model.hidden: no hidden layer, so none to reuse; wanted one or more")
    if spec.transfer is not None:
        problems += _transfer_problems(spec.transfer)
    if problems:
        raise SpecError(problems)
    if spec.transfer is None:
        found = sorted({str(run.path.parent) for run in all_runs(runs) if run.status() == "done"})
        there = f"finished here: {', '.join(found[:10])}" if found else f"there is no finished run under {runs}"
        raise TransferError(f"no source to take layers from; name a run with --from ({there})")


def _transfer_problems(options: Transfer) -> list[str]:
    if not isinstance(options.from_, str):
        return ["transfer.from: several sources; reuse-search takes the layers of one"]
    fresh = Transfer.model_validate({"from": options.from_})
    keys = [name for name in Transfer.model_fields if name != "from_" and name not in KEPT]
    found = [
        f"transfer.{key}: reuse-search tries what to reuse and freeze by itself; leave it out, or set it to null"
        for key in keys
        if getattr(options, key) != getattr(fresh, key)
    ]
    if options.cache == "on":
        found.append("transfer.cache: on, and variants that freeze nothing have nothing to cache; use auto or off")
    return found


def _options(transfer: Transfer, pinned: Path) -> dict[str, Any]:
    """The section as every variant has it: what differs from the defaults."""
    said = transfer.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"from": str(pinned), **{key: said[key] for key in KEPT[1:] if key in said}}


def _entry(entry: dict[str, Any]) -> Any:
    own = {key: value for key, value in entry.items() if value is not None}
    return own["units"] if set(own) == {"units"} else own


def _fitting(
    bare: Spec, places: Places, dataset: Dataset, hidden: Sequence[Any], options: dict[str, Any]
) -> tuple[int, str | None]:
    """How many layers from the input fit, and why the next one does not. Raises TransferError where the first fails."""
    for depth in range(1, len(hidden) + 1):
        (variant,) = variants_of(hidden, [depth], options, ["all"], ["replaced"])[1:]
        try:
            plan_transfer(spec_of(bare, Trial(variant.setting, bare.seed)), places, dataset)
        except TransferError as error:
            if depth == 1:
                raise
            lines = [line.strip() for line in str(error).splitlines()]
            why = lines[1] if len(lines) > 1 else lines[0]
            if "absent in" in why and "whose layers are" in why:
                why = f"the source has {depth - 1} hidden layers"
            return depth - 1, f"at most {depth - 1} of {len(hidden)} hidden layers can be reused: {why}"
    return len(hidden), None


def _chosen(depths: Collection[int] | None, fitting: int, why: str | None, source: Path) -> list[int]:
    if depths is None:
        return list(range(1, fitting + 1))
    if wrong := sorted(depth for depth in depths if not 1 <= depth <= fitting):
        told = why or f"the spec has {fitting} hidden layers"
        raise TransferError(f"--depths {', '.join(map(str, wrong))}: wanted 1 to {fitting}; {told} (source: {source})")
    return sorted(set(depths))
