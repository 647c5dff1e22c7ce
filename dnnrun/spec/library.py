"""The specs that come with dnnrun."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from dnnrun.errors import DnnrunError


def configs() -> dict[str, Path]:
    """The packaged specs by name (`digits`, `ch11/bn_elu`), sorted: the installed package's, else the repository's."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "configs", package.parent / "configs"):
        if folder.is_dir():
            found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.yaml")}
            return dict(sorted(found.items()))
    return {}


def headline(path: Path) -> str:
    """The first comment line of a packaged spec, which says what it is; empty if it has none."""
    lines = path.read_text("utf-8").splitlines()
    return next((line.strip("# ") for line in lines if line.startswith("#")), "")


def config(name: str) -> Path:
    """The packaged spec called `name`. Raises DnnrunError, with the nearest name, if there is none."""
    known = configs()
    if name in known:
        return known[name]
    close = get_close_matches(name.removesuffix(".yaml"), known, 1)
    advice = f"did you mean {close[0]!r}?" if close else f"wanted one of: {', '.join(known)}"
    raise DnnrunError(f"no packaged spec is called {name!r}; {advice}")
