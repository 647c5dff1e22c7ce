"""What is no misfit of a reused layer and may still not be meant: it computes something else than in its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dnnrun.nn.architecture import OUTPUTS, Layer
from dnnrun.transfer.donor import Donor


def differences(layer: Layer, donor: Donor, source: str, classes: Sequence[str]) -> list[str]:
    """A line for each way in which `layer` differs from the donor's layer `source`, its tensors apart."""
    theirs, found = donor.known(source), []
    mine = layer.activation.model_dump(mode="json")
    if theirs.activation is None:
        found.append(f"{layer.name}: {donor.name} does not say its activation; here it is {_words(mine)}")
    elif mine != (there := theirs.activation.model_dump(mode="json")):
        found.append(f"{layer.name}: its activation here is {_words(mine)}, in the source {_words(there)}")
    if layer.batch_norm:
        for option in ("position", "epsilon"):
            here, was = getattr(layer.batch_norm, option), theirs.batch_norm.get(option)
            if was is None:
                found.append(f"{layer.name}: {donor.name} does not say its batch_norm.{option}; here it is {here}")
            elif here != was:
                found.append(f"{layer.name}: batch_norm.{option} here is {here}, in the source {was}")
    if layer.name == source == OUTPUTS and donor.classes is not None and tuple(classes) != donor.classes:
        found.append(f"{OUTPUTS}: its classes here are {', '.join(classes)}, in the source {', '.join(donor.classes)}")
    return found


def _words(activation: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in activation.items() if key != "type")
    return f"{activation['type']} ({options})" if options else activation["type"]
