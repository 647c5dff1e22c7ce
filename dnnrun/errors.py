"""Every error a person can cause or meet. Each says what was found, what was wanted and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class DnnrunError(Exception):
    """Base of all of them. `exit_code` is what the process ends with; no traceback is shown."""

    exit_code = 2


class SpecError(DnnrunError):
    """A spec that cannot be used. `problems` holds every one found, each as `file:line:column: path: what`."""

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(DnnrunError):
    """Data that is missing, damaged, or not what the spec says."""


class DownloadError(DataError):
    """No source gave the file that was expected."""


class CheckpointError(DnnrunError):
    """A checkpoint that is missing, damaged, of a newer format, or does not fit the network."""


class ResumeError(DnnrunError):
    """A resume that would not go on with the same run."""


class RunDirectoryError(DnnrunError):
    """A run directory that cannot be written, found, or is in use by another process."""


class DeviceError(DnnrunError):
    """A device that was asked for by name and is not there, or too little memory for the network."""


class EngineError(DnnrunError):
    """A sweep's engine that is not installed, cannot be reached, or was asked for what it has not."""


class MemoryShort(DeviceError):
    """Less memory is free than is wanted; beside fewer others it may be enough."""


class TransferError(DnnrunError):
    """A reuse, freeze or unfreeze that cannot be carried out as written."""


class MissingExtra(DnnrunError):
    """A package that is wanted here and not installed: `package` of dnnrun's `extra`."""

    def __init__(self, where: str, package: str, extra: str):
        super().__init__(f"{where} wants {package}, which is not installed; pip install 'dnnrun[{extra}]'")


class InteropError(DnnrunError):
    """A file of another framework that cannot be read, understood, or written."""


class ZooError(DnnrunError):
    """A model that the zoo lacks, cannot take, or whose files are not what was catalogued."""


class UnseenCategory(UserWarning):
    """A warning, no error: rows hold categories that training has not seen, and are predicted all the same."""


class RunFailed(DnnrunError):
    """The input was fine and the run failed: a loss that is not finite, a disk that is full."""

    exit_code = 1


class ProcessLost(RunFailed):
    """One of the processes that train together is gone; the others end, and what was saved can be resumed."""

    def __init__(self, reason: str, kept: str = ""):
        self.reason = reason
        super().__init__(f"{reason}; this process stops{kept}. Start all of them again with --resume to go on")


class Interrupted(DnnrunError):
    """A polite stop by SIGINT (130) or SIGTERM (143), after the checkpoint was written. `result`: the run so far."""

    def __init__(self, message: str, exit_code: int, result: Mapping[str, Any]):
        super().__init__(message)
        self.exit_code = exit_code
        self.result = result
