from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import tracemalloc
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.scripts import Script
from installer.sources import WheelFile

from rayimage.errors import WheelError
from rayimage.layers import FileInLayer, Layer, WheelOnDisk, wheel_layer_key, write_wheel_layer
from rayimage.layers.tar import MTIME
from rayimage.layers.wheel_install import _launcher
from rayimage.layers.zip_member import record_hash
from rayimage.model.digest import Digest
from tests.support.values import PREFIX, SITE
from tests.support.wheelmaker import (
    LAYOUT,
    contents,
    entries,
    make_wheel,
    member,
    on_disk,
    wheel_files,
    zipped,
)

# A wheel with two modules (one deflated, one stored), a script, data, a header and an entry point, as zipfile made it
# once: another zlib would make another wheel of the same files.
GOLDEN_WHEEL = """
UEsDBBQAAAAAAEEQQlAAAAAAAAAAAAAAAAAQAAAAZGVtby9fX2luaXRfXy5weVBLAwQUAAAACABBEEJQFDz3WxwAAADQBwAADAAAAGRlbW8vY29y
ZS5weQtz9Al1VbBVMOQKG2WNskZZo6xR1ihrlDVEWQBQSwMEFAAAAAAAQRBCUGZlaCoVAAAAFQAAABoAAABkZW1vLTEuMC5kYXRhL3NjcmlwdHMv
dG9vbCMhcHl0aG9uIC1PCnByaW50KDEpClBLAwQUAAAACABBEEJQQ7+mowQAAAACAAAAJAAAAGRlbW8tMS4wLmRhdGEvZGF0YS9zaGFyZS9kZW1v
L3guanNvbquuBQBQSwMEFAAAAAgAQRBCUJ1uWZsJAAAABwAAABwAAABkZW1vLTEuMC5kYXRhL2hlYWRlcnMvZGVtby5oy8wrUaiw5gIAUEsDBBQA
AAAIAEEQQlCkvZzuOAAAAEsAAAAjAAAAZGVtby0xLjAuZGlzdC1pbmZvL2VudHJ5X3BvaW50cy50eHSLTs7PK87PSY0vTi7KLCgpjuVKSc3NV7BV
AFF6yflFqVa5iZl5ekWleVzR6aWZCHXpSAqtgDJcAFBLAwQUAAAACABBEEJQ1G42jSkAAAAuAAAAGwAAAGRlbW8tMS4wLmRpc3QtaW5mby9NRVRB
REFUQfNNLUlMSSxJ1A1LLSrOzM+zUjDSM+TyS8xNtVJISc3N54KLG+oZcAEAUEsDBBQAAAAIAEEQQlCw3OOiTAAAAEsAAAAYAAAAZGVtby0xLjAu
ZGlzdC1pbmZvL1dIRUVMC89ITc3RDUstKs7Mz7NSMNQz4HJPzUstSizJL7JSKEktLuEKys8v0fUs1g0oLUrNyUwCihaVpnKFJKZbKRRUGuvm5eel
6ibmVXIBAFBLAwQUAAAACABBEEJQspHNsLsBAACfAgAAGQAAAGRlbW8tMS4wLmRpc3QtaW5mby9SRUNPUkR10d9ya0AAgPH7PguCBHFxLkjEv9BQ
osnNjtZiBYvdJOTpT087Zjqdnhf4zTfzZbDBCwBQiygAXDcxpExFSf6zUrZG0FVrS39JWRDZTcJKzgZeAxheGsn3Oic5m8vy5bqLGf4p+6e84wF+
E1DoxSg7Hi+wk9G+3r5pSuAAatcbvt2/urKzhOjNqDTLsRmR578QVuB4LktpuiDvA+ooWVCM65m0lH2Ayq5WCwfGUt0V99oW1IPR+uM4JUpUlTdx
ErrT7vZBCj/AL7VMB7j4zB25iuB2pkPdv2EheZxXOAx7PlHZ8tJ2kRKt7VxaylvD0wu1nHqwwoz4Qy5hmsGBfLJcOYu55eSefXTDwlPFWJ0QSe+V
uw7KXRM9IiWuLprV+sTN+hOjfBMRoSxqc7yALR0m0GHUUsLRkc6w1qvTSQPqK0gPQBwffjEEg1W7qc2XraRpB0W3LzhHeUMYRfpN9oxI22qRNou+
i9uuOB/qE9XpykQ74AYg6AU2iaErSu4jJby5vEb3e8ys5N/ExDKM/cyZz06Sm+4EiHIOPdoM3uR8LLHGB+aL/flYmkkyRb0uX/F/AkNj8xxuGebp
L1BLAQIUAxQAAAAAAEEQQlAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAACkgQAAAABkZW1vL19faW5pdF9fLnB5UEsBAhQDFAAAAAgAQRBCUBQ891sc
AAAA0AcAAAwAAAAAAAAAAAAAAO2BLgAAAGRlbW8vY29yZS5weVBLAQIUAxQAAAAAAEEQQlBmZWgqFQAAABUAAAAaAAAAAAAAAAAAAACkgXQAAABk
ZW1vLTEuMC5kYXRhL3NjcmlwdHMvdG9vbFBLAQIUAxQAAAAIAEEQQlBDv6ajBAAAAAIAAAAkAAAAAAAAAAAAAACkgcEAAABkZW1vLTEuMC5kYXRh
L2RhdGEvc2hhcmUvZGVtby94Lmpzb25QSwECFAMUAAAACABBEEJQnW5ZmwkAAAAHAAAAHAAAAAAAAAAAAAAApIEHAQAAZGVtby0xLjAuZGF0YS9o
ZWFkZXJzL2RlbW8uaFBLAQIUAxQAAAAIAEEQQlCkvZzuOAAAAEsAAAAjAAAAAAAAAAAAAACkgUoBAABkZW1vLTEuMC5kaXN0LWluZm8vZW50cnlf
cG9pbnRzLnR4dFBLAQIUAxQAAAAIAEEQQlDUbjaNKQAAAC4AAAAbAAAAAAAAAAAAAACkgcMBAABkZW1vLTEuMC5kaXN0LWluZm8vTUVUQURBVEFQ
SwECFAMUAAAACABBEEJQsNzjokwAAABLAAAAGAAAAAAAAAAAAAAApIElAgAAZGVtby0xLjAuZGlzdC1pbmZvL1dIRUVMUEsBAhQDFAAAAAgAQRBC
ULKRzbC7AQAAnwIAABkAAAAAAAAAAAAAAKSBpwIAAGRlbW8tMS4wLmRpc3QtaW5mby9SRUNPUkRQSwUGAAAAAAkACQCDAgAAmQQAAAAA
"""
FILES = {
    "demo/__init__.py": b"",
    "demo/core.py": b"VALUE = 1\n" * 200,
    "demo-1.0.data/scripts/tool": b"#!python -O\nprint(1)\n",
    "demo-1.0.data/data/share/demo/x.json": b"{}",
    "demo-1.0.data/headers/demo.h": b"int x;\n",
    "demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\ndemo = demo.core:main.run\n[gui_scripts]\ngdemo = demo:gui\n",
}


