"""Checkpoints of a run: what goes into one, which one is best, and the way back into training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dnnrun import files
from dnnrun.errors import CheckpointError
from dnnrun.nn.architecture import misfit
from dnnrun.store import checkpoint as checkpoints
from dnnrun.store.checkpoint import Checkpoint
from dnnrun.store.run import RunDirectory

if TYPE_CHECKING:
    from dnnrun.assembly import Assembly
    from dnnrun.nn.network import Tensors
    from dnnrun.train.loop import Progress
    from dnnrun.train.state import TrainState


class Keeper:
    """Writes the checkpoints of one run directory."""

    def __init__(self, directory: RunDirectory, parts: Assembly):
        self.directory, self.parts = directory, parts
        best = checkpoints.pointed(directory.checkpoints, "best")
        self.best_saved = checkpoints.open_checkpoint(best).step if best else None

    def save(
        self, state: TrainState, frozen: Tensors, progress: Progress, final: Mapping[str, Any] | None = None
    ) -> None:
        """Write a checkpoint, and the best weights beside it where they are newer than the saved ones.

        `final` are the tensors that the run ends with, where these are not those it would train on with. Raises
        RunFailed for a tensor that is not finite, and for a disk that fails.
        """
        from dnnrun.train import snapshot

        parts, folder, step = self.parts, self.directory.checkpoints, int(state.step)
        live = parts.named({**frozen, **state.params, **state.statistics})
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
        exact = parts.exact_statistics({**model, **best.tensors}, best.epoch) if best and final is not None else {}
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


def trained_tensors(point: Checkpoint, parts: Assembly) -> tuple[Tensors, Tensors]:
    """The network's tensors to train on from a checkpoint, and what train.safetensors holds besides."""
    arrays = point.train()
    live = {name.removeprefix("live/"): value for name, value in arrays.items() if name.startswith("live/")}
    model = {**point.model(), **live}
    if what := misfit(parts.task.tensors, {name: value.shape for name, value in model.items()}):
        raise CheckpointError(f"{point.folder}: {what}")
    return model, arrays
