"""TensorFlow checkpoints of version 1 and 2, by tensorflow's own reader, in a process of its own."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportMissingModuleSource=false
from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dnnrun.data.finding import natural
from dnnrun.errors import InteropError
from dnnrun.interop.names import TRAINING, plain
from dnnrun.interop.weights import Weights, pack

SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
STATE = "checkpoint"  # the text file in which a Saver notes what it saved last
TABLE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # how a table of version 1, or the index of version 2, ends


def prefix_of(path: Path) -> Path | None:
    """The checkpoint that a path means: its prefix, one of its files, or its folder; None where it means none."""
    if path.is_dir():
        try:
            text = (path / STATE).read_text("utf-8")[:10_000]
        except (OSError, ValueError):
            return None
        if not (named := re.search(r'^model_checkpoint_path: "([^"\\]+)"', text, re.MULTILINE)):
            return None
        return prefix_of(path / Path(named[1]).name)  # its folder may have moved; never another folder
    if path.name == STATE and path.is_file():
        return prefix_of(path.parent)
    prefix = path.with_name(SUFFIX.sub("", path.name))
    if prefix.with_name(f"{prefix.name}.index").is_file() or (prefix.is_file() and is_table(prefix)):
        return prefix
    return None


def is_table(path: Path) -> bool:
    """Whether a file ends as a checkpoint of version 1 does."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() < 48:
            return False
        file.seek(-8, 2)
        return file.read(8) == TABLE


def task(data: bytes, path: str) -> bytes:
    """`read` for `apart.call`."""
    return pack(read(Path(path)))


def read(prefix: Path) -> Weights:
    """The variables in the natural order of their names; an optimizer's are left out. Raises InteropError."""
    import tensorflow as tf

    limit = sum(file.stat().st_size for file in prefix.parent.glob(f"{prefix.name}*"))
    tensors, passed = {}, []
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes, kinds = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        for name in sorted(shapes, key=lambda name: natural(plain(name))):
            if TRAINING.fullmatch(plain(name)) or not (kinds[name].is_floating or kinds[name].is_integer):
                passed.append(name)
                continue
            if any(extent < 0 for extent in shapes[name]) or np.prod(shapes[name], dtype=float) > limit:
                raise InteropError(f"{prefix}: {name} declares {shapes[name]} values, more than its files have")
            tensors[name] = np.asarray(reader.get_tensor(name))
    except (tf.errors.OpError, RuntimeError, ValueError, UnicodeDecodeError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InteropError(f"{prefix}: tensorflow cannot read it ({told}); copy all files of the checkpoint") from None
    if not tensors:
        raise InteropError(f"{prefix}: has no variables")
    return Weights("tensorflow", tensors, orientation="in_out", epsilon=1e-3, passed=tuple(passed))
