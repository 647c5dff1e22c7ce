"""The variants of a reuse search: how many layers are reused, how many of them frozen, and what stands on top.

The protocol is that of A. Geron, Hands-On Machine Learning with Scikit-Learn and TensorFlow (2017), chapter 11,
"Tweaking, dropping, or replacing the upper layers": freeze all that is copied; let the top one or two learn, then all;
drop the top hidden layers and freeze again; replace them; add more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Top = Literal["dropped", "replaced", "added"]
TOPS: tuple[Top, ...] = ("dropped", "replaced", "added")
ALL = "all"
UNFREEZE: tuple[int | str, ...] = (0, 1, 2, ALL)


@dataclass(frozen=True)
class Variant:
    """`reuse` layers from the input on come from the source, the first `freeze` of them do not learn.

    `top` says of the hidden layers above them: None, there are none in the spec; `dropped`, those of the spec are left
    out; `replaced`, those of the spec begin anew; `added`, one more than in the spec. `count` is how many these are.
    `setting` lays over the spec; {} is from scratch.
    """

    reuse: int
    freeze: int
    top: Top | None
    count: int
    setting: Mapping[str, Any]

    @property
    def scratch(self) -> bool:
        """Whether nothing is reused."""
        return not self.reuse

    def __str__(self) -> str:
        if self.scratch:
            return "from scratch"
        top = f", {self.count} {self.top}" if self.top else ""
        return f"reuse {self.reuse}, freeze {self.freeze}{top}"


SCRATCH = Variant(0, 0, None, 0, {})


def variants_of(
    hidden: Sequence[Any],
    depths: Sequence[int],
    options: Mapping[str, Any],
    unfreeze: Collection[int | str] = UNFREEZE,
    tops: Collection[Top] = TOPS,
) -> list[Variant]:
    """Every variant in the order of the protocol, the deepest reuse first, and from scratch before all.

    `hidden` are the entries of the spec's `model.hidden`, `options` the `transfer` section but what is varied.
    `unfreeze` says how many of the top reused layers learn, `all` for every one. Only the deepest reuse gets a layer
    added. Depths that leave something above them and get nothing of `tops` have no variant.
    """
    found = [SCRATCH]
    for depth in sorted(depths, reverse=True):
        above = len(hidden) - depth
        stands: list[tuple[Top | None, int, list[Any] | None]] = []
        if not above:
            stands.append((None, 0, None))
        else:
            stands += [("dropped", above, list(hidden[:depth]))] * ("dropped" in tops)
            stands += [("replaced", above, None)] * ("replaced" in tops)
        if depth == max(depths) and "added" in tops:
            stands.append(("added", 1, [*hidden, hidden[-1]]))
        for top, count, network in stands:
            for freeze in _frozen(depth, unfreeze):
                transfer = {**options, "reuse": first_layers(depth), "freeze": first_layers(freeze) if freeze else None}
                setting = {"transfer": transfer} if network is None else {"model.hidden": network, "transfer": transfer}
                found.append(Variant(depth, freeze, top, count, setting))
    return found


def _frozen(depth: int, unfreeze: Collection[int | str]) -> list[int]:
    """How many layers are frozen, most first."""
    learning = {depth if top == ALL else int(top) for top in unfreeze}
    return sorted({depth - top for top in learning if top <= depth}, reverse=True)


def first_layers(count: int) -> str:
    """A pattern that matches the first `count` hidden layers and no other."""
    if count == 1:
        return "hidden1"
    if count < 10:
        return f"hidden[1-{count}]"
    return f"hidden({'|'.join(str(number) for number in range(1, count + 1))})"