def layer_of(directory: Path, *wheels: WheelOnDisk, **options) -> Layer:
    return write_wheel_layer(wheels, LAYOUT, directory / "layer", **options)


def test_golden(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, on_disk(tmp_path, base64.b64decode(GOLDEN_WHEEL)))
    assert str(layer.diff_id) == "sha256:d5b1119a9fbe09230f1f384e8352bd5e92b891de7ac266211f2cfc415e44f9d9"
    assert str(layer.descriptor.digest) == "sha256:47cbdb91290a9a9a757f6feacfb372932938f6366b821e5690eb6349c2f5717f"


def test_key_is_of_names_digests_and_layout_in_any_order() -> None:
    wheels = [("b-1-py3-none-any.whl", Digest.of(b"b")), ("a-1-py3-none-any.whl", Digest.of(b"a"))]
    key = wheel_layer_key(wheels, LAYOUT)
    assert str(key) == "sha256:a468fd67c41f4155926b6a01a08d4094e4fa0f47bd62eca1d1470e21ccbb15fa"
    assert wheel_layer_key(wheels[::-1], LAYOUT) == key
    others = [replace(LAYOUT, uid=0), replace(LAYOUT, interpreter="/usr/bin/python3"), replace(LAYOUT, data="/usr")]
    keys = {key, wheel_layer_key(wheels[:1], LAYOUT), *(wheel_layer_key(wheels, other) for other in others)}
    assert len(keys) == 5


