"""A run that was interrupted, and resumed, comes to the same as one that was not; another run is not resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dnnrun.errors import CheckpointError, DeviceError, Interrupted, ResumeError, RunDirectoryError
from dnnrun.store.checkpoint import sealed
from dnnrun.store.find import find_checkpoint
from dnnrun.store.run import newest
from tests.smallruns import RICH, Collected, outcome, small, trained

RUNS = {
    "sgd": (),
    "momentum": ("train.optimizer={type: momentum, learning_rate: 0.02}", "train.l1=0.0001", "train.clip=adaptive"),
    "rich": RICH,
    "standardized": (
        "data.scale=standardize",
        "train.optimizer={type: adam, learning_rate: {type: cosine, initial: 0.01}}",
        "train.monitor=train.accuracy",
        "data.validation=0",
    ),
    "streamed": ("data.stream=70", "model.dropout=0.2", "model.batch_norm=true"),
    "stopped early": (
        "train.optimizer.learning_rate=2.0",
        "train.early_stopping={patience: 1, min_delta: 0.5}",
        "train.epochs=9",
    ),
}


def stop_after(chunks: int) -> Callable[[], int | None]:
    """Asks to stop, as SIGTERM does, when it was asked for the n-th time."""
    asked = iter(range(1, 10**6))
    return lambda: 15 if next(asked) >= chunks else None


@pytest.mark.parametrize("name", RUNS)
def test_interrupted_at_every_chance_equals_uninterrupted(name: str, tmp_path: Path, compiled: Path) -> None:
    spec = small(*RUNS[name])
    whole = trained(spec, tmp_path / "a", compiled)
    stops: list[Interrupted] = []
    while True:
        try:
            stop = stop_after(1 if len(stops) < 2 else 4)
            result = trained(spec, tmp_path / "b", compiled, resume=bool(stops), stop=stop)
            break
        except Interrupted as stopped:
            stops.append(stopped)
    assert len(stops) >= 3
    assert {(stopped.exit_code, stopped.result["status"]) for stopped in stops} == {(143, "interrupted")}
    assert outcome(result.run) == outcome(whole.run)
    assert (result.metrics, result.steps, result.epochs) == (whole.metrics, whole.steps, whole.epochs)


def test_early_stopping_ends_with_the_best_weights(tmp_path: Path, compiled: Path) -> None:
    result = trained(small(*RUNS["stopped early"]), tmp_path, compiled)
    assert result.epochs < 9
    last, best = (find_checkpoint(result.run / which) for which in ("last", "best"))
    assert {n: v.tobytes() for n, v in last.model().items()} == {n: v.tobytes() for n, v in best.model().items()}
    assert last.manifest["progress"]["stopped"] == "no better validation.loss for 1 epochs"


def test_more_epochs_equal_as_many_from_the_start(tmp_path: Path, compiled: Path) -> None:
    stopping = "train.early_stopping={patience: 50, restore_best: true}"  # ends with other weights than it goes on from
    options = ("train.optimizer={type: momentum, learning_rate: 0.05}", stopping)
    trained(small(*options), tmp_path / "a", compiled)
    more = trained(small(*options, "train.epochs=5"), tmp_path / "a", compiled, resume=True)
    whole = trained(small(*options, "train.epochs=5"), tmp_path / "b", compiled)
    assert outcome(more.run) == outcome(whole.run)
    assert more.epochs == 5


def test_a_finished_run_says_so_and_gives_its_result(tmp_path: Path, compiled: Path) -> None:
    first = trained(small(), tmp_path, compiled)
    before = {path: path.read_bytes() for path in (first.run / "checkpoints").rglob("*.safetensors")}
    watcher = Collected()
    again = trained(small(), tmp_path, compiled, resume=True, watcher=watcher)
    assert again == first
    assert watcher.said == [f"{first.run}: finished already; raise train.epochs to go on"]
    assert {path: path.read_bytes() for path in (first.run / "checkpoints").rglob("*.safetensors")} == before


def test_nothing_to_resume(tmp_path: Path, compiled: Path) -> None:
    with pytest.raises(ResumeError, match="small: nothing to resume"):
        trained(small(), tmp_path, compiled, resume=True)
    assert not list(tmp_path.iterdir())


def test_a_changed_spec_is_refused_with_every_change(tmp_path: Path, compiled: Path) -> None:
    run = trained(small(), tmp_path, compiled).run
    meta = (run / "meta.json").read_bytes()
    other = small(
        "seed=4", "model.hidden=[8, 6]", "train.optimizer.learning_rate=0.2", "train.checkpoint_every={epochs: 1}"
    )
    with pytest.raises(ResumeError) as caught:
        trained(other, tmp_path, compiled, resume=True)
    assert str(caught.value) == (
        f"{run}: the spec has changed since this run began:\n"
        "  model.hidden.1.units: (unset) -> 6\n"
        "  seed: 3 -> 4\n"
        "  train.optimizer.learning_rate.value: 0.1 -> 0.2\n"
        "undo the changes to resume it, or train without --resume to begin a new run"
    )
    assert (run / "meta.json").read_bytes() == meta


def test_fewer_epochs_than_done_are_refused(tmp_path: Path, compiled: Path) -> None:
    trained(small(), tmp_path, compiled)
    with pytest.raises(ResumeError, match=r"  train\.epochs: 3 -> 2, and 3 epochs are done"):
        trained(small("train.epochs=2"), tmp_path, compiled, resume=True)


def test_other_epochs_under_a_schedule_of_them_are_refused(tmp_path: Path, compiled: Path) -> None:
    cosine = "train.optimizer.learning_rate={type: cosine, initial: 0.1}"
    trained(small(cosine), tmp_path, compiled)
    wanted = r"  train\.epochs: 3 -> 5, and the learning rate's schedule depends on it"
    with pytest.raises(ResumeError, match=wanted):
        trained(small(cosine, "train.epochs=5"), tmp_path, compiled, resume=True)


def changed_meta(run: Path, **changes: object) -> None:
    path = run / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_changed_data_is_refused_and_the_run_stays_finished(tmp_path: Path, compiled: Path) -> None:
    run = trained(small(), tmp_path, compiled).run
    known = json.loads((run / "meta.json").read_text())["data"]["hash"]
    changed_meta(run, data={"hash": "0" * 64})
    with pytest.raises(ResumeError) as caught:
        trained(small("train.epochs=4"), tmp_path, compiled, resume=True)
    assert str(caught.value) == (
        f"{run}: the data has changed since this run began (its hash was 000000000000, now {known[:12]}); "
        "restore it, or begin a new run"
    )
    assert find_checkpoint(tmp_path / "small").step == 30


def test_an_absent_device_leaves_a_finished_run_finished(tmp_path: Path, compiled: Path) -> None:
    trained(small(), tmp_path, compiled)
    with pytest.raises(DeviceError, match="device gpu: JAX finds none here"):
        trained(small("train.epochs=4", "train.device=gpu"), tmp_path, compiled, resume=True)
    assert find_checkpoint(tmp_path / "small").step == 30


def test_another_version_device_or_thread_count_is_a_warning(tmp_path: Path, compiled: Path) -> None:
    run = trained(small(), tmp_path, compiled).run
    meta = json.loads((run / "meta.json").read_text())
    changed_meta(run, versions={**meta["versions"], "jax": "0.1"}, device="gpu H100", threads=77)
    watcher = Collected()
    trained(small("train.epochs=4"), tmp_path, compiled, resume=True, watcher=watcher)
    tail = "the bits will differ from an unbroken run"
    assert watcher.warned == [
        f"jax was 0.1, now {meta['versions']['jax']}: {tail}",
        f"device was gpu H100, now {meta['device']}: {tail}",
        f"threads was 77, now {meta['threads']}: {tail}",
    ]
    assert all(f"warning: {line}" in (run / "out.log").read_text() for line in watcher.warned)


def test_a_run_in_use_names_the_process(tmp_path: Path, compiled: Path) -> None:
    trained(small(), tmp_path, compiled)
    run = newest(tmp_path, "small")
    with run.lock(), pytest.raises(RunDirectoryError, match=r"is in use by process \d+"):
        trained(small(), tmp_path, compiled, resume=True)


def test_a_damaged_checkpoint_is_not_resumed(tmp_path: Path, compiled: Path) -> None:
    run = trained(small(), tmp_path, compiled).run
    path = run / "checkpoints" / "last" / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="tensor outputs/kernel does not have the checksum"):
        trained(small("train.epochs=4"), tmp_path, compiled, resume=True)


def test_a_checkpoint_of_another_network_is_not_resumed(tmp_path: Path, compiled: Path) -> None:
    run = trained(small(), tmp_path, compiled).run
    path = run / "checkpoints" / "last" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["tensors"]["model.safetensors"]["hidden1/bias"]
    path.write_text(json.dumps(sealed(manifest)))
    with pytest.raises(CheckpointError, match="has no tensor hidden1/bias, which the network wants"):
        trained(small("train.epochs=4"), tmp_path, compiled, resume=True)
