"""The `transfer:` section of a spec."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from dnnrun.component import Options, not_together


def _regex(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a bracket in brackets: it still means what it meant
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        shown = pattern if len(pattern) <= 60 else pattern[:57] + "..."
        raise ValueError(f"{shown!r} is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_regex)]
Factor = Annotated[float, Field(gt=0)]
Epoch = Annotated[int, Field(gt=0)]
LayerNames = dict[str, str]


PRETRAIN = "pretrain"  # as a source: what the stages of the same spec's `pretrain` section end with


class Stall(Options):
    """When the monitored metric has not improved for so many epochs since the last layers joined."""

    stalled: int = Field(gt=0, description="epochs without a better value")


class Part(Options):
    """One of several sources, in order: a layer comes from the first whose `reuse` matches it."""

    from_: str = Field(alias="from", description="a run, a checkpoint folder, or a file of another framework")
    map: str | None = Field(default=None, description="YAML file: our tensors -> those of a foreign file")
    reuse: Pattern = Field(default="hidden.*", description="which layers, by name")
    rename: LayerNames = Field(default_factory=dict, description="layer of the source -> its name here")


class Transfer(Options):
    """What is reused of networks trained before, and what of it learns again. Patterns match whole layer names."""

    model_config = ConfigDict(json_schema_extra=not_together("freeze", "train"))

    from_: str | Annotated[tuple[str | Part, ...], Field(strict=False, min_length=1)] = Field(
        alias="from",
        description="a run, a checkpoint or another framework's file; or a list of these, or of mappings; or pretrain",
    )
    map: str | None = Field(default=None, description="YAML file: our tensors -> those of a foreign file")
    reuse: Pattern = Field(default="hidden.*", description="which layers of the new network come from the source")
    rename: LayerNames = Field(default_factory=dict, description="layer of the source -> its name here")
    freeze: Pattern | None = Field(default=None, description="which layers do not learn")
    train: Pattern | None = Field(default=None, description="which layers learn; all others are frozen")
    freeze_batch_norm: bool = Field(default=True, description="statistics of frozen layers stand still")
    unfreeze: dict[Pattern, Epoch | Stall] = Field(
        default_factory=dict, description="pattern -> after which epoch it learns, or {stalled: epochs}"
    )
    rates: dict[Pattern, Factor] = Field(
        default_factory=dict,
        description="pattern -> factor of the learning rate; the first that matches a layer counts",
    )
    cache: Literal["auto", "on", "off"] = Field(
        default="auto", description="compute the outputs of the frozen first layers once"
    )
    resize_inputs: bool | Literal["nearest", "linear", "cubic", "lanczos3"] = Field(
        default=False, description="resize images to what the source was trained on; true is linear"
    )
    optimizer_state: bool = Field(default=False, description="go on with the source's optimizer state too")

    @model_validator(mode="after")
    def _consistent(self) -> Transfer:
        if self.freeze is not None and self.train is not None:
            raise ValueError("freeze and train say the same thing from two sides; give one of them")
        if not isinstance(self.from_, str) and (self.rename or self.map or "reuse" in self.model_fields_set):
            raise ValueError("with several sources, reuse, rename and map belong to each entry of `from`")
        stalls = [isinstance(when, Stall) for when in self.unfreeze.values()]
        if any(stalls) and not all(stalls):
            raise ValueError("unfreeze mixes epochs and stalls, whose order nobody can know; use one of them")
        return self

    @property
    def parts(self) -> tuple[Part, ...]:
        """The sources in order, with what is reused of each."""
        if isinstance(self.from_, str):
            return (
                Part.model_validate({"from": self.from_, "map": self.map, "reuse": self.reuse, "rename": self.rename}),
            )
        return tuple(Part.model_validate({"from": entry}) if isinstance(entry, str) else entry for entry in self.from_)