def test_what_lies_where(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, make_wheel(tmp_path, FILES, programs=("demo/core.py",)))
    found = entries(layer)
    info = f"{SITE}/demo-1.0.dist-info"
    shape = {f"/{name}{'/' if entry.isdir() else ''}": entry.mode for name, entry in found.items()}
    assert shape == {
        f"{PREFIX}/bin/demo": 0o755,
        f"{PREFIX}/bin/gdemo": 0o755,
        f"{PREFIX}/bin/tool": 0o755,
        f"{PREFIX}/include/python3.11/demo/": 0o755,
        f"{PREFIX}/include/python3.11/demo/demo.h": 0o644,
        f"{info}/": 0o755,
        f"{info}/INSTALLER": 0o644,
        f"{info}/METADATA": 0o644,
        f"{info}/RECORD": 0o644,
        f"{info}/WHEEL": 0o644,
        f"{info}/entry_points.txt": 0o644,
        f"{SITE}/demo/": 0o755,
        f"{SITE}/demo/__init__.py": 0o644,
        f"{SITE}/demo/core.py": 0o755,
        f"{PREFIX}/share/": 0o755,
        f"{PREFIX}/share/demo/": 0o755,
        f"{PREFIX}/share/demo/x.json": 0o644,
    }
    assert [f"/{name}" for name in found] == sorted(f"/{name}" for name in found)
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in found.values()} == {(MTIME, 1000, 100, "", "")}
    files = contents(layer)
    assert files[f"{PREFIX}/bin/tool"] == f"#!{PREFIX}/bin/python3.11\nprint(1)\n".encode()
    assert files[f"{info}/INSTALLER"] == b"rayimage\n"
    assert layer.files == tuple(
        FileInLayer(path, record_hash(hashlib.sha256(data).digest())) for path, data in sorted(files.items())
    )
    record = files[f"{info}/RECORD"].decode().splitlines()
    core = FILES["demo/core.py"]
    assert f"demo/core.py,{record_hash(hashlib.sha256(core).digest())},2000" in record
    assert any(line.startswith("../../../bin/tool,sha256=") for line in record)
    assert any(line.startswith("../../../include/python3.11/demo/demo.h,") for line in record)
    assert "demo-1.0.dist-info/RECORD,," in record
    assert len(record) == len(files)


def test_deflate_streams_are_taken_over(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, FILES)
    with zipfile.ZipFile(wheel.path) as archive:
        info = archive.getinfo("demo/core.py")
        start = info.header_offset + 30 + len(info.filename)
    raw = wheel.path.read_bytes()[start : start + info.compress_size]
    assert raw in layer_of(tmp_path, wheel).path.read_bytes()


def test_other_readers_agree(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, make_wheel(tmp_path, FILES))
    tar = gzip.decompress(layer.path.read_bytes())
    assert hashlib.sha256(tar).hexdigest() == layer.diff_id.hex
    assert len(tar) == layer.unpacked_size
    if not shutil.which("gzip") or not shutil.which("tar"):
        pytest.skip("needs gzip and tar")
    unzipped = subprocess.run(["gzip", "-dc", layer.path], capture_output=True, check=True).stdout
    assert unzipped == tar
    listing = subprocess.run(["tar", "-tf", "-"], input=unzipped, capture_output=True, check=True)
    assert not listing.stderr
    names = [name.rstrip("/") for name in listing.stdout.decode().splitlines()]
    assert names == list(entries(layer))


def test_bytes_depend_on_nothing_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(wheel_files(FILES))
    one = layer_of(tmp_path, on_disk(tmp_path / "one", data))
    old = on_disk(tmp_path / "some" / "where", data)
    os.utime(old.path, (1, 1))
    addressed = WheelOnDisk(old.path.rename(tmp_path / old.digest.hex), old.filename, old.digest)
    monkeypatch.chdir("/")
    umask = os.umask(0o077)
    try:
        two = write_wheel_layer([addressed], LAYOUT, tmp_path / "two.layer")
    finally:
        os.umask(umask)
    assert (one.descriptor, one.diff_id, one.files) == (two.descriptor, two.diff_id, two.files)


