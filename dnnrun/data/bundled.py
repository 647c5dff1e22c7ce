"""The small tables that scikit-learn brings along. It is not imported for them: that takes a second."""

from __future__ import annotations

from pathlib import Path

from dnnrun.errors import DataError

ADVICE = "install the scikit-learn that constraints.txt names"


def bundled(name: str, file: str, comes: str = "it comes") -> tuple[Path, bytes]:
    """Where scikit-learn keeps a file, and its text, unpacked. Raises DataError, which begins with `name`."""
    import io

    from dnnrun.data.inflate import Inflated

    path = _folder(name, comes) / file
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: {path} cannot be read ({error.strerror}); {ADVICE}") from error
    stream, text = Inflated(io.BytesIO(packed), str(path)), b""
    while len(text) <= 1 << 20 and (chunk := stream.read()):
        text += chunk
    return path, text


def _folder(name: str, comes: str) -> Path:
    import importlib.util

    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"{name}: {comes} with scikit-learn, which is not installed; pip install scikit-learn")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"
