"""The shell of a run: from a Spec to objects, through fit, to a run directory."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from dnnrun import files
from dnnrun.data.source import Places
from dnnrun.errors import CheckpointError, DnnrunError, Interrupted, ResumeError, RunFailed
from dnnrun.spec.compare import hinder_resume
from dnnrun.spec.load import dump, load
from dnnrun.spec.sections import Spec
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store import environment, events
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.store.run import RunDirectory, create, newest
from dnnrun.watch import Status, Watcher

if TYPE_CHECKING:
    from dnnrun.train.loop import Plan, Progress
    from dnnrun.train.state import TrainState

Stop = Callable[[], int | None]


@dataclass(frozen=True)
class Result:
    """What a run came to. `metrics` nests by split; `timing` in seconds and examples/s; `parameters` counts scalars."""

    run: Path
    status: str
    epochs: int
    steps: int
    metrics: Mapping[str, Mapping[str, float]]
    timing: Mapping[str, float | None]
    parameters: Mapping[str, int]
    transfer: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """What `train --json` prints; `transfer` only where layers were reused."""
        found = {**asdict(self), "run": str(self.run)}
        if self.transfer is None:
            del found["transfer"]
        return found


def train(
    spec: Spec,
    *,
    runs: Path = Path("runs"),
    resume: bool = False,
    places: Places | None = None,
    watcher: Watcher | None = None,
    stop: Stop = lambda: None,
    cache: Path | None = None,
    age: float = 0.0,
) -> Result:
    """Train what `spec` says into a new directory under `runs`, or go on with the newest one of its name.

    `stop` is asked between chunks and answers with a signal's number to end politely. `cache` keeps compiled code.
    `age` is how many seconds ago the program began. Raises the errors of dnnrun.errors; Interrupted after a signal.
    """
    began = time.perf_counter() - age
    if resume:
        run = newest(runs, spec.name)
        with run.lock():
            point = _reopen(run, spec)
            return _Training(spec, run, point, watcher or Watcher(), stop, began).run(places or Places(), cache)
    run = create(runs, spec.name, dump(spec), {"status": "created", "name": spec.name})
    with run.lock():
        return _Training(spec, run, None, watcher or Watcher(), stop, began).run(places or Places(), cache)


def _reopen(run: RunDirectory, spec: Spec) -> Checkpoint | None:
    """The checkpoint to go on from, None before the first one. Raises ResumeError where `spec` is another run."""
    last = checkpoints.pointed(run.checkpoints, "last")
    point = checkpoints.open_checkpoint(last) if last else None
    if changed := hinder_resume(load(run.spec), spec, point.manifest["epochs"] if point else 0.0):
        lines = "\n".join(f"  {line}" for line in changed)
        raise ResumeError(
            f"{run.path}: the spec has changed since this run began:\n{lines}\n"
            "undo the changes to resume it, or train without --resume to begin a new run"
        )
    files.remove_temporaries(run.path)
    files.make_folder(run.checkpoints, exist_ok=True)  # a kill may have come before it was made
    checkpoints.clean(run.checkpoints)
    files.write_atomic(run.spec, dump(spec).encode())
    return point


class _Training:
    """One process's part of a run: from its beginning, or from a checkpoint, to its end or an interruption."""

    def __init__(
        self, spec: Spec, run: RunDirectory, point: Checkpoint | None, watcher: Watcher, stop: Stop, began: float
    ):
        self.spec, self.directory, self.point, self.watcher, self.stop = spec, run, point, watcher, stop
        self.began = began
        self.first_step: float | None = None
        self.meta = run.meta()

    def run(self, places: Places, cache: Path | None) -> Result:
        """Train to the end; whatever ends it is in meta.json, but for a resume that could not begin."""
        try:
            return self._run(places, cache)
        except Interrupted:
            raise
        except DnnrunError as error:
            self._failed(str(error))
            raise
        except BaseException as error:
            self._failed(f"{type(error).__name__}: {error}")
            raise

    def _run(self, places: Places, cache: Path | None) -> Result:
        if self.point and self._finished(self.point):
            self._say(f"{self.directory.path}: finished already; raise train.epochs to go on")
            return Result(**{**self.meta["result"], "run": self.directory.path})
        with ThreadPoolExecutor(1) as pool:
            describing = pool.submit(environment.describe)
            from dnnrun.assemble import assemble

            threads = self.meta.get("threads") if self.point and self.spec.train.threads == "auto" else None
            manifest = self.point.manifest if self.point else None
            sources = [source["checkpoint"] for source in self.meta.get("sources", [])] or None
            parts = self.parts = assemble(self.spec, places, cache, threads, manifest, sources)
            self._say(f"device: {parts.machine}")
            self._opening(describing.result())
            self._tell_plan()
        state, progress = self._start()
        self._say(f"data: {parts.account()}")
        self._say(f"network: {parts.network_account()}")
        state = self._phases(state, progress)
        return self._finish(state, progress)

    def _finished(self, point: Checkpoint) -> bool:
        done = self.meta.get("status") == "done" and point.manifest["final"]
        return done and (
            self.spec.train.epochs <= point.manifest["epochs"] or bool(point.manifest["progress"]["stopped"])
        )

    def _opening(self, found: dict[str, Any]) -> None:
        """meta.json of a run under way; what differs from the run that is resumed is said."""
        machine, dataset = self.parts.machine, self.parts.dataset
        now = {
            **found,
            "device": f"{machine.platform} {machine.kind}",
            "threads": machine.threads,
            "data": {"hash": dataset.hash, "classes": list(dataset.classes), "features": dataset.width},
        }
        if "data" in self.meta:
            if self.meta["data"]["hash"] != dataset.hash:
                raise ResumeError(
                    f"{self.directory.path}: the data has changed since this run began (its hash was "
                    f"{self.meta['data']['hash'][:12]}, now {dataset.hash[:12]}); restore it, or begin a new run"
                )
            before = {**self.meta["versions"], "device": self.meta["device"], "threads": self.meta["threads"]}
            after = {**now["versions"], "device": now["device"], "threads": now["threads"]}
            for key in before:
                if before[key] != after.get(key):
                    self._warn(
                        f"{key} was {before[key]}, now {after.get(key)}: the bits will differ from an unbroken run"
                    )
        if self.parts.reuse:
            now["sources"] = self._sources(self.parts.reuse)
        if self.parts.transfer:
            now["transfer"] = self.parts.transfer
        where = self.point.step if self.point else 0
        self.meta = {**self.meta, **now, "status": "running", "started": self.meta.get("started", _now())}
        self.meta.setdefault("history", []).append({"at": _now(), "step": where})
        self.directory.write_meta(self.meta)

    def _tell_plan(self) -> None:
        """The plan of a transfer, before anything is trained."""
        if not (plan := self.parts.reuse):
            return
        rows = plan.rows()
        for row in rows:
            self.directory.log(" | ".join(row))
        self.watcher.table(rows)
        self._say(f"unused in the source: {', '.join(plan.unused) or 'nothing'}")
        for note in plan.notes:
            self._say(f"note: {note}")

    def _sources(self, reuse: Any) -> list[dict[str, str]]:
        """Where the reused layers come from and what they were, so that a run begun again takes the same."""
        found = [
            {"checkpoint": str(donor.folder), "manifest": hashlib.sha256(donor.manifest_bytes()).hexdigest()}
            for donor in reuse.donors
        ]
        for before, now in zip(self.meta.get("sources", found), found, strict=True):
            if before["manifest"] != now["manifest"]:
                raise ResumeError(
                    f"{now['checkpoint']}: the source of the reused layers has changed since this run began; "
                    "restore it, or begin a new run"
                )
        return found

    def _start(self) -> tuple[TrainState, Progress]:
        """The state to train from: fresh, or the checkpoint's."""
        from dnnrun.train import snapshot
        from dnnrun.train.loop import Progress

        parts, point = self.parts, self.point
        self.best_saved: int | None = None
        if point is None:
            if self.meta["history"][1:]:
                self._say("no checkpoint yet: beginning again at step 0")
            events.cut(self.directory.metrics, -1)
            tensors = parts.first_tensors()
            self.meta["frozen"] = (
                {n: hashlib.sha256(v.data).hexdigest() for n, v in tensors.items()} if parts.reuse else {}
            )
            self.directory.write_meta(self.meta)
            progress = Progress()
            state = self._enter(progress, tensors)
            if self.spec.transfer and self.spec.transfer.optimizer_state and parts.reuse:
                state = snapshot.with_optimizer(state, parts.reuse.donors[0].checkpoint.train())
            return state, progress
        arrays = point.train()
        live = {name.removeprefix("live/"): value for name, value in arrays.items() if name.startswith("live/")}
        model = {**point.model(), **live}
        if misfit := parts.architecture.misfit({name: value.shape for name, value in model.items()}):
            raise CheckpointError(f"{point.folder}: {misfit}")
        progress = snapshot.progress_from(point.manifest["progress"], arrays)
        state = snapshot.state_from(self._enter(progress, model), model, arrays)
        events.cut(self.directory.metrics, point.step)
        if best := checkpoints.pointed(self.directory.checkpoints, "best"):
            self.best_saved = checkpoints.open_checkpoint(best).step
        self._say(f"resuming at step {point.step:,} (epoch {point.manifest['epochs']:.4g} of {self.spec.train.epochs})")
        return state, progress

    def _enter(self, progress: Progress, tensors: Mapping[str, Any]) -> TrainState:
        """Begin the phase that `progress` is in, with these tensors."""
        parts = self.parts
        heard = len(parts.notes)
        state, self.frozen = parts.enter(len(progress.began) - 1, progress.began, tensors)
        for note in parts.notes[heard:]:
            self._say(note)
        return state

    def _phases(self, state: TrainState, progress: Progress) -> TrainState:
        """Train phase after phase, to the end."""
        from dnnrun.train import snapshot

        parts = self.parts
        while True:
            number = len(progress.began) - 1
            following = parts.phases[number + 1] if number + 1 < len(parts.phases) else None
            plan = parts.plan
            if following:
                plan = replace(plan, until=following.after_epoch, stalled=following.stalled)
            state = self._fit(state, progress, plan)
            epoch = int(state.step) // plan.steps_per_epoch
            if following is None or progress.stopped is not None or epoch >= plan.epochs:
                return state
            progress.next_phase(epoch)
            tensors = {**self.frozen, **state.params, **state.statistics}
            state = snapshot.carry_on(self._enter(progress, tensors), state, tensors)
            self._say(f"after epoch {epoch}: {', '.join(following.joins)} learn too")

    def _fit(self, state: TrainState, progress: Progress, plan: Plan) -> TrainState:
        from dnnrun.train.loop import Chunk, EpochEnd, NotFinite, fit

        parts, options = self.parts, self.spec.train
        every, per_epoch = options.checkpoint_every, parts.plan.steps_per_epoch
        saved_at, total = time.perf_counter(), parts.plan.epochs * per_epoch
        validation: Mapping[str, float] | None = None
        for event in fit(parts.program, state, self.frozen, parts.batches, plan, progress, time.perf_counter):
            if isinstance(event, NotFinite):
                self._explode(event)
            state = event.state
            if isinstance(event, Chunk):
                if self.first_step is None:
                    self.first_step = time.perf_counter() - self.began
                rate = event.steps * options.batch_size / max(event.seconds, 1e-9)
                left = (total - event.step) * options.batch_size / rate
                examples = ((event.step - 1) % per_epoch + 1) * options.batch_size
                loss = float(state.loss_sum) / examples
                epoch = -(-event.step // per_epoch)
                self.watcher.status(Status(epoch, options.epochs, event.step, total, rate, left, loss, validation))
                if event.step % per_epoch == 0:
                    continue  # the epoch's end, with its validation, comes next
            if isinstance(event, EpochEnd):
                validation = event.record.get("validation")
                timing = {"seconds": round(time.perf_counter() - self.began, 4), "examples_per_s": progress.rates[-1]}
                events.append(self.directory.metrics, {**event.record, "timing": timing})
                self.watcher.epoch({**event.record, "timing": timing}, options.epochs)
            step, ended = int(state.step), isinstance(event, EpochEnd)
            signal = self.stop()
            due = every.seconds is not None and time.perf_counter() - saved_at >= every.seconds
            due |= every.steps is not None and step % every.steps == 0
            due |= every.epochs is not None and ended and step // per_epoch % every.epochs == 0
            if signal is not None:
                self._save(state, progress)
                self._interrupted(signal, state, progress)
            if due and step < total and progress.stopped is None:
                self._save(state, progress)
                saved_at = time.perf_counter()
        return state

    def _finish(self, state: TrainState, progress: Progress) -> Result:
        """The last checkpoint: with exact statistics or the best weights, where the spec asks for them."""
        parts, stopping = self.parts, self.spec.train.early_stopping
        if progress.stopped:
            self._say(f"stopped early: {progress.stopped}")
        final = {**self.frozen, **state.params, **state.statistics}
        if stopping and stopping.restore_best and progress.best:
            final |= progress.best.tensors
            self._say(f"went back to the best epoch, {progress.best.epoch}")
        final |= parts.exact_statistics(final)
        self._check_frozen(final)
        metrics = {split: parts.evaluate(final, split) for split in parts.dataset.splits}
        self._save(state, progress, final)
        result = self._result("done", state, progress, metrics)
        events.append(self.directory.metrics, {"event": "final", "step": result.steps, **metrics})
        self.directory.write_meta({**self.meta, "status": "done", "ended": _now(), "result": result.as_json()})
        return result

    def _check_frozen(self, final: Mapping[str, Any]) -> None:
        """Layers that never learned must be what they were, bit for bit; that they are is kept in meta.json."""
        from dnnrun.nn.architecture import layer_of

        parts = self.parts
        learning = frozenset(name for phase in parts.phases for name in phase.trainable | phase.moving)
        never = [t.name for t in parts.architecture.tensors if layer_of(t.name) not in learning]
        if not never:
            return
        for name in never:
            if hashlib.sha256(np.asarray(final[name]).data).hexdigest() != self.meta["frozen"][name]:
                raise RunFailed(f"{name} is frozen and has changed during training; this is a bug in dnnrun")
        self.meta["frozen_unchanged"] = True
        self._say(f"frozen and unchanged: {len(never)} tensors")

    def _save(self, state: TrainState, progress: Progress, final: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint, and the best weights beside it where they are newer than the saved ones."""
        from dnnrun.train import snapshot

        parts, folder, step = self.parts, self.directory.checkpoints, int(state.step)
        live = parts.named({**self.frozen, **state.params, **state.statistics})
        model = live if final is None else parts.named(final)
        parts.check_finite(model, step)
        arrays = snapshot.arrays_of(state, progress)
        arrays |= {f"live/{name}": value for name, value in live.items() if value.tobytes() != model[name].tobytes()}
        manifest = {
            **parts.manifest(),
            "epochs": step / parts.plan.steps_per_epoch,
            "progress": snapshot.json_of(progress),
            "final": final is not None,
        }
        files.sync(self.directory.metrics)
        best = progress.best
        exact = parts.exact_statistics({**model, **best.tensors}) if best and final is not None else {}
        new_best = best is not None and (best.step != self.best_saved or bool(exact))
        if best is not None and new_best and best.step != step:
            weights = {**model, **parts.named({**best.tensors, **exact})}
            there = checkpoints.save(folder, best.step, weights, None, {**manifest, "epochs": float(best.epoch)})
            checkpoints.point(folder, "best", there)
        there = checkpoints.save(folder, step, model, arrays, manifest)
        checkpoints.point(folder, "last", there)
        if best is not None and new_best and best.step == step:
            checkpoints.point(folder, "best", there)
        self.best_saved = best.step if best else None
        checkpoints.clean(folder)

    def _explode(self, event: Any) -> NoReturn:
        from dnnrun.train.trouble import first_bad_layer

        plan, epoch = self.parts.plan, event.step // self.parts.plan.steps_per_epoch
        split = event.metric.partition(".")[0] if event.metric else None
        rows = range(*plan.splits[split]) if split else None
        layer, what = first_bad_layer(self.parts.program, event.before, self.frozen, self.parts.batches(epoch), rows)
        where = f"the loss is not finite at step {event.step:,} (epoch {epoch + 1})"
        if event.metric:
            where = f"{event.metric} is not finite after step {event.step:,} (epoch {epoch})"
        kept = checkpoints.pointed(self.directory.checkpoints, "last")
        raise RunFailed(
            f"{where}; first in layer {layer}: {what}. "
            f"The last good checkpoint: {kept or 'none was written yet'}. "
            "Lower the learning rate, clip the gradients (train.clip), or use batch normalization"
        )

    def _interrupted(self, signal: int, state: TrainState, progress: Progress) -> NoReturn:
        self.directory.write_meta({**self.meta, "status": "interrupted", "ended": _now()})
        message = f"interrupted at step {int(state.step):,}, saved; go on with --resume"
        self.directory.log(message)
        result = self._result("interrupted", state, progress, {})
        raise Interrupted(message, 128 + signal, result.as_json())

    def _result(self, status: str, state: TrainState, progress: Progress, metrics: Mapping[str, Any]) -> Result:
        steps, rate = int(state.step), progress.examples_per_s
        timing = {
            "total_s": round(time.perf_counter() - self.began, 3),
            "to_first_step_s": None if self.first_step is None else round(self.first_step, 3),
            "examples_per_s": rate and round(rate, 1),
        }
        epochs = steps // self.parts.plan.steps_per_epoch
        parameters = self.parts.count_parameters()
        return Result(
            self.directory.path, status, epochs, steps, metrics, timing, parameters, self.meta.get("transfer")
        )

    def _failed(self, reason: str) -> None:
        try:
            self.directory.log(f"failed: {reason}")
            if self.meta["status"] not in ("created", "running"):
                return  # a finished run stays one when something hinders its resume
            self.directory.write_meta({**self.meta, "status": "failed", "ended": _now(), "error": reason})
        except DnnrunError:
            pass  # the disk is what failed; the first error is the one to show

    def _say(self, line: str) -> None:
        self.directory.log(line)
        self.watcher.say(line)

    def _warn(self, line: str) -> None:
        self.directory.log(f"warning: {line}")
        self.watcher.warn(line)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
