"""One process's part of a run: from its beginning, or from a checkpoint, to its end or an interruption."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from dnnrun.assembly import Assembly
from dnnrun.errors import Interrupted, ProcessLost, RunFailed
from dnnrun.journal import Journal
from dnnrun.keeper import Keeper, trained_tensors
from dnnrun.nn.architecture import layer_of
from dnnrun.spec.compare import flatten
from dnnrun.spec.sections import Spec
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store import events
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.store.run import RunDirectory
from dnnrun.track import About
from dnnrun.tracking import Trackers
from dnnrun.watch import Status

if TYPE_CHECKING:
    from dnnrun.nn.network import Tensors
    from dnnrun.train.loop import Chunk, EpochEnd, NotFinite, Plan, Progress, Watch, Watched
    from dnnrun.train.state import TrainState
    from dnnrun.train.team import Team

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
    stages: Sequence[Mapping[str, Any]] | None = None
    baseline: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """What `train --json` prints; `transfer` only where layers were reused, `stages` where some were pretrained,
        `baseline` where the spec asks for one."""
        found = {**asdict(self), "run": str(self.run)}
        for part in ("transfer", "stages", "baseline"):
            if found[part] is None:
                del found[part]
        return found


class Session:
    """Trains in a run directory that it has the lock of.

    `began` is when the program began, on time.perf_counter; the splits in `unseen` are not measured at the end. Of the
    processes of a `team`, all of which do the same, the first one alone has the lock and writes.
    """

    def __init__(
        self,
        spec: Spec,
        directory: RunDirectory,
        parts: Assembly,
        journal: Journal,
        stop: Stop,
        began: float,
        unseen: frozenset[str],
        team: Team,
    ):
        self.spec, self.directory, self.parts, self.journal = spec, directory, parts, journal
        self.stop, self.began, self.unseen = stop, began, unseen
        self.team = team
        self.keeper = Keeper(directory, parts) if team.lead else None
        self.good: TrainState | None = None
        self.trackers = Trackers(spec.train.trackers if team.lead else (), journal.warn)
        self.first_step: float | None = None
        self.saved_at = time.perf_counter()
        self.frozen: Tensors = {}

    def run(self, point: Checkpoint | None) -> Result:
        """Train from `point`, or from the first step, to the end."""
        state, progress = self._resumed(point) if point else self._fresh()
        self.journal.say(f"data: {self.parts.account()}")
        self.journal.say(f"network: {self.parts.network_account()}")
        self.trackers.begin(lambda: self._about(point.step if point else 0))
        try:
            return self._finish(self._phases(state, progress), progress)
        except Exception as error:
            if (lost := self.team.lost(error)) is None:
                raise
            self._save_rest(lost, progress)
        finally:
            self.trackers.end("failed")  # where it has not ended otherwise

    def _save_rest(self, lost: ProcessLost, progress: Progress) -> NoReturn:
        """Another process is gone: keep what was reached, where it is still whole."""
        if self.good is None or not self.team.lead:
            raise ProcessLost(lost.reason) from None
        self._save(self.good, progress)
        raise ProcessLost(lost.reason, f" and has saved step {int(self.good.step):,}") from None

    def _save(self, state: TrainState, progress: Progress, final: Mapping[str, Any] | None = None) -> None:
        if self.keeper:
            self.keeper.save(state, self.frozen, progress, final)

    def _about(self, step: int) -> About:
        spec = {key: value for key, value in flatten(self.spec.model_dump(mode="json")).items() if value is not None}
        return About(self.directory.path, self.spec.name, spec, step, self.parts.dataset.image)

    def _fresh(self) -> tuple[TrainState, Progress]:
        from dnnrun.train import snapshot
        from dnnrun.train.loop import Progress

        parts, meta = self.parts, self.journal.meta
        if meta["history"][1:]:
            self.journal.say("no checkpoint yet: beginning again at step 0")
        if self.team.lead:
            events.cut(self.directory.metrics, -1)
        tensors, progress = parts.first_tensors(), Progress()
        if parts.reuse or parts.starts_frozen:
            meta["frozen"] = {name: _sha256(value) for name, value in tensors.items()}
            self.journal.write()
        state = self._enter(progress, tensors)
        if self.spec.transfer and self.spec.transfer.optimizer_state and parts.reuse:
            state = snapshot.with_optimizer(state, parts.reuse.donors[0].read_optimizer())
        return state, progress

    def _resumed(self, point: Checkpoint) -> tuple[TrainState, Progress]:
        from dnnrun.train import snapshot

        model, arrays = trained_tensors(point, self.parts)
        progress = snapshot.progress_from(point.manifest["progress"], arrays)
        state = snapshot.state_from(self._enter(progress, model), model, arrays)
        if self.team.lead:
            events.cut(self.directory.metrics, point.step)
        epochs = f"epoch {point.manifest['epochs']:.4g} of {self.spec.train.epochs}"
        self.journal.say(f"resuming at step {point.step:,} ({epochs})")
        return state, progress

    def _enter(self, progress: Progress, tensors: Mapping[str, Any]) -> TrainState:
        """Begin the phase that `progress` is in, with these tensors."""
        heard = len(self.parts.notes)
        state, self.frozen = self.parts.enter(len(progress.began) - 1, progress.began, tensors)
        for note in self.parts.notes[heard:]:
            self.journal.say(note)
        return state

    def _phases(self, state: TrainState, progress: Progress) -> TrainState:
        """Train phase after phase, to the end."""
        from dnnrun.train import snapshot

        parts = self.parts
        while True:
            following = next(iter(parts.phases[len(progress.began) :]), None)
            plan = parts.plan
            if following:
                plan = replace(plan, until=following.after_epoch, stalled=following.stalled)
            state = self._fit(state, progress, plan)
            epoch = int(state.step) // plan.steps_per_epoch
            if following is None or progress.stopped is not None or epoch >= plan.epochs:
                return state
            self.good = None  # it belongs to the phase that ends here
            progress.next_phase(epoch)
            self.journal.say(f"after epoch {epoch}, learning too: {', '.join(following.joins)}")
            tensors = {**self.frozen, **state.params, **state.statistics}
            state = snapshot.carry_on(self._enter(progress, tensors), state, tensors)

    def _fit(self, state: TrainState, progress: Progress, plan: Plan) -> TrainState:
        from dnnrun.train.loop import Chunk, NotFinite, Watched, fit

        state = self.parts.program.place(state)
        total, shown = plan.epochs * plan.steps_per_epoch, None
        batches, clock, watch = self.parts.in_order, time.perf_counter, self._watch(plan)
        for event in fit(self.parts.program, state, self.frozen, batches, plan, progress, clock, self._agree, watch):
            if isinstance(event, Watched):
                self._record_signals(event)
                continue
            if isinstance(event, NotFinite):
                self._explode(event)
            state = event.state
            if isinstance(event, Chunk):
                self._show(event, shown, total)
                if event.step % plan.steps_per_epoch == 0:
                    continue  # the epoch's end, with its validation, comes next
                epoch = None
            else:
                shown, epoch = event.record.get("validation"), event.record["epoch"]
                self._record(event, progress)
            self.good = state
            if signal := self.team.highest(self.stop() or 0):
                self._save(state, progress)
                self._interrupted(signal, state, progress)
            step = int(state.step)
            if step < total and progress.stopped is None and self._due(step, epoch):
                self._save(state, progress)
                self.saved_at = time.perf_counter()
        return state

    def _show(self, event: Chunk, validation: Mapping[str, float] | None, total: int) -> None:
        if self.first_step is None:
            self.first_step = time.perf_counter() - self.began
        batch, per_epoch = self.parts.plan.batch_size, self.parts.plan.steps_per_epoch
        rate = event.steps * batch / max(event.seconds, 1e-9)
        left = (total - event.step) * batch / rate
        loss = self.parts.task.metrics(event.state.sums, ((event.step - 1) % per_epoch + 1) * batch)["loss"]
        epochs = self.spec.train.epochs
        status = Status(
            -(-event.step // per_epoch), epochs, event.step, total, rate, left, loss, validation, self.parts.stage_name
        )
        self.journal.watcher.status(status)

    def _record(self, event: EpochEnd, progress: Progress) -> None:
        seconds = round(time.perf_counter() - self.began, 4)
        self.parts.compare(event.record, {**self.frozen, **event.state.params, **event.state.statistics})
        stage = {"stage": self.parts.stage_name} if self.parts.stage_name else {}
        record = {**event.record, **stage, "timing": {"seconds": seconds, "examples_per_s": progress.rates[-1]}}
        if self.team.lead:
            events.append(self.directory.metrics, record)
        self.journal.watcher.epoch(record, self.spec.train.epochs)
        state = event.state
        self.trackers.epoch(record, lambda: self.parts.named({**self.frozen, **state.params, **state.statistics}))

    def _watch(self, plan: Plan) -> Watch | None:
        """What measures the signals of this phase's program, where the spec asks for it."""
        from dnnrun.train.task import Supervised

        if plan.watch_every is None:
            return None
        if not isinstance(self.parts.task, Supervised):
            self.journal.say("train.watch: signals are measured where labels are learned, not here")
            return None
        from dnnrun.train.signals import compiled

        return compiled(self.parts.program)

    def _record_signals(self, event: Watched) -> None:
        from dnnrun.train.signals import on_host

        record = {"event": "signals", "step": event.step, "layers": on_host(event.signals)}
        if self.team.lead:
            events.append(self.directory.metrics, record)
        self.trackers.signals(record)

    def _due(self, step: int, epoch: int | None) -> bool:
        """Whether a checkpoint is to be written; `epoch` is the one that has just ended, None within one."""
        every = self.spec.train.checkpoint_every
        if every.seconds is not None:
            return self._agree(time.perf_counter() - self.saved_at >= every.seconds) > 0
        if every.steps is not None:
            return step % every.steps == 0
        return epoch is not None and epoch % (every.epochs or 1) == 0

    def _agree(self, number: int) -> int:
        """The number that the first process has: clocks differ."""
        return int(self.team.first(str(int(number))))

    def _finish(self, state: TrainState, progress: Progress) -> Result:
        """The last checkpoint: with exact statistics or the best weights, where the spec asks for them."""
        parts, stopping = self.parts, self.spec.train.early_stopping
        if progress.stopped:
            self.journal.say(f"stopped early: {progress.stopped}")
        final = {**self.frozen, **state.params, **state.statistics}
        best = progress.best if stopping and stopping.restore_best else None
        if best:
            final |= best.tensors
            self.journal.say(f"went back to the best epoch, {best.epoch}")
        final |= parts.exact_statistics(final, best and best.epoch)
        self._check_frozen(final)
        metrics = {split: parts.evaluate(final, split) for split in parts.dataset.splits if split not in self.unseen}
        self.parts.finish(self.directory.path, final, metrics)
        self._save(state, progress, final)
        result = replace(self._result("done", state, progress, metrics), baseline=self._baseline(metrics))
        if self.team.lead:
            events.append(self.directory.metrics, {"event": "final", "step": result.steps, **metrics})
        self.journal.end("done", result=result.as_json())
        self.trackers.end("done", metrics, lambda: parts.named(final))
        return result

    def _baseline(self, splits: Iterable[str]) -> dict[str, Any] | None:
        """What is reached without a network, where the spec asks for it."""
        if not self.spec.eval.baseline or self.parts.stage_name or not self.team.lead:
            return None
        from dnnrun.baseline import as_json, baselines

        return as_json(baselines(self.parts.dataset, self.parts.scaling, splits))

    def _check_frozen(self, final: Mapping[str, Any]) -> None:
        """What never learned must be what it was, bit for bit; that it is is kept in meta.json."""
        learning = {name for phase in self.parts.phases for name in phase.trainable}
        moving = {name for phase in self.parts.phases for name in phase.moving}
        tensors = (t for t in self.parts.task.tensors if layer_of(t.name) not in learning)
        never = [t.name for t in tensors if not (t.statistic and layer_of(t.name) in moving)]
        if not never:
            return
        for name in never:
            if _sha256(np.asarray(final[name])) != self.journal.meta["frozen"][name]:
                raise RunFailed(f"{name} is frozen and has changed during training; this is a bug in dnnrun")
        self.journal.meta["frozen_unchanged"] = True
        self.journal.say(f"frozen and unchanged: {len(never)} tensors")

    def _explode(self, event: NotFinite) -> NoReturn:
        epoch = event.step // self.parts.plan.steps_per_epoch
        split = event.metric.partition(".")[0] if event.metric else None
        layer, what = self.parts.first_bad_layer(event.before, self.frozen, epoch, split)
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
        message = f"interrupted at step {int(state.step):,}, saved; go on with --resume"
        if self.team.lead:
            self.directory.log(message)
        self.journal.end("interrupted")
        self.trackers.end("interrupted")
        raise Interrupted(message, 128 + signal, self._result("interrupted", state, progress, {}).as_json())

    def _result(self, status: str, state: TrainState, progress: Progress, metrics: Mapping[str, Any]) -> Result:
        steps, rate = int(state.step), progress.examples_per_s
        return Result(
            run=self.directory.path,
            status=status,
            epochs=steps // self.parts.plan.steps_per_epoch,
            steps=steps,
            metrics=metrics,
            timing={
                "total_s": round(time.perf_counter() - self.began, 3),
                "to_first_step_s": None if self.first_step is None else round(self.first_step, 3),
                "examples_per_s": rate and round(rate, 1),
            },
            parameters=self.parts.count_parameters(),
            transfer=self.journal.meta.get("transfer"),
            stages=self.journal.meta.get("stages"),
        )


def _sha256(value: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
