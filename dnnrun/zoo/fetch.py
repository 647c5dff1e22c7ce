"""A model from elsewhere: local, http, s3, gs or the Hugging Face Hub, through fsspec, into a folder beside the zoo."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnnrun import files
from dnnrun.errors import MissingExtra, ZooError
from dnnrun.zoo.catalogue import SMALL, SUMS
from dnnrun.zoo.unpack import is_archive, unpack

CHUNK = 1 << 20
LARGEST = 16 << 30
CONNECT, SILENCE = 10.0, 30.0  # seconds
FOLDER = ("config.json", "model.safetensors.index.json", "model.safetensors", "README.md")  # of a Hub folder
Progress = Callable[[str, int, int | None], None]


@dataclass
class Remote:
    """A folder or a file somewhere. `progress` hears (name, bytes done, bytes in all or None)."""

    url: str
    progress: Progress | None = None
    left: int = field(default=LARGEST)

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        self.system, self.path = _open(self.url)

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]

    def fetch(self, folder: Path, sha256: str | None) -> Path:
        """All that belongs to it in the empty `folder`, checked; returns the file or folder that it is there.

        Raises ZooError where it is not there, cut short, too large, or not what its checksums say.
        """
        if is_archive(self.name):
            archive = folder / self.name
            self.file("", archive, sha256)
            target = folder / "unpacked"
            files.make_folder(target)
            return unpack(archive, target, LARGEST)
        if "." in self.name and self.name.rpartition(".")[2] in (
            "safetensors",
            "npz",
            "onnx",
            "keras",
            "h5",
            "pt",
            "pth",
        ):
            self.file("", folder / self.name, sha256)
            return folder / self.name
        if sha256 is not None:
            raise ZooError(f"{self.url}: --sha256 is for one file, and this is a folder")
        self._folder(folder)
        return folder

    def _folder(self, folder: Path) -> None:
        if self.file(SUMS, folder / SUMS, None, optional=True, largest=SMALL):
            try:
                sums = json.loads((folder / SUMS).read_bytes())["files"].items()
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
                raise ZooError(f"{self.url}/{SUMS}: cannot be used; the model there is damaged") from None
            for name, value in sums:
                if Path(name).name != name or name.startswith("."):
                    raise ZooError(f"{self.url}/{SUMS}: names {name!r}, wanted files of its own folder")
                self.file(name, folder / name, str(value))
            return
        got = [name for name in FOLDER if self.file(name, folder / name, None, optional=True)]
        if "model.safetensors.index.json" in got:
            try:
                named = json.loads((folder / "model.safetensors.index.json").read_bytes())["weight_map"].values()
                shards = sorted({str(name) for name in named})
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
                raise ZooError(f"{self.url}/model.safetensors.index.json: cannot be used") from None
            for name in shards:
                if Path(name).name != name or name.startswith("."):
                    raise ZooError(f"{self.url}: names the file {name!r}, wanted files of its own folder")
                if not (folder / name).exists():
                    self.file(name, folder / name, None)
        elif "model.safetensors" not in got:
            raise ZooError(
                f"{self.url}: no model there; wanted a folder with {SUMS} (a model of a zoo) or model.safetensors (as "
                "on the Hugging Face Hub), a .safetensors file, or an archive of these"
            )

    def file(
        self, name: str, target: Path, sha256: str | None, *, optional: bool = False, largest: int = LARGEST
    ) -> bool:
        """Fetch one file. False where it is `optional` and not there. Raises ZooError."""
        path = f"{self.path}/{name}" if name else self.path
        told, digest = f"{self.url}/{name}" if name else self.url, hashlib.sha256()
        size = 0

        def chunks(file: Any) -> Iterator[bytes]:
            nonlocal size
            while chunk := file.read(CHUNK):
                size += len(chunk)
                self.left -= len(chunk)
                if size > largest or self.left < 0:
                    raise ZooError(f"{told}: more than {largest:,} bytes; not taken")
                digest.update(chunk)
                if self.progress:
                    self.progress(target.name, size, None)
                yield chunk

        try:
            wanted = self.system.size(path)
            with self.system.open(path, "rb", **({"block_size": 0} if _is_http(self.url) else {})) as file:
                files.write_new(target, chunks(file))
        except FileNotFoundError:
            if optional:
                return False
            raise ZooError(f"{told}: not found") from None
        except ZooError:
            raise
        except Exception as error:  # each file system of fsspec has errors of its own
            from dnnrun.errors import DnnrunError

            if isinstance(error, DnnrunError):
                raise
            raise ZooError(f"{told}: cannot be fetched ({type(error).__name__}: {str(error)[:150]})") from None
        if wanted is not None and size != wanted:
            raise ZooError(f"{told}: cut short, {size:,} of {wanted:,} bytes; try again")
        if sha256 is not None and digest.hexdigest() != sha256.lower():
            raise ZooError(f"{told}: its sha256 is {digest.hexdigest()[:16]}..., wanted {sha256[:16]}...; not taken")
        if self.progress:
            self.progress(target.name, size, size)
        return True


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _open(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise MissingExtra("zoo pull", "fsspec", "remote") from None
    options: dict[str, Any] = {}
    try:
        if _is_http(url):
            import aiohttp

            options["client_kwargs"] = {
                "timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
            }
        return fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise ZooError(f"{url}: {error}; install what it names, or download the files and pull the folder") from None
    except ValueError as error:
        raise ZooError(f"{url}: {error}; wanted a path, or an address with http, https, s3, gs or hf") from None
