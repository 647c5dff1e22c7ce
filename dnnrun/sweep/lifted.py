"""The numbers of a spec that trials trained as one program may differ in, and the rest, which they share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from dnnrun.optim.optimizer import Optimizer
from dnnrun.optim.schedule import Schedule
from dnnrun.spec.sections import Spec, Train

# Of `train`: numbers, and what only the host looks at.
PENALTIES = ("l1", "l2", "max_norm")
HOST = ("early_stopping", "monitor", "checkpoint_every")


def numbers(train: Train) -> dict[str, float]:
    """Key -> value of the optimizer's, schedule's and penalties' numbers; a 0, which leaves a term out, is none."""
    found = {name: value for name in PENALTIES if (value := getattr(train, name))}
    found |= {".".join(("optimizer", *path)): value for path, value in _floats(train.optimizer)}
    return {name: float(value) for name, value in found.items()}


def with_numbers(train: Train, values: Mapping[str, Any]) -> Train:
    """`train` with these values, traced ones too, unchecked."""
    changed: Any = train
    for name, value in values.items():
        changed = _with(changed, name.split("."), value)
    return changed


def shape(spec: Spec) -> str:
    """What trials must have in common to be lanes of one program. Equal texts fit together."""
    dumped = spec.model_dump(mode="json")
    del dumped["name"], dumped["seed"]
    for name in HOST:
        del dumped["train"][name]
    for name in numbers(spec.train):
        *path, last = name.split(".")
        place = dumped["train"]
        for part in path:
            place = place[part]
        place[last] = "any"
    return json.dumps(dumped, sort_keys=True)


def can_share(spec: Spec) -> bool:
    """Whether a trial can be a lane: not where phases, devices or a stream of its own train it."""
    alone = spec.transfer is None and spec.pretrain is None and spec.train.devices == 1
    return alone and spec.data.stream is None


def _floats(model: BaseModel) -> Iterator[tuple[tuple[str, ...], float]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, float) and value:
            yield (name,), value
        elif isinstance(value, Optimizer | Schedule):  # a duration's numbers decide how many steps it has
            for path, inner in _floats(value):
                yield (name, *path), inner


def _with(model: Any, path: list[str], value: Any) -> Any:
    first, *rest = path
    return model.model_copy(update={first: _with(getattr(model, first), rest, value) if rest else value})
