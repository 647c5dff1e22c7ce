"""MNIST and Fashion-MNIST: four IDX files, found in a folder or in the cache, or downloaded into it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from dnnrun.data.source import Places, Raw, Rows, Source, TaskName
from dnnrun.errors import DataError

if TYPE_CHECKING:
    import numpy as np

# The files in the order train images, train labels, test images, test labels, and their sizes unpacked.
NAMES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
SIDE, CLASSES = 28, 10


class _Mnist(Source):
    """What the two have in common. `published` is the sha256 of each file's content, in the order of NAMES."""

    task: ClassVar[TaskName | None] = "classification"
    title: ClassVar[str]
    subfolders: ClassVar[tuple[str, ...]]
    mirrors: ClassVar[tuple[str, ...]]
    published: ClassVar[tuple[str, ...]]
    labels: ClassVar[tuple[str, ...]]
    alone: ClassVar[bool]  # whether files lying directly in a folder are taken for these, whatever they hold

    def read(self, places: Places) -> Raw:
        """Features (60000, 784) and (10000, 784) uint8, labels 0-9.

        Raises DataError where a file is damaged or not the published one, DownloadError where it cannot be had.
        """
        import hashlib

        from dnnrun.data.places import default_cache

        cache = (places.cache or default_cache()) / self.subfolders[0]
        with ThreadPoolExecutor(len(NAMES)) as threads:  # inflating and hashing release the GIL
            read = list(threads.map(lambda name: self._find(name, places.folders, cache), NAMES))
            for number, (name, found) in enumerate(zip(NAMES, read, strict=True)):
                if found is None:
                    if absent := [str(folder) for folder in places.folders if not folder.is_dir()]:
                        raise DataError(
                            f"{self.type}: {', '.join(absent)} is not a folder; correct DNNRUN_DATA_DIR or --data-dir"  # type: ignore[attr-defined]
                        )
                    read[number] = self._download(name, cache, places)
        arrays = [array for array in read if array is not None]
        return Raw(
            train=self._rows("train", arrays[0], arrays[1]),
            test=self._rows("test", arrays[2], arrays[3]),
            classes=self.labels,
            image=(SIDE, SIDE, 1),
            largest=255,
            fingerprint=hashlib.sha256("".join(self.published).encode()).hexdigest(),
        )

    def _find(self, name: str, folders: tuple[Path, ...], cache: Path) -> np.ndarray | None:
        """The array of a file in the folders, else in the cache; None where both lack it, or the cache's is damaged."""
        for folder in folders:
            for subfolder in (*self.subfolders, ""):
                for path in (folder / subfolder / f"{name}.gz", folder / subfolder / name):
                    if os.path.exists(path) and (array := self._load(path, name, certain=bool(subfolder))) is not None:
                        return array
        for path in (cache / f"{name}.gz", cache / name):
            if os.path.exists(path):
                try:
                    return self._load(path, name, certain=True)
                except DataError:  # the cache is ours: what is damaged in it is fetched again
                    continue
        return None

    def _load(self, path: Path, name: str, *, certain: bool) -> np.ndarray | None:
        """The array of one file. Where it is not `certain` that the file is meant, None if it is another set's."""
        from dnnrun.data import idx

        try:
            array, found = idx.read(path, dimensions=3 if "images" in name else 1, largest=NAMES[name])
        except DataError:
            if certain or self.alone:
                raise
            return None
        wanted = dict(zip(NAMES, self.published, strict=True))[name]
        if found == wanted:
            return array
        others = {sha for member in (Mnist, FashionMnist) for sha in member.published}
        if not certain and (not self.alone or found in others):
            return None
        raise DataError(
            f"{path}: not the published {self.title} (sha256 of its content {found}, wanted {wanted}); "
            "replace the file or move it away"
        )

    def _download(self, name: str, cache: Path, places: Places) -> np.ndarray:
        from dnnrun.data.download import fetch

        own = os.environ.get("DNNRUN_MIRROR")
        bases = (f"{own.rstrip('/')}/{self.subfolders[0]}",) if own else self.mirrors
        path = fetch(
            cache / f"{name}.gz",
            [f"{base}/{name}.gz" for base in bases],
            sha256=dict(zip(NAMES, self.published, strict=True))[name],
            size=NAMES[name],
            progress=places.progress,
        )
        array = self._load(path, name, certain=True)
        assert array is not None  # a certain file is read or refused
        return array

    def _rows(self, split: str, images: np.ndarray, labels: np.ndarray) -> Rows:
        if images.shape[1:] != (SIDE, SIDE) or images.dtype != "uint8":
            found = " x ".join(map(str, images.shape[1:]))
            raise DataError(f"{self.title}: its {split} images are {found} {images.dtype}, wanted 28 x 28 uint8")
        if len(images) != len(labels):
            raise DataError(f"{self.title}: {len(images):,} {split} images and {len(labels):,} labels; wanted as many")
        if len(labels) and not 0 <= labels.min() <= labels.max() < CLASSES:
            raise DataError(f"{self.title}: {split} labels go from {labels.min()} to {labels.max()}, wanted 0 to 9")
        return Rows(images.reshape(len(images), SIDE * SIDE), labels.astype("int32"))


class Mnist(_Mnist):
    """70,000 handwritten digits of 28 x 28 pixels (60,000 to train, 10,000 to test)."""

    type: Literal["mnist"] = "mnist"

    title = "MNIST"
    subfolders = ("mnist",)
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    )
    published = (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    )
    labels = tuple(str(digit) for digit in range(CLASSES))
    alone = True


class FashionMnist(_Mnist):
    """70,000 pictures of clothes, 28 x 28 pixels, ten kinds (60,000 to train, 10,000 to test)."""

    type: Literal["fashion_mnist"] = "fashion_mnist"

    title = "Fashion-MNIST"
    subfolders = ("fashion-mnist", "fashion_mnist")
    mirrors = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",  # has no https; the content is checked anyway
    )
    published = (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    )
    labels = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    alone = False
