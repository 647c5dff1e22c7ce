"""The JSON schema takes what `load` takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from dnnrun.component import families, members
from dnnrun.errors import SpecError
from dnnrun.spec.library import configs
from dnnrun.spec.load import dump, load, load_mapping
from dnnrun.spec.schema import schema

GOOD: dict[str, Any] = {"data": {"source": "digits"}, "model": {"hidden": [3]}}
VALIDATOR = Draft202012Validator(schema())

# (section, key, a value) and whether it is a good one
VALUES = [
    ("model", "hidden", [3, {"units": 4, "activation": "elu"}], True),
    ("model", "hidden", [0], False),
    ("model", "hidden", [{"unit": 4}], False),
    ("model", "hidden", 3, False),
    ("model", "activation", "elu", True),
    ("model", "activation", {"type": "elu", "alpha": 2}, True),
    ("model", "activation", {"alpha": 2}, False),
    ("model", "activation", {"type": "elu", "alpa": 2}, False),
    ("model", "activation", "rleu", False),
    ("model", "batch_norm", True, True),
    ("model", "batch_norm", False, True),
    ("model", "batch_norm", None, True),
    ("model", "batch_norm", {"logits": True}, True),
    ("model", "batch_norm", 3, False),
    ("model", "dropout", 0.5, True),
    ("model", "dropout", {"input": 0.2}, True),
    ("model", "dropout", 1, False),
    ("model", "zz", 1, False),
    ("data", "per_class", 3, True),
    ("data", "per_class", {"train": 3, "validation": 1}, True),
    ("data", "per_class", "all", False),
    ("data", "validation", 5000, True),
    ("data", "validation", 0.2, True),
    ("data", "classes", [1, "two"], True),
    ("data", "classes", [1], False),
    ("data", "classes", [1, 1], False),
    ("data", "source", {"type": "digits"}, True),
    ("train", "optimizer", "sgd", True),
    ("train", "optimizer", {"type": "sgd", "learning_rate": 0.1}, True),
    ("train", "optimizer", {"type": "sgd", "learning_rate": {"type": "constant", "value": 0.1}}, True),
    ("train", "optimizer", {"type": "sgd", "learning_rate": 0}, False),
    ("train", "optimizer", {"type": "sgd", "learning_rate": "fast"}, False),
    ("train", "clip", {"type": "value", "threshold": 1}, True),
    ("train", "clip", None, True),
    ("train", "checkpoint_every", {"steps": 3}, True),
    ("train", "checkpoint_every", 3, False),
    ("train", "checkpoint_every", {}, False),
    ("train", "checkpoint_every", {"steps": 3, "epochs": 1}, False),
    ("train", "checkpoint_every", {"steps": 3, "epochs": None}, True),
    ("train", "optimizer", {"type": "sgd", "learning_rate": {"type": "power", "initial": 1, "every": {}}}, False),
    ("train", "threads", "auto", True),
    ("train", "threads", "many", False),
    ("train", "epochs", True, False),
]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())
    assert "name" not in schema()["required"]


@pytest.mark.parametrize(("section", "key", "value", "good"), VALUES)
def test_schema_and_load_agree(section: str, key: str, value: Any, good: bool) -> None:
    mapping = {**GOOD, section: {**GOOD.get(section, {}), key: value}}
    assert VALIDATOR.is_valid(mapping) == good
    if good:
        load_mapping(mapping)
    else:
        with pytest.raises(SpecError):
            load_mapping(mapping)


EXCLUSIVE = [
    ({"data": {"source": "digits", "limit": 5, "per_class": 1}}, False),
    ({"data": {"source": "digits", "limit": 5, "per_class": None}}, True),
    ({"transfer": {"from": "x", "freeze": "hidden1", "train": "outputs"}}, False),
    ({"transfer": {"from": "x", "freeze": None, "train": "outputs"}}, True),
]


@pytest.mark.parametrize(("sections", "good"), EXCLUSIVE)
def test_keys_that_exclude_each_other(sections: dict[str, Any], good: bool) -> None:
    assert VALIDATOR.is_valid({**GOOD, **sections}) == good
    if good:
        load_mapping({**GOOD, **sections})
    else:
        with pytest.raises(SpecError):
            load_mapping({**GOOD, **sections})


@pytest.mark.parametrize("name", configs())
def test_packaged_and_resolved_specs_fit(name: str) -> None:
    assert VALIDATOR.is_valid(yaml.safe_load(configs()[name].read_text("utf-8")))
    assert VALIDATOR.is_valid(yaml.safe_load(dump(load(name))))


def test_every_member_is_in_it_and_described() -> None:
    definitions = schema()["$defs"].values()
    described = {
        node["properties"]["type"]["const"]
        for node in definitions
        if "type" in node["properties"] and node["description"]
    }
    for family in families().values():
        assert set(members(family)) <= described