def test_the_fallback_to_zlib_gives_the_same_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path, FILES | {"demo/zeros": bytes(5 << 20)})
    fast = layer_of(tmp_path, wheel)
    monkeypatch.setitem(sys.modules, "isal", None)
    assert layer_of(tmp_path, wheel).descriptor == fast.descriptor


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_bytes_do_not_depend_on_threads(compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = os.urandom(6 << 20)
    large = {f"demo/large{n}.so": noise[n << 20 :] + bytes(n << 19) for n in range(6)}
    wheel = make_wheel(tmp_path, FILES | large | {"demo/stored.so": noise}, stored=("demo/stored.so",))
    layers = []
    for threads in (1, 2, 5):
        for room in ("wheels", "zip_member", "zstd_frames"):
            monkeypatch.setattr(f"rayimage.layers.{room}.THREADS", threads)
        layers.append(write_wheel_layer([wheel], LAYOUT, tmp_path / "layer", compression=compression))
    assert layers[0] == layers[1] == layers[2]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_damage_in_a_large_file_ends_every_thread(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("wheels", "zip_member", "zstd_frames"):
        monkeypatch.setattr(f"rayimage.layers.{room}.THREADS", 3)
    files = {f"demo/large{n}.so": bytes(9 << 20) for n in range(4)}
    whole = wheel_files(files)
    data = bytearray(zipped(whole))
    at = data.index(b"demo/large1.so") + len("demo/large1.so") + 3000
    data[at : at + 100] = os.urandom(100)
    before = threading.active_count()
    with pytest.raises(WheelError, match=r"large1\.so"):
        write_wheel_layer([on_disk(tmp_path, bytes(data))], LAYOUT, tmp_path / "layer", compression=compression)
    assert threading.active_count() == before
    assert not (tmp_path / "layer").exists()


def test_a_full_disk_ends_every_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("wheels", "zip_member", "zstd_frames"):
        monkeypatch.setattr(f"rayimage.layers.{room}.THREADS", 3)
    wheel = make_wheel(tmp_path, {f"demo/large{n}.so": os.urandom(6 << 20) for n in range(3)})
    before = threading.active_count()

    def full(_count: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_wheel_layer([wheel], LAYOUT, tmp_path / "layer", full)
    assert threading.active_count() == before
    assert not (tmp_path / "layer").exists()


def test_bundles_do_not_depend_on_order(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, {f"{name}/x.py": name.encode() * 999}, name) for name in ("c", "a", "b")]
    one = write_wheel_layer(wheels, LAYOUT, tmp_path / "1")
    two = write_wheel_layer(wheels[::-1], LAYOUT, tmp_path / "2")
    assert one.descriptor == two.descriptor
    assert {f"{SITE}/{name}/x.py" for name in "abc"} <= {file.path for file in one.files}


def test_a_bundle_may_share_namespace_files_but_nothing_else(tmp_path: Path) -> None:
    one = make_wheel(tmp_path, {"ns/__init__.py": b"same", "ns/one.py": b"1"}, "one")
    two = make_wheel(tmp_path, {"ns/__init__.py": b"same", "ns/two.py": b"2"}, "two")
    assert list(entries(layer_of(tmp_path, one, two))).count(f"{SITE[1:]}/ns/__init__.py") == 1
    bad = make_wheel(tmp_path, {"ns/__init__.py": b"other"}, "three")
    with pytest.raises(WheelError, match=r"one-1.0.*three-1.0.*site-packages/ns/__init__.py"):
        write_wheel_layer([bad, two, one], LAYOUT, tmp_path / "clash")
    assert not (tmp_path / "clash").exists()


def test_bytecode_and_other_installers_files_stay_out_in_silence(tmp_path: Path) -> None:
    extra = {
        "demo/__pycache__/core.cpython-311.pyc": b"x",
        "demo-1.0.dist-info/INSTALLER": b"conda",
        "demo-1.0.dist-info/REQUESTED": b"",
        "demo-1.0.dist-info/direct_url.json": b'{"url": "file:///home/me/secret"}',
    }
    files = contents(layer_of(tmp_path, make_wheel(tmp_path, FILES | extra)))
    assert files == contents(layer_of(tmp_path, make_wheel(tmp_path, FILES)))


@pytest.mark.parametrize(
    "entry", ["demo/core.py,sha256=" + "A" * 43 + ",3", "demo/core.py,,", "demo/core.py,md5=x,1", ""]
)
def test_record_in_the_image_is_true_whatever_the_wheels_says(tmp_path: Path, entry: str) -> None:
    """Popular wheels have been published with wrong ones (python-poetry/poetry#7694); pip installs them."""
    files = wheel_files(FILES)
    lines = [line for line in files["demo-1.0.dist-info/RECORD"].decode().splitlines() if "core.py" not in line]
    files["demo-1.0.dist-info/RECORD"] = "\n".join([*lines, entry]).encode()
    good = contents(layer_of(tmp_path, make_wheel(tmp_path, FILES)))
    assert contents(layer_of(tmp_path, on_disk(tmp_path, zipped(files)))) == good


def test_progress_is_in_bytes_of_the_wheel(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path, FILES | {"demo/noise": os.urandom(900_000), "demo/stored": bytes(800_000)}, stored=("demo/stored",)
    )
    heard: list[int] = []
    layer_of(tmp_path, wheel, advance=heard.append)
    assert 1_700_000 < sum(heard) <= wheel.path.stat().st_size
    assert len(heard) > 4


class Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += data
        return len(data)


@pytest.mark.parametrize("shape", ["descriptors", "zip64", "stored", "prefixed", "commented"])
def test_all_shapes_of_zip_give_the_same_tar(tmp_path: Path, shape: str) -> None:
    files = wheel_files(FILES)
    data = zipped(files, stored=tuple(files) if shape == "stored" else ())
    if shape == "descriptors":
        sink = Unseekable()
        with zipfile.ZipFile(sink, "w") as archive:
            for path, content in files.items():
                archive.writestr(member(path), content)
        data = bytes(sink.data)
        assert b"PK\x07\x08" in data
    elif shape == "zip64":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, content in files.items():
                with archive.open(member(path), "w", force_zip64=True) as stream:
                    stream.write(content)
        data = buffer.getvalue()
    elif shape == "prefixed":
        data = b"#!/bin/sh\n" + data
    elif shape == "commented":
        data = data[:-2] + (7).to_bytes(2, "little") + b"comment"
    plain = layer_of(tmp_path, make_wheel(tmp_path, FILES))
    shaped = write_wheel_layer([on_disk(tmp_path / shape, data)], LAYOUT, tmp_path / "other")
    assert shaped.diff_id == plain.diff_id


def test_memory_does_not_grow_with_a_member(tmp_path: Path) -> None:
    size = 300 << 20
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    digest, chunk = hashlib.sha256(), bytes(1 << 20)
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(member("demo/big.so"), "w") as stream:
            for _ in range(size >> 20):
                stream.write(chunk)
                digest.update(chunk)
        for name, data in wheel_files(FILES).items():
            if name.endswith("RECORD"):
                archive.writestr(member(name), data + f"demo/big.so,{record_hash(digest.digest())},{size}\n".encode())
            else:
                archive.writestr(member(name), data)
    tracemalloc.start()
    try:
        layer = layer_of(tmp_path, WheelOnDisk(path, path.name, Digest.of(b"")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert layer.unpacked_size > size
    assert layer.descriptor.size < path.stat().st_size + 10_000
    assert peak < 20 << 20


def test_the_launcher_is_installers_own() -> None:
    for interpreter in (LAYOUT.interpreter, "/with space/python", "/long" * 30 + "/python"):
        _, theirs = Script("demo", "demo.core", "main.run", "console").generate(interpreter, "posix")
        assert _launcher(interpreter, "demo.core", "main.run") == theirs


NAMES = st.text("abcXYZ019-_.é", min_size=1, max_size=9).map(lambda name: f"m{name}")
TREES = st.dictionaries(
    st.tuples(
        st.sampled_from(["", "pkg/", "demo-1.0.data/purelib/q/", "demo-1.0.data/platlib/", "demo-1.0.data/data/share/d/",
                         "demo-1.0.data/headers/", "demo-1.0.data/scripts/", "demo-1.0.dist-info/licenses/"]),
        NAMES,
    ).map("".join),
    st.tuples(st.one_of(st.binary(max_size=60), st.binary(max_size=3).map(lambda b: b"#!python" + b * 400)), st.booleans()),
    max_size=8,
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.booleans())
def test_the_tree_is_the_one_that_installer_makes(tree: dict[str, tuple[bytes, bool]], has_entry_point: bool) -> None:
    files = {path: data for path, (data, _) in tree.items()}
    if has_entry_point:
        files["demo-1.0.dist-info/entry_points.txt"] = b"[console_scripts]\nrun-demo = pkg.mod:func\n"
    programs = tuple(path for path, (_, program) in tree.items() if program)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        wheel = make_wheel(directory, files, programs=programs)
        schemes = {key: getattr(LAYOUT, key) for key in ("purelib", "platlib", "scripts", "data")}
        schemes["headers"] = f"{LAYOUT.headers}/demo"
        destination = SchemeDictionaryDestination(
            schemes, LAYOUT.interpreter, "posix", destdir=str(directory / "theirs")
        )
        try:
            with WheelFile.open(wheel.path) as source:
                install(source, destination, {"INSTALLER": b"rayimage\n"})
        except FileExistsError:  # two members for one path
            with pytest.raises(WheelError):
                layer_of(directory, wheel)
            return
        layer = layer_of(directory, wheel)
        (directory / "ours").mkdir()
        with tarfile.open(layer.path) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.extractall(directory / "ours")
        assert _tree(directory / "ours") == _tree(directory / "theirs")


def _tree(root: Path) -> dict[str, tuple[bytes, bool]]:
    found = {}
    for path in root.rglob("*"):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            # Scripts are programs here even if the zip does not say so.
            program = bool(path.stat().st_mode & stat.S_IXUSR) or name.startswith(f"{PREFIX[1:]}/bin/")
            found[name] = (path.read_bytes(), program)
    return found
