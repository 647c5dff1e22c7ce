"""Published files, fetched once into the cache: several mirrors, content checked, written whole or not at all."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.data.inflate import digest
from dnnrun.data.places import Progress
from dnnrun.errors import DataError, DownloadError

CONNECT = 5.0  # seconds to wait for a connection
SILENCE = 20.0  # seconds to wait for the next bytes
DEADLINE = 900.0  # seconds for one mirror, so that a trickle ends too


class _Refused(Exception):
    """What a mirror sends is not worth receiving on."""


class _Sink:
    """Where pooch writes to: memory, bounded in size. It is pooch's progress bar as well."""

    def __init__(self, name: str, largest: int, progress: Progress | None):
        self.name, self.largest, self.progress = name, largest, progress
        self.over = False  # nobody waits for the rest
        self.total = 0  # set by pooch; 0 where the server does not say
        self.content = bytearray()

    def write(self, chunk: bytes) -> None:
        if self.over:
            raise _Refused("is not waited for any more")
        self.content += chunk
        if len(self.content) > self.largest:
            raise _Refused(f"sent more than the {self.largest:,} bytes that were wanted")
        if self.progress is not None:
            self.progress(self.name, len(self.content), self.total if self.total >= len(self.content) else None)

    def flush(self) -> None:
        pass

    def update(self, count: int) -> None:
        pass

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def fetch(
    target: Path,
    mirrors: Sequence[str],
    *,
    sha256: str,
    size: int,
    progress: Progress | None = None,
    connect: float = CONNECT,
    silence: float = SILENCE,
    deadline: float = DEADLINE,
) -> Path:
    """Download to `target` (returned) from the first of the URLs `mirrors` that gives the right content.

    The content, inflated if it is gzip, must have `size` bytes and the digest `sha256`; how a mirror packed it does not
    matter. `target` gets what was sent, at once and whole. Times are in seconds, for each mirror. `progress` is called
    as Places.progress. Raises DownloadError with what every mirror said, RunDirectoryError or RunFailed where the
    cache cannot be written.
    """
    files.make_folder(target.parent, exist_ok=True)
    said = []
    for url in mirrors:
        sink = _Sink(target.name, size + size // 100 + 4096, progress)
        problem = _receive(url, sink, (connect, silence), deadline) or _differs(sink, sha256, size)
        if problem is None:
            files.write_atomic(target, sink.content)
            return target
        said.append(f"  {url}: {problem}")
    raise DownloadError(
        "\n".join(
            [
                f"{target.name} could not be downloaded:",
                *(said or ["  no mirror is known"]),
                f"put the file into {target.parent} by hand, or name a folder that has it in DNNRUN_DATA_DIR, "
                "or another mirror in DNNRUN_MIRROR",
            ]
        )
    )


def _receive(url: str, sink: _Sink, timeout: tuple[float, float], deadline: float) -> str | None:
    """What went wrong, or None. In a thread, since neither a name server nor a trickle of bytes has a time limit."""
    outcome: Future[str | None] = Future()

    def work() -> None:
        try:
            outcome.set_result(_transfer(url, sink, timeout))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="download", daemon=True).start()
    try:
        return outcome.result(deadline)
    except TimeoutError:
        return f"was not done after {deadline:g} s"
    finally:
        sink.over = True


def _transfer(url: str, sink: _Sink, timeout: tuple[float, float]) -> str | None:
    if not url.startswith(("http://", "https://")):
        return "is no http or https address"
    import pooch
    import requests

    receive: Any = pooch.HTTPDownloader(progressbar=sink, chunk_size=1 << 16, timeout=timeout)  # pyright: ignore
    try:
        receive(url, sink, None)
    except _Refused as error:
        return str(error)
    except requests.HTTPError as error:
        answer: Any = error.response
        return f"answered {answer.status_code} {answer.reason}"
    except requests.exceptions.SSLError as error:
        return f"no safe connection ({_last(error)})"
    except requests.ConnectTimeout:
        return f"no connection within {timeout[0]:g} s"
    except requests.exceptions.ChunkedEncodingError:
        return "the transfer was cut off"
    except requests.RequestException as error:
        if "timed out" in str(error).lower():
            return f"sent nothing for {timeout[1]:g} s"
        return f"no connection ({_last(error)})"
    return None


def _last(error: BaseException) -> str:
    """The innermost reason in one line, without the addresses of objects that requests and urllib3 print."""
    reason: BaseException = error
    while True:
        inner = getattr(reason, "reason", None) or next((a for a in reason.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException):
            break
        reason = inner
    cause = reason.__cause__ or reason.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(reason).__name__


def _differs(sink: _Sink, sha256: str, size: int) -> str | None:
    """How the content differs from what was wanted, or None."""
    try:
        found = digest(io.BytesIO(sink.content), "it", size)
    except DataError as error:
        return f"sent {len(sink.content):,} bytes that cannot be used: {str(error).split(';')[0]}"
    if found != sha256:
        return f"sent another content (sha256 {found[:12]}..., wanted {sha256[:12]}...)"
    return None
