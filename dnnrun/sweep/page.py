"""The results of a sweep as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files as resources
from typing import Any

from dnnrun.metric import higher_is_better
from dnnrun.spec.load import dump
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import words
from dnnrun.sweep.importance import importance, varied
from dnnrun.sweep.results import Outcome, Ranked, rows_of, table_of

METHOD = (
    "A random forest learns the mean of a setting from its values; a key's share is how much worse it predicts with "
    "that key's values permuted. Of settings that neither failed nor were pruned."
)


def page_of(base: Spec, ranked: Sequence[Ranked], outcomes: Sequence[Outcome], name: str) -> str:
    """The page: ranking, parallel coordinates, importance of keys, heat map, trials, spec."""
    assert base.sweep is not None
    metric = base.sweep.metric
    table = table_of(ranked, metric)
    settings = [
        {
            "name": words(dict(entry.setting)),
            "setting": {key: _plain(value) for key, value in entry.setting.items()},
            "mean": entry.estimate and entry.estimate.mean,
            "whole": not entry.failed and entry.epochs is None,
        }
        for entry in ranked
    ]
    content = {
        "metric": metric,
        "better": "higher" if higher_is_better(metric) else "lower",
        "keys": varied([entry.setting for entry in ranked]),
        "settings": settings,
        "importance": importance(ranked),
        "method": METHOD,
        "table": table,
        "trials": rows_of(outcomes),
    }
    template = resources("dnnrun.sweep").joinpath("page.html").read_text("utf-8")
    # A closing tag inside a script would end it, whatever string it stands in.
    text = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    parts = {"TITLE": escape(f"{base.name}: {name}"), "DATA": text, "SPEC": escape(dump(base))}
    for key, value in parts.items():
        template = template.replace(f"@{key}@", value)
    return template


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else json.dumps(value)
