"""One malicious file of each known class: a typed error in 5 s and 1 GB, and the canary lives.

Where the file's own library is not installed, its readers refuse to begin, which proves nothing: those tests are
skipped, and run by `make frameworks`.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnrun.errors import DnnrunError, InteropError, ZooError
from dnnrun.imported import Wanted, read_import
from dnnrun.interop.readers.arrays import npz_bytes
from dnnrun.store.zoo_place import model_folder
from dnnrun.zoo.unpack import unpack

SECONDS, MEMORY = 5.0, 1 << 30


class Trap:
    """Removes the canary when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.remove, (str(self.canary),)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary"
    path.write_text("alive")
    return path


def npy_header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def npy_pickle(canary: Path) -> bytes:
    target = io.BytesIO()
    np.save(target, np.array([Trap(canary)], dtype=object), allow_pickle=True)
    return target.getvalue()


def safetensors_header(header: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def torch_pickle(canary: Path) -> bytes:
    return zipped({"archive/data.pkl": pickle.dumps(Trap(canary), 2), "archive/version": b"3\n"})


def keras_archive(config: Any, weights: bytes) -> bytes:
    return zipped({"metadata.json": b"{}", "config.json": json.dumps(config).encode(), "model.weights.h5": weights})


def hdf5(fill: Callable[[Any], None]) -> bytes:
    import h5py

    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        fill(file)
    return target.getvalue()


def lambda_layer(canary: Path) -> bytes:
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}
    layers = [{"class_name": "Lambda", "config": {"name": "trap", "function": code}}]
    config = {"class_name": "Sequential", "config": {"layers": layers}}
    return keras_archive(config, hdf5(lambda file: file.create_dataset("layers/x/vars/0", data=np.ones(3))))


def external_link(canary: Path) -> bytes:
    import h5py

    return hdf5(lambda file: file.__setitem__("dense", h5py.ExternalLink(str(canary), "/x")))


def external_storage(canary: Path) -> bytes:
    return hdf5(lambda file: file.create_dataset("dense/kernel", (5,), "u1", external=[(str(canary), 0, 5)]))


def huge_dataset(canary: Path) -> bytes:
    def fill(file: Any) -> None:
        file.create_dataset("dense/kernel", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")

    return hdf5(fill)


def onnx_model(tensor: Any) -> bytes:
    from onnx import TensorProto, helper

    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "W"], ["y"])], "g", [info[0]], [info[1]], [tensor])
    return helper.make_model(graph).SerializeToString()


