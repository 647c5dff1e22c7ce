"""Every bad spec has its exact message."""
# ruff: noqa: E501 (a row is a line)

from __future__ import annotations

from pathlib import Path

import pytest

from dnnrun.errors import SpecError
from dnnrun.spec.load import load
from dnnrun.spec.schema import Shape

DENSE_ONLY = "dnnrun builds dense networks only: convolutional, recurrent and text models are not built"
ENTRY = "a whole number of more than 0 or a mapping of units, activation, initializer, batch_norm, dropout, bias"
DATA = "data: {source: digits}\n"
MODEL = "model: {hidden: [3]}\n"
GOOD = DATA + MODEL


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(text: str | bytes, *overrides: str) -> list[str]:
    Path("spec.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SpecError) as caught:
        load("spec.yaml", overrides)
    return list(caught.value.problems)


# (what, the text after a good data section or as a whole, the message after `spec.yaml`)
VALUES = [
    ("unknown key", "model:\n  hidden: [3]\n  activaton: elu\n", ":4:3: model.activaton: unknown key; did you mean 'activation'?"),
    ("key of a section", "model: {hidden: [3], epochs: 3}\n", ":2:22: model.epochs: unknown key; epochs belongs to train or pretrain"),
    ("key of a part", MODEL + "train: {learning_rate: 1}\n", ":3:9: train.learning_rate: unknown key; learning_rate belongs to train.optimizer or pretrain.optimizer"),
    ("section in a section", "model: {hidden: [3], seed: 3}\n", ":2:22: model.seed: unknown key; seed belongs to the top level"),
    ("key like nothing", "model: {hidden: [3], dropout: {zzz: 1}}\n", ":2:32: model.dropout.zzz: unknown key; known here: hidden, input"),
    ("key of a component", "model: {hidden: [3], activation: {type: elu, alpa: 2}}\n", ":2:46: model.activation.alpa: unknown key; did you mean 'alpha'?"),
    ("boolean as number", MODEL + "train: {epochs: true}\n", ":3:17: train.epochs: found true (a boolean), wanted a whole number"),
    ("fraction as whole", MODEL + "train: {epochs: 1.5}\n", ":3:17: train.epochs: found 1.5 (a number), wanted a whole number"),
    ("whole float", MODEL + "train: {epochs: 1e2}\n", ":3:17: train.epochs: found 100.0 (a number), wanted a whole number"),
    ("text as number", MODEL + "train: {l1: little}\n", ":3:13: train.l1: found 'little' (a text), wanted a number"),
    ("list as number", MODEL + "train: {l1: [1]}\n", ":3:13: train.l1: found a list, wanted a number"),
    ("null as number", MODEL + "train: {l1: }\n", ":3:12: train.l1: found null, wanted a number"),
    ("zero", MODEL + "train: {epochs: 0}\n", ":3:17: train.epochs: found 0, wanted more than 0"),
    ("negative", MODEL + "train: {batch_size: -3}\n", ":3:21: train.batch_size: found -3, wanted more than 0"),
    ("large seed", MODEL + "seed: 9223372036854775808\n", ":3:7: seed: found 9223372036854775808, wanted less than 9223372036854775808"),
    ("no such choice", MODEL + "train: {device: tpuu}\n", ":3:17: train.device: found 'tpuu' (a text), wanted auto, cpu, gpu or tpu"),
    ("a union", MODEL + "train: {threads: 0}\n", ":3:18: train.threads: found 0 (a whole number), wanted auto or a whole number of more than 0"),
    ("grouped digits", MODEL + "train: {batch_size: 1_000}\n", ":3:21: train.batch_size: found '1_000' (a text), wanted a whole number; digits are not grouped: write 1000"),
    ("hexadecimal", "model: {hidden: [3]}\nseed: 0x10\n", ":3:7: seed: found '0x10' (a text), wanted a whole number; numbers are decimal: write 16"),
    ("leading zero", MODEL + "seed: 010\n", ":3:7: seed: found '010' (a text), wanted a whole number; numbers have no leading zeros: write 10"),
    ("no exponent", MODEL + "train: {l1: 1e}\n", ":3:13: train.l1: found '1e' (a text), wanted a number; the exponent has no digits: write it as 1e-3"),
    ("decimal comma", MODEL + "train:\n  l1: 0,5\n", ":4:7: train.l1: found '0,5' (a text), wanted a number; write a decimal point: 0.5"),
    ("percent", MODEL + "train: {l1: 20%}\n", ":3:13: train.l1: found '20%' (a text), wanted a number; write a fraction instead of percent: 0.2"),
    ("quoted number", MODEL + "seed: '5'\n", ":3:7: seed: found '5' (a text), wanted a whole number; remove the quotes"),
    ("yes", "model: {hidden: [3], bias: yes}\n", ":2:28: model.bias: found 'yes' (a text), wanted true or false; write true"),
    ("off", "model: {hidden: [3], bias: off}\n", ":2:28: model.bias: found 'off' (a text), wanted true or false; write false"),
    ("number as name", MODEL + "name: 2024\n", ":3:7: name: found 2024 (a whole number), wanted a text; put it in quotes: '2024'"),
    ("bad name", MODEL + "name: a/b\n", ":3:7: name: found 'a/b' (a text), wanted 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit"),
    ("no units", "model: {hidden: [3, {dropout: .1}]}\n", ":2:21: model.hidden.1.units: missing; wanted a whole number of more than 0"),
    ("zero units", "model: {hidden: [3, 0]}\n", ":2:21: model.hidden.1: found 0, wanted more than 0"),
    ("negative units", "model: {hidden: [{units: -1}]}\n", ":2:26: model.hidden.0.units: found -1, wanted more than 0"),
    ("text as entry", "model: {hidden: [big]}\n", f":2:18: model.hidden.0: found 'big' (a text), wanted {ENTRY}"),
    ("number as list", "model: {hidden: 3}\n", ":2:17: model.hidden: found 3 (a whole number), wanted a list"),
    ("no list", "model: {}\n", ":2:1: model.hidden: missing; wanted a list"),
    ("inside a union", "model: {hidden: [3], batch_norm: {momentum: 1}}\n", ":2:45: model.batch_norm.momentum: found 1, wanted less than 1"),
    ("shorthand", "model: {hidden: [3], dropout: 1.5}\n", ":2:31: model.dropout: found 1.5, wanted less than 1"),
    ("rule", MODEL + "train: {checkpoint_every: {steps: 1, epochs: 1}}\n", ":3:9: train.checkpoint_every: wanted exactly one of seconds, steps and epochs, as {seconds: 30}"),
    ("unknown name", "model: {hidden: [3], activation: rleu}\n", ":2:34: model.activation: unknown activation 'rleu'; did you mean 'relu'?"),
    ("unknown type", "model: {hidden: [{units: 3, activation: {type: ReLU}}]}\n", ":2:48: model.hidden.0.activation.type: unknown activation 'ReLU'; did you mean 'relu'?"),
    ("rate", MODEL + "train: {optimizer: {type: sgd, learning_rate: -1}}\n", ":3:47: train.optimizer.learning_rate: found -1, wanted more than 0"),
    ("tag like a key", MODEL + "train: {optimizer: {type: momentum, momentum: no}}\n", ":3:47: train.optimizer.momentum: found 'no' (a text), wanted a number"),
    ("convolution", "model: {hidden: [3], conv: [32]}\n", f":2:22: model.conv: unknown key; {DENSE_ONLY}"),
    ("no space after a colon", "model: {hidden: [3]}\ntrain: {epochs:3}\n", ":3:9: train.'epochs:3': unknown key; YAML wants a space after ':': write epochs: 3"),
    ("a list of layers", "model: {hidden: [3], layers: [{type: conv2d}]}\n", f":2:22: model.layers: unknown key; {DENSE_ONLY}"),
    ("kernel size", "model: {hidden: [{units: 3, kernel_size: 3}]}\n", f":2:29: model.hidden.0.kernel_size: unknown key; {DENSE_ONLY}"),
    ("lstm", "model: {hidden: [lstm]}\n", f":2:18: model.hidden.0: found 'lstm' (a text), wanted {ENTRY}; {DENSE_ONLY}"),
    ("duplicate key", MODEL + "seed: 1\nseed: 2\n", ":4:1: seed: given twice, first at line 3, column 1; remove one of them"),
    ("anchor", MODEL + "seed: &a 1\n", ":3:7: seed: found the anchor &a; anchors are not accepted: remove it"),
    ("alias", MODEL + "seed: *a\n", ":3:7: seed: found the alias *a; aliases are not accepted: write the value again"),
    ("merge key", MODEL + "train: {<<: {epochs: 3}}\n", ":3:9: train: found a merge key; merge keys are not accepted: write the keys out"),
    ("tag", MODEL + "seed: !!python/name:os.system 1\n", ":3:7: seed: found the tag 'tag:yaml.org,2002:python/name:os.system'; tags are not accepted: remove it"),
    ("nan", MODEL + "train: {l1: .nan}\n", ":3:13: train.l1: found .nan, wanted a finite number"),
    ("inf", MODEL + "train: {l1: -.inf}\n", ":3:13: train.l1: found -.inf, wanted a finite number"),
    ("too large", MODEL + "train: {l1: 1e999}\n", ":3:13: train.l1: found '1e999', wanted a number below 1e308"),
    ("number as key", MODEL + "1: 2\n", ":3:1: found the key 1 (a whole number), wanted a text as key"),
    ("list as key", MODEL + "? [a]\n: 2\n", ":3:3: found a list or a mapping as key, wanted a text; put brackets that are text in quotes"),
    ("tab", "model:\n\thidden: [3]\n", ":3:1: found a tab; YAML is indented with spaces"),
    ("open bracket", "model: {hidden: [3\n", ":3:1: not YAML: the text ends before the bracket or quote of line 2, column 17, is closed"),
    ("indentation", "model:\n   hidden: [3]\n  bias: true\n", ":4:3: not YAML: this does not line up with the lines above; check the indentation"),
    ("second document", MODEL + "---\na: 1\n", ":3:1: a second document begins; a spec is one document"),
    ("control character", "model: \x07\n", ":2:8: the character U+0007 is not allowed in YAML"),
    ("depth", "model: " + "[" * 60, ":2:57: nested more than 50 levels deep"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_bad_text(text: str, message: str) -> None:
    assert problems(DATA + text) == [f"spec.yaml{message}"]


FILES = [
    ("empty", b"", ": empty; wanted a spec with data and model"),
    ("comments only", b"# nothing\n", ": empty; wanted a spec with data and model"),
    ("a list", b"- 1\n", ":1:1: found a list, wanted a mapping with data and model"),
    ("a text", b"hello\n", ":1:1: found 'hello' (a text), wanted a mapping with data and model"),
    ("binary", b"PK\x03\x04\x00\x00", ": not a text: byte 4 is 0x00; wanted YAML in UTF-8"),
    ("latin-1", b"name: caf\xe9\n", ": not a text: byte 9 is 0xe9, which is not UTF-8; wanted YAML in UTF-8"),
    ("2 MB", b"# " + b"x" * 2_000_000, ": larger than 1 MB; a spec is a short text"),
    ("deep", b"[" * 900_000, ":1:51: nested more than 50 levels deep"),
]


@pytest.mark.parametrize(("content", "message"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_bad_file(content: bytes, message: str) -> None:
    assert problems(content) == [f"spec.yaml{message}"]


def test_missing_sections_are_told_at_the_top() -> None:
    assert [line.partition(" wanted")[0] for line in problems("seed: 1\n")] == [
        "spec.yaml:1:1: data: missing;",
        "spec.yaml:1:1: model: missing;",
    ]


def test_missing_type_lists_the_choice() -> None:
    (told,) = problems(GOOD + "train: {optimizer: {learning_rate: .1}}\n")
    assert told.startswith("spec.yaml:3:9: train.optimizer.type: missing; wanted one of: ")
    assert "momentum" in told


def test_a_rate_that_is_no_number() -> None:
    (told,) = problems(GOOD + "train: {optimizer: {type: sgd, learning_rate: 1e}}\n")
    assert told.startswith("spec.yaml:3:47: train.optimizer.learning_rate: found '1e' (a text), wanted ")
    assert told.endswith("; the exponent has no digits: write it as 1e-3")


def test_unlike_anything_lists_what_there_is() -> None:
    (told,) = problems(DATA + "model: {hidden: [3], activation: zzzzzz}\n")
    assert told.startswith("spec.yaml:2:34: model.activation: unknown activation 'zzzzzz'; wanted one of: ")


OVERRIDES = [
    ("train", "'train': no '='; wanted key=value, as train.epochs=10"),
    ("=3", "'=3': no key before '='; wanted key=value, as train.epochs=10"),
    ("train..epochs=3", "'train..epochs=3': the key 'train..epochs' has an empty part; wanted names joined by single dots"),
    ("seed=", "'seed=': no value after '='; write seed=null for none, or seed='' for an empty text"),
    ("seed=[1", "'seed=[1': not YAML: the text ends before the bracket or quote is closed"),
    ("seed=*a", "'seed=*a': seed: found the alias *a; aliases are not accepted: write the value again"),
    ("train.l1=.inf", "'train.l1=.inf': train.l1: found .inf, wanted a finite number"),
    ("train.epochs=x", "'train.epochs=x': train.epochs: found 'x' (a text), wanted a whole number"),
    ("train.epochs=1_000", "'train.epochs=1_000': train.epochs: found '1_000' (a text), wanted a whole number; digits are not grouped: write 1000"),
    ("trian.epochs=3", "'trian.epochs=3': trian: unknown key; did you mean 'train'?"),
    ("train.epoch=3", "'train.epoch=3': train.epoch: unknown key; did you mean 'epochs'?"),
    ("model.hidden.1=3", "'model.hidden.1=3': no entry 1: the length of model.hidden is 1, 0 to 0"),
    ("model.hidden.x=3", "'model.hidden.x=3': model.hidden is a list; wanted the number of an entry instead of 'x'"),
    ("model.hidden.0.units=3", "'model.hidden.0.units=3': model.hidden.0 is 3 (a whole number), which has no keys; set model.hidden.0={...} whole"),
    ("model.activation.type=rleu", "'model.activation.type=rleu': model.activation.type: unknown activation 'rleu'; did you mean 'relu'?"),
    ("name.x=3", "'name.x=3': name: found a mapping, wanted a text"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "message"), OVERRIDES)
def test_bad_override(override: str, message: str) -> None:
    assert problems("name: n\n" + GOOD, override) == [f"override {message}"]


def test_everything_is_told_at_once_in_order() -> None:
    text = "seed: -1\ndata: {source: digits, limit: 0}\nmodel: {hidden: [0], bias: 1}\ntrain: {epochs: .nan, qq: 1}\nseed: x\n"
    assert problems(text, "train.l1=x", "train.l2=-1", "oops") == [
        "spec.yaml:2:31: data.limit: found 0, wanted at least 1",
        "spec.yaml:3:18: model.hidden.0: found 0, wanted more than 0",
        "spec.yaml:3:28: model.bias: found 1 (a whole number), wanted true or false",
        "spec.yaml:4:17: train.epochs: found .nan, wanted a finite number",
        next(line for line in problems(text) if "train.qq" in line),
        "spec.yaml:5:1: seed: given twice, first at line 1, column 1; remove one of them",
        "spec.yaml:5:7: seed: found 'x' (a text), wanted a whole number",
        "override 'train.l1=x': train.l1: found 'x' (a text), wanted a number",
        "override 'train.l2=-1': train.l2: found -1, wanted at least 0",
        "override 'oops': no '='; wanted key=value, as train.epochs=10",
    ]


# (the override, what is said after its text)
PLACES = [
    ("data.classes=[3]", "data.classes: found 1 entry, wanted at least 2"),
    ("data.classes=[]", "data.classes: found 0 entries, wanted at least 2"),
    ("data.classes=[3, '3']", "data.classes: '3' stands there twice; name each class once"),
    ("data.augment={}", "data.augment: nothing to change; wanted shift, flip or noise, as {shift: 2}, or no augment at all"),
    ("data.augment={noise: 0.1, fill: edge}", "data.augment: fill is of what a shift lets in, and there is no shift; leave it out, or add one"),
    ("data.augment={flip: sideways}", "data.augment.flip: found 'sideways' (a text), wanted horizontal, vertical, both or null"),
    ("data.source={type: npz, path: a.npz, test_labels: b}", "data.source: test_features and test_labels belong together; name both arrays, or neither"),
    ("data.source={type: npy, features: x.npy}", "data.source.labels: missing; wanted a text or a list"),
    ("data.source={type: images, path: x, size: [28]}", "data.source.size: found 1 entry, wanted at least 2"),
    ("transfer={from: []}", "transfer.from: found 0 entries, wanted at least 1"),
    ("transfer={from: x, unfreeze: 3}", "transfer.unfreeze: found 3 (a whole number), wanted a mapping"),
    ("transfer={from: x, unfreeze: {h: 0}}", "transfer.unfreeze.h: found 0 (a whole number), wanted a whole number of more than 0 or a mapping of stalled"),
    ("transfer={from: x, unfreeze: {h: {stall: 1, stalled: 1}}}", "transfer.unfreeze.h.stall: unknown key; did you mean 'stalled'?"),
    ("transfer={from: x, rates: {h: 0.0}}", "transfer.rates.h: found 0.0, wanted more than 0"),
    ("transfer={from: x, rename: {h: 3}}", "transfer.rename.h: found 3 (a whole number), wanted a text; put it in quotes: '3'"),
    ("transfer={from: x, cache: true}", "transfer.cache: found true (a boolean), wanted auto, on or off"),
    ("transfer={from: x, reuse: 'a{99999999999}'}", "transfer.reuse: 'a{99999999999}' is no regular expression: the repetition number is too large"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "message"), PLACES)
def test_lists_and_free_keys(override: str, message: str) -> None:
    (problem,) = problems("name: n\n" + GOOD, override)
    assert problem.endswith(f": {message}")


def test_a_pattern_nested_without_end() -> None:
    (problem,) = problems(GOOD, f"transfer={{from: x, reuse: '{'(' * 5000}'}}")
    assert f"transfer.reuse: '{'(' * 57}...' is no regular expression: " in problem


def test_brackets_in_brackets_are_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    Path("spec.yaml").write_text(GOOD + "transfer: {from: x, reuse: '[[h]idden1'}\n")
    load("spec.yaml")
    assert not recwarn.list


def test_a_long_text_keeps_its_closing_quote() -> None:
    assert problems(GOOD + f"train: {{epochs: {'e' * 70}}}\n") == [
        f"spec.yaml:3:17: train.epochs: found '{'e' * 57}...' (a text), wanted a whole number"
    ]


def test_many_unknown_keys_take_no_search_of_the_schema_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, alternatives = [], Shape.alternatives
    monkeypatch.setattr(Shape, "alternatives", lambda self, node: asked.append(node) or alternatives(self, node))
    found = problems(GOOD + "train:\n" + "".join(f"  k{number}: 1\n" for number in range(500)))
    assert len(found) == 500
    assert len(asked) < 30_000


def test_a_folder_is_no_spec() -> None:
    Path("folder").mkdir()
    with pytest.raises(SpecError, match=r"^folder: a folder; wanted a spec file$"):
        load("folder")


def test_a_missing_file_names_its_neighbours() -> None:
    Path("mnist.yaml").write_text(GOOD)
    with pytest.raises(SpecError, match=r"^mnits.yaml: no such spec; did you mean 'mnist.yaml'\?$"):
        load("mnits.yaml")
    with pytest.raises(SpecError, match=r"^digts: no such spec; did you mean 'digits'\?$"):
        load("digts")
    with pytest.raises(SpecError, match=r'^"a\\u0000b": no such spec'):
        load("a\0b")
