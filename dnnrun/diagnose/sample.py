"""Rows enough for a short training, of a spec whose rows are streamed."""

from __future__ import annotations

from dnnrun.spec.sections import Spec

MOST = 50_000  # rows of a streamed source that a short training is given


def sample(spec: Spec) -> Spec:
    """`spec` with all its rows on the device: where they are streamed, only the first MOST to train on."""
    data = spec.data
    if data.stream is None:
        return spec
    update: dict[str, int | None] = {"stream": None}
    if data.per_class is None:
        update["limit"] = min(data.limit or MOST, MOST)
    return spec.model_copy(update={"data": data.model_copy(update=update)})
