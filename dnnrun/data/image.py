"""One image file as pixels: its size is checked before it is decoded, what is odd about it is an error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # all of them decoded inside Pillow
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
GREY = ("1", "L", "LA", "La")
THREADS = 4  # decoding releases the GIL
BACKGROUNDS = {"black": (0, 0, 0, 255), "white": (255, 255, 255, 255)}

Mode = Literal["grey", "rgb"]
Background = Literal["black", "white"]


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

        with _named(path), path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            most: Any = Image.MAX_IMAGE_PIXELS
            if image.width * image.height > most:
                raise DataError(
                    f"{path}: {image.height:,} x {image.width:,} pixels, wanted at most {most:,} in all; "
                    "make it smaller"
                )
            if (frames := getattr(image, "n_frames", 1)) > 1:
                raise DataError(f"{path}: {frames} pictures in one file, wanted one; save each in a file of its own")
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                raise DataError(f"{path}: pixels of more than 8 bits ({upright.mode}), wanted 8; convert it")
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

    def read_all(self, paths: Sequence[Path]) -> np.ndarray:
        """The pixels of one or more files, (files, height, width, channels) uint8.

        Raises DataError for the first file that cannot be read, or where they differ in size.
        """
        from PIL import Image

        with warnings.catch_warnings():  # for all threads: it is not theirs to change
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # what it warns of is an error here
            return self._read_all(paths)

    def _read_all(self, paths: Sequence[Path]) -> np.ndarray:
        import numpy as np
        import psutil

        first = self.read(paths[0])
        mode: Mode = "grey" if first.shape[2] == 1 else "rgb"
        decoder, guessed = replace(self, mode=mode), self.mode is None
        if (wanted := first.size * len(paths)) > (free := psutil.virtual_memory().available):
            raise DataError(
                f"{paths[0]} and {len(paths) - 1:,} more of its size are {wanted:,} bytes of pixels, more than the "
                f"{free:,} of memory that are free; make them smaller with `size`"
            )
        rows = np.empty((len(paths), *first.shape), np.uint8)

        def fill(number: int) -> None:
            pixels = decoder.read(paths[number], guessed)
            if pixels.shape != first.shape:
                sizes = (f"{shape[0]} x {shape[1]}" for shape in (pixels.shape, first.shape))
                found, known = sizes
                raise DataError(
                    f"{paths[number]}: {found} pixels, and {paths[0]} has {known}; give the height and width that all "
                    f"are brought to, as `size: [{first.shape[0]}, {first.shape[1]}]`"
                )
            rows[number] = pixels

        with ThreadPoolExecutor(THREADS) as threads:
            try:
                for _ in threads.map(fill, range(len(paths))):
                    pass
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        return rows


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
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}; make it smaller") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that can be read; wanted {', '.join(FORMATS)}") from None
    except Exception as error:  # Pillow's decoders raise more than they document: SyntaxError, struct.error, ...
        told = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as an image ({told}); replace it or take it away") from None
