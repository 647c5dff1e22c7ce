"""One image file as pixels: its size is checked before it is decoded, what is odd about it is an error."""

from __future__ import annotations

import math
import stat
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from dnnrun.data.room import Room

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # all of them decoded inside Pillow
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
GREY = ("1", "L", "LA", "La")
THREADS = 4  # decoding releases the GIL
PIECE, FILES = 1 << 24, 512  # bytes of pixels, and files, that are decoded before they are put away
SOON = 1.0  # seconds that are over before anybody wants to be told
ORIENTATION, ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # of EXIF
BACKGROUNDS = {"black": (0, 0, 0, 255), "white": (255, 255, 255, 255)}

Mode = Literal["grey", "rgb"]
Background = Literal["black", "white"]
Told = Callable[[int], None]


@dataclass(frozen=True)
class Like:
    """What all images of some files must be: `shape` (height, width, channels). `told` ends the error for another size:
    what is wanted, and what to do."""

    shape: tuple[int, int, int]
    told: str


@dataclass(frozen=True)
class Decoder:
    """How files become pixels: of `mode`, stretched to `size` (height, width) where it is given.

    Without a mode that of the first file decides, and no colour is lost. `background` shows through transparent
    pixels; None: they are refused.
    """

    mode: Mode | None
    size: tuple[int, int] | None = None
    background: Background | None = None

    def read(self, path: Path, whole: bool = False) -> np.ndarray:
        """The pixels, (height, width, channels) uint8. Raises DataError, which begins with the path.

        A photograph is turned as its EXIF data says. With `whole`, an image of colours cannot become a grey one.
        """
        import numpy as np
        from PIL import Image, ImageOps

        with opened(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            _check_depth(path, upright)
            opaque = self._opaque(path, upright, whole)
            if self.size and (opaque.height, opaque.width) != self.size:
                opaque = opaque.resize((self.size[1], self.size[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(opaque, np.uint8)
        return pixels.reshape(*pixels.shape[:2], -1)

    def _opaque(self, path: Path, image: Any, whole: bool) -> Any:
        """`image` in its mode, transparent pixels laid over the background."""
        from PIL import Image

        grey = image.mode in GREY
        if whole and self.mode == "grey" and not grey:
            raise DataError(f"{path}: in colour, and the first image is grey; say `mode: grey` or `mode: rgb`")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            if image.getchannel("A").getextrema()[0] < 255:
                if self.background is None:
                    raise DataError(
                        f"{path}: has transparent pixels, wanted opaque ones; say what shows through, as "
                        "`background: white`"
                    )
                below = Image.new("RGBA", image.size, BACKGROUNDS[self.background])
                image = Image.alpha_composite(below, image)
        return image.convert("L" if self.mode == "grey" or (self.mode is None and grey) else "RGB")

    def read_all(
        self, paths: Sequence[Path], room: Room | None = None, told: Told | None = None, like: Like | None = None
    ) -> np.ndarray:
        """The pixels of one or more files, (files, height, width, channels) uint8; mapped from disk in a `room`.

        All must be `like` what is given, None: like the first one. `told` is called with how many files are done: 0 at
        first, and more where it takes its time. Raises DataError for the first file that cannot be read, or is of
        another size.
        """
        import numpy as np

        with bombs_are_errors():
            like = like or self._like(paths[0])
            shape = (len(paths), *like.shape)
            pieces = self._pieces(paths, like, told)
            if room is not None:
                return room.rows((piece.data for piece in pieces), shape, np.uint8)
            _check_memory(paths, math.prod(shape))
            rows, done = np.empty(shape, np.uint8), 0
            for piece in pieces:
                rows[done : done + len(piece)] = piece
                done += len(piece)
        return rows

    def like(self, path: Path) -> Like:
        """What others must be so that they go with a file: its size, and its colours where no mode is said."""
        with bombs_are_errors():
            return self._like(path)

    def _like(self, path: Path) -> Like:
        height, width, channels = self.read(path).shape
        advice = f"give the height and width that all are brought to, as `size: [{height}, {width}]`"
        return Like((height, width, channels), f"and {path} has {height:,} x {width:,}; {advice}")

    def _pieces(self, paths: Sequence[Path], like: Like, told: Told | None) -> Iterator[np.ndarray]:
        """The pixels of some files at a time."""
        import numpy as np

        decoder, guessed = replace(self, mode="grey" if like.shape[2] == 1 else "rgb"), self.mode is None
        size = math.prod(like.shape)

        def read(path: Path) -> np.ndarray:
            pixels = decoder.read(path, guessed)
            if pixels.shape != like.shape:
                raise DataError(f"{path}: {pixels.shape[0]:,} x {pixels.shape[1]:,} pixels, {like.told}")
            return pixels

        if told is not None:
            told(0)
        count, began = max(THREADS, min(FILES, PIECE // max(1, size))), time.monotonic()
        with ThreadPoolExecutor(THREADS) as threads:
            try:
                for start in range(0, len(paths), count):
                    some = paths[start : start + count]
                    rows = np.empty((len(some), *like.shape), np.uint8)
                    for number, pixels in enumerate(threads.map(read, some)):
                        rows[number] = pixels
                        if told is not None and time.monotonic() - began >= SOON:
                            told(start + number + 1)
                    yield rows
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise


def _check_memory(paths: Sequence[Path], wanted: int) -> None:
    import psutil

    if wanted > (free := psutil.virtual_memory().available):
        raise DataError(
            f"{paths[0]} and {len(paths) - 1:,} more of its size are {wanted:,} bytes of pixels, more than the "
            f"{free:,} of memory that are free; make them smaller with `size`, or train with data.stream"
        )


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file, not yet decoded. Raises DataError where its header says that it cannot be used, or it is none."""
    from PIL import Image

    with _named(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: no plain file; wanted an image")
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > (most := most_pixels()):
                raise _too_large(path, f"{image.height:,} x {image.width:,}", most)
            if (frames := getattr(image, "n_frames", 1)) > 1:
                raise DataError(f"{path}: {frames} pictures in one file, wanted one; save each in a file of its own")
            _check_depth(path, image)
            yield image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width as its EXIF data turns it."""
    lying = image.getexif().get(ORIENTATION) in ON_ITS_SIDE
    return (image.width, image.height) if lying else (image.height, image.width)


def _check_depth(path: Path, image: Image.Image) -> None:
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{path}: pixels of more than 8 bits ({image.mode}), wanted 8; convert it")


def most_pixels() -> int:
    """Of an image, all in all: Pillow's limit against decompression bombs."""
    from PIL import Image

    most: Any = Image.MAX_IMAGE_PIXELS
    return most


def _too_large(path: Path, found: str, most: int) -> DataError:
    return DataError(f"{path}: {found} pixels, wanted at most {most:,} in all; make it smaller")


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """For all threads: filters of warnings are not theirs to change."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `opened` makes an error of it
        yield


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what Pillow raises for a damaged file, or one of another kind, into a DataError."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: not found; wanted an image") from None
    except Image.DecompressionBombError:  # Pillow's own limit, at twice as many
        raise _too_large(path, f"more than {2 * most_pixels():,}", most_pixels()) from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that can be read; wanted {', '.join(FORMATS)}") from None
    except Exception as error:  # Pillow's decoders raise more than they document: SyntaxError, struct.error, ...
        told = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as an image ({told}); replace it or take it away") from None
