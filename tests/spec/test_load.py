"""Specs are read as written, and written as they read back."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnrun.errors import SpecError
from dnnrun.spec.library import configs
from dnnrun.spec.load import default_name, dump, find, load, load_mapping
from dnnrun.spec.override import split_arguments
from dnnrun.spec.text import parse, resolve

GOOD: dict[str, Any] = {"data": {"source": "digits"}, "model": {"hidden": [3]}}

SCALARS = [
    ("1e-3", 1e-3), ("1E5", 1e5), (".5", 0.5), ("5.", 5.0), ("-1.5e+3", -1500.0), ("+3", 3), ("0", 0), ("-0", 0),
    ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
    ("True", "True"), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("010", "010"), ("0x1F", "0x1F"),
    ("0o17", "0o17"), ("1_000", "1_000"), ("1e", "1e"), ("2001-12-14", "2001-12-14"), ("12:30", "12:30"), (".", "."),
    ("=", "="), ("1.2.3", "1.2.3"), ("9" * 400, "9" * 400), ("1e999", "1e999"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_marks_count_from_one() -> None:
    tree = parse("a:\n  - b: [1,  two]\n", "x")
    assert tree.value == {"a": [{"b": [1, "two"]}]}
    assert tree.keys[("a", 0, "b")] == (2, 5)
    assert tree.values[("a", 0, "b", 1)] == (2, 13)


@pytest.mark.parametrize("text", ["\ufeffa: 1\n", "a: 1\r\n", "---\na: 1\n", "%YAML 1.2\n---\na: 1\n...\n"])
def test_files_of_other_editors_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_bytes(text.encode())
    with pytest.raises(SpecError, match="a: unknown key"):
        load(tmp_path / "s.yaml")


def test_name_is_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "my spec (2).yaml"
    path.write_text("data: {source: digits}\nmodel: {hidden: [3]}\n")
    assert load(path).name == "my-spec--2-"
    assert load(path, ["name=other"]).name == "other"
    assert default_name(Path("日本.yaml")) == "unnamed"
    assert len(default_name(Path("x" * 100))) == 64


OVERRIDES: list[tuple[list[str], str, Any]] = [
    (["train.epochs=7"], "train.epochs", 7),
    (["train.epochs=7", "train.epochs=8"], "train.epochs", 8),
    (["model.hidden=[100,50]"], "model.hidden.1.units", 50),
    (["model.hidden.0=9"], "model.hidden.0.units", 9),
    (["model.hidden.0={units: 4, activation: tanh}"], "model.hidden.0.activation.type", "tanh"),
    (["train.clip={type: value, threshold: 2}"], "train.clip.threshold", 2.0),
    (["train.clip.type=value", "train.clip.threshold=3"], "train.clip.threshold", 3.0),
    (["train.clip=value", "train.clip=null"], "train.clip", None),
    (["train.optimizer=sgd", "train.optimizer.learning_rate=1e-3"], "train.optimizer.learning_rate.value", 1e-3),
    (["model.activation=elu", "model.activation.alpha=2"], "model.activation.alpha", 2.0),
    (["name='5'"], "name", "5"),
]


@pytest.mark.parametrize(("overrides", "path", "value"), OVERRIDES)
def test_overrides(overrides: list[str], path: str, value: Any) -> None:
    found: Any = load_mapping(GOOD, overrides)
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    assert found == value


def test_an_override_repairs_the_file(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("data: {source: digits, limit: -1}\nmodel: {hidden: [3]}\ntrain: {l1: x}\n")
    assert load(tmp_path / "s.yaml", ["data.limit=5", "train.l1=0"]).data.limit == 5


def test_the_mapping_is_left_as_it_was() -> None:
    load_mapping(GOOD, ["train.epochs=3", "model.hidden.0=7"])
    assert GOOD == {"data": {"source": "digits"}, "model": {"hidden": [3]}}


MAPPINGS = [
    ({**GOOD, "sede": 1}, ["api: sede: unknown key; did you mean 'seed'?"]),
    ({**GOOD, 3: 1}, ["api: found the key 3, wanted a text as key"]),
    ({**GOOD, "train": {"l1": math.nan}}, ["api: train.l1: found NaN (a number), wanted a finite number"]),
    ({**GOOD, "model": {"hidden": (3, 0)}}, ["api: model.hidden.1: found 0, wanted more than 0"]),
    ([1], ["api: found a list, wanted a mapping with data and model"]),
]


@pytest.mark.parametrize(("mapping", "problems"), MAPPINGS)
def test_bad_mappings(mapping: Any, problems: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        load_mapping(mapping, where="api")
    assert list(caught.value.problems) == problems


def test_a_mapping_that_holds_itself() -> None:
    loop: dict[str, Any] = {}
    loop["data"] = loop
    with pytest.raises(SpecError, match=r"^spec: nested more than 50 levels deep$"):
        load_mapping(loop)


ROUND_TRIPS = [
    [],
    ["train.optimizer={type: sgd, learning_rate: 1e-07}", "train.l2=1e22", "name='1e5'", "seed=9223372036854775807"],
    ["model.hidden=[3, {units: 4, activation: {type: leaky_relu, slope: .5}, batch_norm: false, bias: false}]"],
    [
        "model.batch_norm=true",
        "model.dropout={input: .1, hidden: .2}",
        "train.clip=value",
        "name='null'",
        "model.hidden=[]",
    ],
    ["data.classes=[1, '2', 'yes', '1_0', '0x1', 'a: b', \"it's\", '', '~', '\\n']", "data.per_class={validation: 3}"],
    ["train.checkpoint_every={epochs: 2}", "train.early_stopping={patience: 3}", "data.validation=500", "name=no"],
]


@pytest.mark.parametrize("overrides", ROUND_TRIPS)
def test_dump_reads_back(tmp_path: Path, overrides: list[str]) -> None:
    spec = load_mapping(GOOD, overrides)
    (tmp_path / "s.yaml").write_text(dump(spec), "utf-8")
    again = load(tmp_path / "s.yaml")
    assert again == spec
    assert dump(again) == dump(spec)


def test_dump_writes_floats_as_floats() -> None:
    text = dump(load_mapping(GOOD, ["train.l1=1e-7", "train.l2=1"]))
    assert "l1: 1.0e-07" in text
    assert "l2: 1.0\n" in text


@pytest.mark.parametrize("name", configs())
def test_packaged_specs_are_valid(name: str) -> None:
    assert load(name).name
    assert find(name) == configs()[name]


def test_a_file_goes_before_a_packaged_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").write_text("")
    assert find("digits") == Path("digits")


def test_overrides_are_told_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b").write_text("")
    arguments = ["digits", "a.b=1", "runs/x=1.yaml", "a=b", "=3", "data.path=/x/y"]
    assert split_arguments(arguments) == (["digits", "runs/x=1.yaml", "a=b"], ["a.b=1", "=3", "data.path=/x/y"])


SNIPPETS = [
    "a",
    "1",
    "- ",
    ": ",
    ":",
    "\n",
    "\n  ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "!",
    "'",
    '"',
    "#",
    "\t",
    "|",
]
SNIPPETS += [">", "?", "<<", "---", "...", "%", "1e3", ".nan", "\\U", "\x85", "é", "model", "hidden", "\x00", "\ud800"]


def problems_of(call: Callable[[], Any]) -> list[str]:
    """The problems of a call that works or raises SpecError, and nothing else; each is one line."""
    try:
        call()
    except SpecError as error:
        problems = list(error.problems)
    else:
        problems = []
    assert not any("\n" in problem for problem in problems)
    return problems


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SNIPPETS), max_size=20).map("".join) | st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    problems_of(lambda: parse(text, "x"))
    problems_of(lambda: load_mapping(GOOD, [text, f"model.hidden={text}", f"{text}=1"]))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["elu", "sgd", "1e", "no"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "units", "value", "alpha", "elu", "x.y", "learning_rate", "\n"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
KEYS = ["name", "data.source", "data.validation", "data.classes", "data.per_class", "model.hidden", "model.activation",
        "model.batch_norm", "model.dropout", "train.optimizer", "train.clip", "train.threads", "train.checkpoint_every",
        "train", "model.zz", "data"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KEYS), VALUES)
def test_any_value_is_taken_or_refused(key: str, value: Any) -> None:
    section, _, name = key.partition(".")
    mapping = {**GOOD, section: {**GOOD.get(section, {}), name: value} if name else value}
    if not problems_of(lambda: load_mapping(mapping)):
        spec = load_mapping(mapping)
        assert load_mapping(spec.model_dump()) == spec