def onnx_external(location: str) -> bytes:
    from onnx import TensorProto

    tensor = TensorProto(name="W", dims=[2, 2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "16"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return onnx_model(tensor)


def onnx_huge(canary: Path) -> bytes:
    from onnx import TensorProto

    return onnx_model(TensorProto(name="W", dims=[10**6, 10**6], data_type=TensorProto.FLOAT, raw_data=b"1234"))


def expanded_torch(canary: Path) -> bytes:
    """A tensor that claims 10^12 values over one stored one."""
    code = (
        "import sys, torch, io; b = io.BytesIO(); "
        "torch.save({'a.weight': torch.zeros(1).expand(10**6, 10**6)}, b); sys.stdout.buffer.write(b.getvalue())"
    )
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120).stdout


# name of the file, what makes it, the package that reads it, a part of the error
CORPUS: list[tuple[str, Callable[[Path], bytes], str | None, str]] = [
    ("pickle.npy", npy_pickle, None, "holds pickled objects, which could run code"),
    ("pickle.npz", lambda c: zipped({"a.npy": npy_pickle(c)}), None, "holds pickled objects, which could run code"),
    ("huge.npy", lambda c: npy_header("(1000000, 1000000)") + b"1234", None, "declares 4,000,000,000,000 bytes"),
    (
        "huge.npz",
        lambda c: zipped({"a.npy": npy_header("(1000000, 1000000)")}),
        None,
        "declares 4,000,000,000,000 bytes",
    ),
    ("negative.npy", lambda c: npy_header("(-5, 2)"), None, "declares the shape [-5, 2]"),
    ("header.npy", lambda c: npy_header("(" * 60 + "1" + ",)" * 60), None, "not a NumPy array"),
    (
        "bomb.npz",
        lambda c: zipped({"a.npy": npy_header("(300000000,)") + bytes(4)}, zipfile.ZIP_DEFLATED),
        None,
        "declares 1,200,000,000 bytes",
    ),
    (
        "huge.safetensors",
        lambda c: safetensors_header({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}),
        None,
        "not a whole safetensors file",
    ),
    ("length.safetensors", lambda c: struct.pack("<Q", 1 << 62) + b"{}", None, "not a whole safetensors file"),
    ("pickle.pt", torch_pickle, "torch", "holds Python objects beside tensors"),
    ("plain.bin", lambda c: pickle.dumps(Trap(c), 2), "torch", "plain.bin: "),
    (
        "script.pt",
        lambda c: zipped({"m/data.pkl": b"", "m/code/x.py": b"", "m/constants.pkl": b""}),
        "torch",
        "a TorchScript program, which is code",
    ),
    (
        "bomb.pt",
        lambda c: zipped({"m/data.pkl": b"", "m/data/0": bytes(50_000_000)}, zipfile.ZIP_DEFLATED),
        "torch",
        "unpacks to more than its size",
    ),
    ("expanded.pt", expanded_torch, "torch", "declares 1000000x1000000 values, more than the file has"),
    ("lambda.keras", lambda_layer, "h5py", "trap is a Lambda layer, which is code"),
    ("link.h5", external_link, "h5py", "is a link to"),
    ("storage.h5", external_storage, "h5py", "lie in another file, which is not read"),
    ("huge.weights.h5", huge_dataset, "h5py", "declares 1000000x1000000 values"),
    (
        "bomb.keras",
        lambda c: zipped(
            {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": bytes(300_000_000)}, zipfile.ZIP_DEFLATED
        ),
        "h5py",
        "made to fill the memory",
    ),
    ("up.onnx", lambda c: onnx_external("../canary"), "onnx", "in another file, '../canary'"),
    ("absolute.onnx", lambda c: onnx_external(str(c)), "onnx", "in another file"),
    ("huge.onnx", onnx_huge, "onnx", "declares 1000000x1000000 values and has 1"),
]


@pytest.mark.parametrize(("name", "make", "package", "message"), CORPUS, ids=[entry[0] for entry in CORPUS])
def test_a_malicious_file(
    name: str, make: Callable[[Path], bytes], package: str | None, message: str, canary: Path
) -> None:
    if package and find_spec(package) is None:
        pytest.skip(f"{package} is not installed here; make frameworks runs this test where it is")
    folder = canary.parent / "in"
    folder.mkdir()
    (folder / name).write_bytes(make(canary))
    with pytest.raises(InteropError) as caught:
        read_import(folder / name, None, Wanted())
    assert message in str(caught.value)
    assert canary.read_text() == "alive"


MEASURED = """
import resource, sys
from pathlib import Path
from dnnrun.errors import DnnrunError
from dnnrun.imported import Wanted, read_import
try:
    read_import(Path(sys.argv[1]), None, Wanted())
except DnnrunError:
    # Not RUSAGE_SELF's: it begins with the size of the process that started this one
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    used = max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(sum(each.ru_utime + each.ru_stime for each in spent), used * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make", "package", "message"), CORPUS, ids=[entry[0] for entry in CORPUS])
def test_it_costs_little(
    name: str, make: Callable[[Path], bytes], package: str | None, message: str, canary: Path
) -> None:
    """In seconds of CPU, imports and all: a busy machine stretches those of the wall."""
    if package and find_spec(package) is None:
        pytest.skip(f"{package} is not installed here; make frameworks runs this test where it is")
    path = canary.parent / name
    path.write_bytes(make(canary))
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    seconds, memory = map(float, done.stdout.split())
    assert seconds < SECONDS
    assert memory < MEMORY


@pytest.mark.parametrize("inside", [False, True])
def test_external_data_outside_of_the_folder_is_not_read_even_when_asked_for(inside: bool, canary: Path) -> None:
    if find_spec("onnx") is None:
        pytest.skip("onnx is not installed here; make frameworks runs this test where it is")
    from dnnrun.foreign import Reading

    folder = canary.parent / "in"
    folder.mkdir()
    (folder / "link").symlink_to(canary)
    (folder / "m.onnx").write_bytes(onnx_external("link" if inside else "../canary"))
    with pytest.raises(InteropError, match="wanted a plain file in"):
        read_import(folder / "m.onnx", None, Wanted(reading=Reading(external=True)))


def tar_of(*members: tarfile.TarInfo) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return target.getvalue()


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 1) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    found.size = size if kind == tarfile.REGTYPE else 0
    return found


def zip_link() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "../canary")
    return target.getvalue()


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "up.tar": (tar_of(tar_member("../canary")), "'../canary' lies outside of its folder"),
    "absolute.tar": (tar_of(tar_member("/tmp/canary")), "lies outside of its folder"),
    "symlink.tar": (tar_of(tar_member("l", tarfile.SYMTYPE, "..")), "l is a link or a device"),
    "through.tar": (tar_of(tar_member("l", tarfile.SYMTYPE, ".."), tar_member("l/canary")), "l is a link or a device"),
    "hardlink.tar": (tar_of(tar_member("l", tarfile.LNKTYPE, "../canary")), "l is a link or a device"),
    "device.tar": (tar_of(tar_member("d", tarfile.CHRTYPE)), "d is a link or a device"),
    "fifo.tar": (tar_of(tar_member("f", tarfile.FIFOTYPE)), "f is a link or a device"),
    "twice.tar": (tar_of(tar_member("a"), tar_member("a")), "has a twice"),
    "large.tar": (tar_of(tar_member("a", size=2000)), "unpacks to more than 1,000 bytes"),
    "many.tar": (tar_of(*(tar_member(f"{at}", size=0) for at in range(1001))), "more than 1,000 members"),
    "up.zip": (zipped({"../canary": b"x"}), "'../canary' lies outside of its folder"),
    "backslash.zip": (zipped({"a\\..\\..\\canary": b"x"}), "lies outside of its folder"),
    "link.zip": (zip_link(), "link is a link or a device"),
    "bomb.zip": (zipped({"a": bytes(10_000_000)}, zipfile.ZIP_DEFLATED), "unpacks to more than 1,000 bytes"),
    "cut.zip": (zipped({"a": b"123"})[:40], "not a whole archive"),
    "not.tar.gz": (b"no archive at all", "not a whole archive"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_malicious_archive(name: str, canary: Path) -> None:
    content, message = ARCHIVES[name]
    archive, folder = canary.parent / name, canary.parent / "out"
    archive.write_bytes(content)
    folder.mkdir()
    with pytest.raises(ZooError) as caught:
        unpack(archive, folder, 1000)
    assert message in str(caught.value)
    assert canary.read_text() == "alive"
    assert sorted(path.name for path in canary.parent.iterdir()) == sorted(["canary", name, "out"])


@pytest.mark.parametrize("where", ["model", "file"])
def test_links_in_a_zoo_are_not_followed(where: str, canary: Path) -> None:
    zoo = canary.parent / "zoo"
    target = canary.parent / "elsewhere"
    target.mkdir()
    (zoo / "m").mkdir(parents=True)
    if where == "model":
        (zoo / "m").rmdir()
        (zoo / "m").symlink_to(target)
    else:
        (zoo / "m" / "model.safetensors").symlink_to(canary)
    with pytest.raises(ZooError, match=r"link|not a plain file"):
        model_folder("m", zoo)


def test_every_refusal_is_an_error_of_ours(tmp_path: Path) -> None:
    """Random damage of a real file never ends in anything else."""
    good = npz_bytes({"a/kernel": np.ones((3, 4), np.float32), "a/bias": np.ones(4, np.float32)})
    rng = np.random.default_rng(0)
    for at in range(60):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 3):
            bad[place] ^= 1 << int(rng.integers(0, 8))
        path = tmp_path / f"{at}.npz"
        path.write_bytes(bad)
        with contextlib.suppress(DnnrunError):
            read_import(path, None, Wanted())
