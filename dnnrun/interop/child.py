"""The process that `apart.call` starts: limit the memory, do the task, answer on stdout.

Ends with 0 after an answer, 3 with the text of an InteropError, 4 where the memory did not do.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import suppress


def main() -> int:
    """Do what the one argument says; its `task` gets `arguments` and what stands on stdin, and returns bytes."""
    from dnnrun.errors import InteropError

    order = json.loads(sys.argv[1])
    answer = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    _limit(order["limit"])
    module, _, name = order["task"].partition(":")
    task = getattr(importlib.import_module(module), name)
    try:
        result, code = task(sys.stdin.buffer.read(), **order["arguments"]), 0
    except InteropError as error:
        result, code = str(error).encode(), 3
    except MemoryError:
        result, code = b"", 4
    with os.fdopen(answer, "wb") as out:
        out.write(result)
    sys.stderr.flush()
    os._exit(code)  # some libraries hang or crash while they end


def _limit(limit: int) -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
