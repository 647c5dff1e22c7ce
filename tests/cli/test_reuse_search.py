"""The verb reuse-search as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dnnrun.store.run import runs_of
from tests.smallruns import command, environment, finished
from tests.transfer.sources import written

NEW = """\
data: {source: digits}
model: {hidden: [12, 10]}
train: {optimizer: {type: adam, learning_rate: 0.01}, batch_size: 100, epochs: 3}
"""
SEARCH = ("reuse-search", "new.yaml", "--from", "runs/source")
SMALL = (*SEARCH, "--depths", "1", "--unfreeze", "0,all", "--variants", "dropped", "--seeds", "3", "--confirm", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a spec and a source that was never trained."""
    written(tmp_path / "runs", "source", {"hidden": [12, 10]})
    (tmp_path / "new.yaml").write_text(NEW)
    return tmp_path


def test_killed_it_resumes_to_every_trial_once_with_one_cache_for_all_seeds(folder: Path, compiled: Path) -> None:
    there = {**environment(compiled), "DNNRUN_CACHE": str(folder / "cache")}
    process = subprocess.Popen(command(*SMALL, "--json"), cwd=folder, env=there, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("search 2/9"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(
        command(*SMALL, "--resume", "--json"), cwd=folder, env=there, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "search 1/9" not in done.stderr
    found = json.loads(done.stdout)
    assert {trial["status"] for trial in found["trials"]} == {"done"}
    assert len(found["trials"]) == 9 + len(found["confirmed"]) == 11
    trials = [runs_of(trial) for trial in (Path(folder / found["search"]) / "trials").iterdir()]
    assert [len(runs) for runs in trials] == [1] * 11
    assert [entry["estimate"]["runs"] for entry in found["variants"]] == [3, 3, 3]
    assert all("test.accuracy" not in trial for trial in found["trials"] if trial["stage"] == "search")
    kept = [path.suffix for path in (folder / "cache" / "outputs").iterdir()]
    assert sorted(kept) == [".npy", ".sha256"]  # 3 seeds, 2 processes, one killed: computed once
    trained = finished(compiled, "train", found["recommendation"]["spec"], "train.epochs=1", "--json", cwd=folder)
    assert trained.returncode == 0, trained.stderr


def told(folder: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Any:
    from dnnrun.cli.app import main

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["dnnrun", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_the_variants_are_listed_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert told(folder, (*SEARCH, "--dry-run"), monkeypatch) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[:3] == ["from scratch", "reuse 2, freeze 2", "reuse 2, freeze 1"]
    assert "11 variants x 5 seeds: 55 trials" in err
    assert told(folder, (*SEARCH, "--dry-run", "--json", "--epochs", "7"), monkeypatch) == 0
    listed = json.loads(capfd.readouterr().out)
    assert (listed["trials"], len(listed["variants"])) == (55, 11)


BAD = {
    "no source": (
        ("reuse-search", "new.yaml"),
        "error: no source to take layers from; name a run with --from (finished here: runs/source)",
    ),
    "no such source": (
        ("reuse-search", "new.yaml", "--from", "runs/sorce"),
        "error: runs/sorce: not found; wanted a run or a checkpoint folder; runs has source",
    ),
    "depths": (
        (*SEARCH, "--depths", "2-1"),
        "Error: Invalid value: --depths 2-1: wanted numbers of layers, as 3 or 1,2 or 2-4",
    ),
    "too deep": (
        (*SEARCH, "--depths", "1-3"),
        "error: --depths 3: wanted 1 to 2; the spec has 2 hidden layers (source: ",
    ),
    "unfreeze": (
        (*SEARCH, "--unfreeze", "top"),
        "Error: Invalid value: --unfreeze top: wanted how many top reused layers learn, as 0,1,2,all",
    ),
    "variants": (
        (*SEARCH, "--variants", "dropped,swapped"),
        "Error: Invalid value: --variants dropped,swapped: there is no 'swapped'; wanted some of "
        "dropped, replaced, added",
    ),
    "metric": (
        (*SEARCH, "--metric", "test.accuracy"),
        "override 'sweep.metric=\"test.accuracy\"': ",
    ),
    "nothing to resume": (
        (*SEARCH, "--resume"),
        "error: runs/new: no reuse-search to resume; run it without --resume to begin one",
    ),
    "a section of its own": (
        (*SEARCH, "transfer.freeze=hidden1"),
        "transfer.freeze: reuse-search tries what to reuse and freeze by itself; leave it out, or set it to null",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_its_message_and_exit_code(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, message = BAD[name]
    assert told(folder, arguments, monkeypatch) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(message), err
    assert not (folder / "runs" / "new").exists()
