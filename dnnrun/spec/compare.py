"""What differs between two specs, and which differences a resume may have."""

from __future__ import annotations

from typing import Any

from dnnrun.spec.sections import Spec

FREE = (
    "eval.", "train.checkpoint_every", "train.device", "train.devices", "train.threads", "train.watch",
    "train.trackers",
)  # fmt: skip
EPOCHS = "train.epochs"


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """The leaves of nested mappings and lists by dotted path."""
    if isinstance(value, dict) and value:
        entries = value.items()
    elif isinstance(value, (list, tuple)) and value:
        entries = enumerate(value)
    else:
        return {path: value}
    found: dict[str, Any] = {}
    for key, entry in entries:
        found |= flatten(entry, f"{path}.{key}" if path else str(key))
    return found


def differences(old: Spec, new: Spec) -> list[str]:
    """One line a difference: `path: old -> new`."""
    before, after = flatten(old.model_dump(mode="json")), flatten(new.model_dump(mode="json"))
    unset = "(unset)"
    lines = []
    for path in sorted(before.keys() | after.keys()):
        old_value, new_value = before.get(path), after.get(path)
        if old_value != new_value:
            was, is_now = (unset if value is None else value for value in (old_value, new_value))
            lines.append(f"{path}: {was} -> {is_now}")
    return lines


def hinder_resume(old: Spec, new: Spec, epochs_done: float) -> list[str]:
    """The differences that make `new` another run than `old`, with the reason where it is not plain.

    Devices, threads, baselines, what is watched and tracked, and how often checkpoints are written are free.
    `train.epochs` may grow where no schedule of the learning rate depends on it, and may not fall below the
    `epochs_done`.
    """
    found = []
    for line in differences(old, new):
        path = line.partition(":")[0]
        if path.startswith(FREE):
            continue
        if path == EPOCHS:
            schedule = new.train.optimizer.learning_rate
            if schedule.depends_on_epochs():
                found.append(f"{line}, and the learning rate's schedule depends on it")
            elif new.train.epochs < epochs_done:
                found.append(f"{line}, and {epochs_done:g} epochs are done")
            continue
        found.append(line)
    return found
