"""Downloads from a server of our own: what is good arrives whole, what is not leaves nothing but its reason."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dnnrun import files
from dnnrun.data import download, places
from dnnrun.errors import DownloadError, RunDirectoryError
from tests.data.server import Server

CONTENT = bytes(range(256)) * 40
PACKED = gzip.compress(CONTENT, mtime=0)
SHA = hashlib.sha256(CONTENT).hexdigest()


def get(target: Path, *mirrors: str, **options: float) -> Path:
    return download.fetch(target, mirrors, sha256=SHA, size=len(CONTENT), **options)  # pyright: ignore


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    "sent", [PACKED, gzip.compress(CONTENT, 1), CONTENT], ids=["as published", "repacked", "plain"]
)
def test_the_packing_does_not_matter(sent: bytes, tmp_path: Path, server: Server) -> None:
    server.good["/x.gz"] = sent
    target = get(tmp_path / "cache" / "mnist" / "x.gz", server.url("/x.gz"))
    assert target.read_bytes() == sent
    assert [p.name for p in target.parent.iterdir()] == ["x.gz"]


def test_progress_is_told(tmp_path: Path, server: Server) -> None:
    server.good["/x.gz"] = PACKED
    told: list[tuple[str, int, int | None]] = []
    download.fetch(
        tmp_path / "x.gz",
        [server.url("/x.gz")],
        sha256=SHA,
        size=len(CONTENT),
        progress=lambda *event: told.append(event),
    )
    assert told[-1] == ("x.gz", len(PACKED), len(PACKED))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_every_mirror_says_why(tmp_path: Path, server: Server) -> None:
    other = gzip.compress(b"other", mtime=0)
    server.good["/other"] = other
    server.good["/page"] = b"<html>" * 100
    server.good["/large"] = bytes(len(CONTENT) * 2)
    server.good["/bomb"] = gzip.compress(bytes(1_000_000))
    server.good["/half"] = PACKED[:-20]
    server.cut["/cut"] = PACKED
    server.slow["/slow"] = PACKED
    closed = f"http://127.0.0.1:{closed_port()}/x"
    limit = len(CONTENT) + len(CONTENT) // 100 + 4096

    def digest(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()[:12]

    said = {
        server.url("/none"): "answered 404 Not Found",
        server.url("/other"): f"sent another content (sha256 {digest(b'other')}..., wanted {SHA[:12]}...)",
        server.url("/page"): f"sent another content (sha256 {digest(b'<html>' * 100)}..., wanted {SHA[:12]}...)",
        server.url("/large"): f"sent more than the {limit:,} bytes that were wanted",
        server.url("/bomb"): f"sent {len(server.good['/bomb']):,} bytes that cannot be used: "
        f"it: holds more than the {len(CONTENT):,} bytes that were wanted",
        server.url("/half"): f"sent {len(PACKED) - 20:,} bytes that cannot be used: it: its gzip data is cut off",
        server.url("/cut"): "the transfer was cut off",
        server.url("/slow"): "sent nothing for 0.3 s",
        closed: "no connection (Connection refused)",
        "file:///etc/hostname": "is no http or https address",
    }
    target = tmp_path / "cache" / "x.gz"
    start = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        get(target, *said, silence=0.3)
    assert time.monotonic() - start < 5
    assert str(caught.value).splitlines() == [
        "x.gz could not be downloaded:",
        *(f"  {url}: {problem}" for url, problem in said.items()),
        f"put the file into {target.parent} by hand, or name a folder that has it in DNNRUN_DATA_DIR, "
        "or another mirror in DNNRUN_MIRROR",
    ]
    assert caught.value.exit_code == 2
    assert list(target.parent.iterdir()) == []


def test_the_first_good_mirror_is_taken(tmp_path: Path, server: Server) -> None:
    server.good["/x"] = PACKED
    get(tmp_path / "x", server.url("/none"), server.url("/x"), server.url("/never"))
    assert server.asked == ["/none", "/x"]


def test_a_trickle_ends(tmp_path: Path, server: Server) -> None:
    server.trickle["/x"] = PACKED
    with pytest.raises(DownloadError, match=r"was not done after 0\.3 s"):
        get(tmp_path / "x", server.url("/x"), deadline=0.3)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_host_is_quick_and_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DownloadError, match=r"no connection \(Temporary failure in name resolution\)"):
        get(tmp_path / "x", "http://mirror.invalid/x")


@pytest.mark.parametrize("k", range(1, 8))
def test_a_crash_leaves_no_half_file_under_the_name(k: int, tmp_path: Path, server: Server) -> None:
    server.good["/x"] = PACKED
    count = 0

    def crash(operation: str, path: Path) -> None:
        nonlocal count
        count += 1
        if count == k:
            raise KeyboardInterrupt

    files.observe = crash
    try:
        get(tmp_path / "cache" / "x", server.url("/x"))
    except KeyboardInterrupt:
        pass
    finally:
        files.observe = None
    target = tmp_path / "cache" / "x"
    assert not target.exists() or target.read_bytes() == PACKED
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_cache_that_cannot_be(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunDirectoryError, match=r"cannot create .*Not a directory"):
        get(tmp_path / "file" / "mnist" / "x", server.url("/x"))
    assert server.asked == []


HOME: list[tuple[dict[str, str], Callable[[Path], Path]]] = [
    ({}, lambda home: home / ".cache" / "dnnrun"),
    ({"XDG_CACHE_HOME": "/x/cache"}, lambda home: Path("/x/cache/dnnrun")),
    ({"XDG_CACHE_HOME": "relative"}, lambda home: home / ".cache" / "dnnrun"),
    ({"XDG_CACHE_HOME": "/x/cache", "DNNRUN_CACHE": "~/mine"}, lambda home: home / "mine"),
]


@pytest.mark.parametrize(("variables", "wanted"), HOME)
def test_where_the_cache_is(
    variables: dict[str, str], wanted: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "DNNRUN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert places.default_cache() == wanted(tmp_path)


def test_where_files_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNRUN_DATA_DIR", "/a::/b")
    assert places.data_folders() == (Path("/a"), Path("/b"))
    monkeypatch.delenv("DNNRUN_DATA_DIR")
    assert places.data_folders() == ()
