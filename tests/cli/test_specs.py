"""The verbs about specs, as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("jax", "flax", "optax", "numpy", "sklearn", "pydantic", "rich", "yaml")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(tmp_path)


def dnnrun(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "dnnrun", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def loaded(*arguments: str) -> set[str]:
    """Which of the heavy packages a verb imports."""
    code = (
        "import sys\nfrom dnnrun.cli.app import main\ntry: main()\nexcept SystemExit: pass\n"
        f"sys.stderr.write(' '.join(m for m in {HEAVY} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["validate", "--help"], {"pydantic"}),
        (["ls"], {"pydantic"}),
        (["ls", "optimizers"], {"pydantic"}),
        (["ls", "configs"], {"pydantic"}),
        (["schema"], {"pydantic"}),
        (["validate", "digits"], {"pydantic", "yaml"}),
    ],
)
def test_a_verb_imports_only_what_it_needs(arguments: list[str], allowed: set[str]) -> None:
    assert loaded(*arguments) <= allowed


def test_version() -> None:
    assert dnnrun("--version").stdout == "dnnrun 0.1.0\n"


def test_validate() -> None:
    Path("good.yaml").write_text("data: {source: digits}\nmodel: {hidden: [3]}\n")
    Path("bad.yaml").write_text("data: {source: digits}\nmodel:\n  hidden: [0]\n  activaton: elu\n")
    assert dnnrun("validate", "good.yaml", "digits").stdout == "good.yaml: valid\ndigits: valid\n"
    done = dnnrun("validate", "bad.yaml", "good.yaml", "train.epochs=0", code=2)
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "bad.yaml:3:12: model.hidden.0: found 0, wanted more than 0",
        "bad.yaml:4:3: model.activaton: unknown key; did you mean 'activation'?",
        "override 'train.epochs=0': train.epochs: found 0, wanted more than 0",
    ]


def test_validate_in_json() -> None:
    assert json.loads(dnnrun("validate", "--json", "digits").stdout) == {"valid": True, "problems": []}
    done = dnnrun("validate", "--json", "digits", "seed=x", code=2)
    message = "override 'seed=x': seed: found 'x' (a text), wanted a whole number"
    assert json.loads(done.stdout) == {"valid": False, "problems": [message]}
    assert done.stderr == f"{message}\n"


def test_validate_wants_a_spec() -> None:
    assert "no spec" in dnnrun("validate", "seed=1", code=2).stderr


def test_ls() -> None:
    kinds = json.loads(dnnrun("ls", "--json").stdout)
    assert {"relu", "elu"} <= set(kinds["activations"])
    assert "digits" in kinds["configs"]
    assert all(kinds.values())
    assert [line.split()[0] for line in dnnrun("ls").stdout.splitlines()] == list(kinds)


def test_ls_of_a_kind() -> None:
    (leaky,) = [row for row in json.loads(dnnrun("ls", "activations", "--json").stdout) if row["name"] == "leaky_relu"]
    assert leaky["summary"]
    assert leaky["options"][0]["name"] == "slope"
    assert "slope=0.01" in dnnrun("ls", "activations").stdout
    assert "did you mean 'optimizers'?" in dnnrun("ls", "optimizer", code=2).stderr


def test_cp() -> None:
    assert dnnrun("cp", "digits", "mine.yaml").stderr == "copied digits to mine.yaml\n"
    assert dnnrun("validate", "mine.yaml").stdout == "mine.yaml: valid\n"
    again = dnnrun("cp", "digits", "mine.yaml", code=2)
    assert again.stderr == "error: mine.yaml exists already; choose another name, or replace it with --force\n"
    dnnrun("cp", "digits", "mine.yaml", "--force")
    assert json.loads(dnnrun("cp", "digits", ".", "--json").stdout) == {"config": "digits", "path": "digits.yaml"}
    wrong = dnnrun("cp", "digts", "x.yaml", code=2)
    assert wrong.stderr == "error: no packaged spec is called 'digts'; did you mean 'digits'?\n"


def test_schema() -> None:
    assert json.loads(dnnrun("schema").stdout)["title"] == "dnnrun spec"


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m dnnrun schema | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_a_terminal_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert dnnrun("validate", "digits", "name=\u65e5", code=2).stderr.startswith("override 'name=\\u65e5': name: ")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_stays_without_words(closed: str) -> None:
    for verb, code in (("schema", 0), ("validate no-such-spec", 2)):
        done = subprocess.run(
            f"{sys.executable} -m dnnrun {verb} {closed}", shell=True, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr


def test_a_file_opened_later_never_gets_the_number_of_a_closed_stream() -> None:
    code = "import os; from dnnrun.cli.output import stand_in; stand_in(); assert os.open('/dev/null', os.O_RDONLY) > 2"
    assert subprocess.run(f'{sys.executable} -c "{code}" <&- >&- 2>&-', shell=True, timeout=60).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", ["schema", "--help"])
def test_output_that_cannot_be_written_is_an_error(arguments: str) -> None:
    command = f"{sys.executable} -m dnnrun {arguments} >/dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "error: the output: No space left on device\n")
