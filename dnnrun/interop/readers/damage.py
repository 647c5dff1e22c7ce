"""What Python's own readers raise for a damaged archive: more than they document."""

from __future__ import annotations

import tarfile

from dnnrun.data import npy

DAMAGED: tuple[type[Exception], ...] = (*npy.DAMAGED, tarfile.TarError)
