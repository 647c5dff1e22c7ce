"""What the documentation shows is so: commands, specs, keys, components, configs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from dnnrun.cli.app import GROUPS, VERBS, app
from dnnrun.errors import SpecError
from dnnrun.spec.library import configs, headline
from dnnrun.spec.load import load
from dnnrun.spec.override import split_arguments
from dnnrun.spec.schema import Shape, schema

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
COMMAND = typer.main.get_command(app)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page that are marked as `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every dnnrun command of the pages' sh blocks and of the configs' headers: where it stands, its words."""
    texts = [(page, block) for page in PAGES for block in blocks(page, "sh")]
    texts += [(path, header(path).replace("# ", "")) for path in configs().values()]
    for page, text in texts:
        for line in text.splitlines():
            if re.match(r"\s*(\S+/)?dnnrun ", line):
                words = shlex.split(line, comments=True)
                cut = next((at for at, word in enumerate(words) if word in (">", "|", "&&")), len(words))
                yield f"{page.relative_to(ROOT)}: {line.strip()}", words[1:cut]


def header(path: Path) -> str:
    """The comment that a config begins with."""
    lines = path.read_text("utf-8").splitlines()
    return "\n".join(lines[: next(at for at, line in enumerate(lines) if not line.startswith("#"))])


SHOWN = dict(commands())


@pytest.mark.parametrize("words", SHOWN.values(), ids=SHOWN)
def test_a_shown_command_is_one(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if words[0].startswith("--"):
        assert words[0] in {name for option in COMMAND.params for name in option.opts}
        return
    verb = COMMAND.commands[words[0]]  # type: ignore[attr-defined]
    if words[0] in GROUPS:
        verb.commands[words[1]].make_context(words[1], words[2:])
        return
    options = verb.make_context(words[0], words[1:]).params  # ends the test where it does not parse
    if words[0] in ("train", "pretrain", "transfer", "show"):
        load(options["spec"], options["overrides"] or ())
    elif words[0] == "validate":
        specs, overrides = split_arguments(options["arguments"])
        assert [load(spec, overrides) for spec in specs]


def test_every_verb_is_shown() -> None:
    assert set(VERBS) == {words[0] for words in SHOWN.values()} & set(VERBS)
    shown = {words[1] for words in SHOWN.values() if words[0] == "zoo"}
    assert shown == set(COMMAND.commands["zoo"].commands)  # type: ignore[attr-defined]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [verb for verb in VERBS if f"dnnrun {verb}" not in readme] == []


def test_every_option_is_told() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    verbs = list(COMMAND.commands.values())  # type: ignore[attr-defined]
    verbs += [inner for name in GROUPS for inner in COMMAND.commands[name].commands.values()]  # type: ignore[attr-defined]
    told = {name for verb in verbs for option in verb.params for name in option.opts if name.startswith("--")}
    assert sorted(name for name in told - {"--help"} if name not in text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert "://" in target or (page.parent / target).exists(), target
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")
    for number, block in enumerate(blocks(page, "yaml")):
        if "typo.yaml" not in text or "digit," not in block:
            (tmp_path / f"{number}.yaml").write_text(block)
            load(tmp_path / f"{number}.yaml")


def test_the_shown_error_is_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (spec,) = [block for block in blocks(ROOT / "README.md", "yaml") if "digit," in block]
    (shown,) = [block for block in blocks(ROOT / "README.md", "text") if "typo.yaml" in block]
    Path("typo.yaml").write_text(spec)
    with pytest.raises(SpecError) as caught:
        load("typo.yaml")
    assert str(caught.value) == shown.strip()


def spec_keys() -> set[str]:
    """Every key of a spec by its dotted path, down to where a component begins. Entries of lists have no number."""
    shape, found = Shape(schema()), set()
    queue = [("", shape.root)]
    while queue:
        path, node = queue.pop()
        for place in shape.alternatives(node):
            if "family" in place:
                continue
            queue += [(path, place["items"])] if "items" in place else []
            queue += [(f"{path}.{name}".lstrip("."), inner) for name, inner in place.get("properties", {}).items()]
        if path:
            found.add(path)
    return found


def test_spec_keys_are_those_of_the_page() -> None:
    pages = [ROOT / "docs" / name for name in ("spec.md", "transfer.md", "sweep.md")]
    rows = {
        key for page in pages for key in re.findall(r"^\| `([a-z0-9_.]+)` \|", page.read_text("utf-8"), re.MULTILINE)
    }
    wanted = {key for key in spec_keys() if not key.startswith("model.hidden.batch_norm.")}  # as model.batch_norm
    assert rows == wanted


def test_components_page_is_current() -> None:
    done = subprocess.run([sys.executable, "docs/components.py", "--check"], cwd=ROOT, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 0, "run python docs/components.py"


def test_the_shown_component_works() -> None:
    """In a process of its own, where no other component has been looked for yet."""
    (example,) = blocks(ROOT / "docs" / "extending.md", "python")
    more = """
from dnnrun.component import members
from dnnrun.spec.load import load_mapping
given = {"data": {"source": "digits"}, "model": {"hidden": [3], "activation": {"type": "swish", "beta": 2}}}
swish = load_mapping(given).model.activation
assert swish == Swish(beta=2) and members(Activation)["swish"] is Swish
assert abs(float(swish.build()(1.0)) - 0.8807970779778823) < 1e-6
"""
    done = subprocess.run(
        [sys.executable, "-c", example + more],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", configs())
def test_a_config_validates(name: str) -> None:
    load(configs()[name])


@pytest.mark.parametrize("name", list(configs()))
def test_a_config_has_its_header(name: str) -> None:
    path, told = configs()[name], header(configs()[name])
    assert headline(path)
    verb = "sweep" if load(path).sweep else "(train|pretrain|diagnose)"
    assert re.search(rf"dnnrun {verb} configs/{name}\.yaml", told)
    for word in ("published:", "measured:", "seconds:"):
        assert f"\n# {word}" in told, word
    assert max(map(len, told.splitlines())) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.name in ("README.md", "python.md", "runs.md")])
def test_shown_python_runs(page: Path, tmp_path: Path) -> None:
    train = [sys.executable, "-m", "dnnrun", "train", "digits", "train.epochs=2"]
    subprocess.run(train, cwd=tmp_path, env=ENVIRONMENT, check=True)
    for block in blocks(page, "python"):
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=ENVIRONMENT, check=True)
