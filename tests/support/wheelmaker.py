"""Wheels and layouts for tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rayimage.layers import Layer, WheelOnDisk
from rayimage.layers.zip_member import record_hash
from rayimage.model.digest import Digest
from tests.support import values
from tests.support.values import PREFIX

LAYOUT = replace(values.LAYOUT, interpreter=f"{PREFIX}/bin/python3.11")
WHEEL_FILE = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def member(name: str, *, mode: int = 0o100644, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2020, 2, 2, 2, 2, 2))
    info.compress_type = method
    info.external_attr = mode << 16
    info.create_system = 3
    return info


def record_of(files: Mapping[str, bytes], dist_info: str) -> bytes:
    lines = [f"{path},{record_hash(hashlib.sha256(data).digest())},{len(data)}" for path, data in files.items()]
    return "\n".join([*lines, f"{dist_info}/RECORD,,", ""]).encode()


def wheel_files(
    files: Mapping[str, bytes], name: str = "demo", version: str = "1.0", metadata: Sequence[str] = ()
) -> dict[str, bytes]:
    """``files`` and what makes a wheel of them, RECORD last; ``metadata`` are more lines of METADATA."""
    dist_info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata, ""]
    whole = {
        **files,
        f"{dist_info}/METADATA": "\n".join(lines).encode(),
        f"{dist_info}/WHEEL": WHEEL_FILE,
    }
    return {**whole, f"{dist_info}/RECORD": record_of(whole, dist_info)}


def zipped(files: Mapping[str, bytes], *, stored: tuple[str, ...] = (), programs: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in files.items():
            method = zipfile.ZIP_STORED if path in stored else zipfile.ZIP_DEFLATED
            archive.writestr(member(path, mode=0o100755 if path in programs else 0o100644, method=method), data)
    return buffer.getvalue()


def on_disk(directory: Path, data: bytes, filename: str = "demo-1.0-py3-none-any.whl") -> WheelOnDisk:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / filename
    path.write_bytes(data)
    return WheelOnDisk(path, filename, Digest.of(data))


def make_wheel(
    directory: Path,
    files: Mapping[str, bytes],
    name: str = "demo",
    version: str = "1.0",
    metadata: Sequence[str] = (),
    **how,
) -> WheelOnDisk:
    data = zipped(wheel_files(files, name, version, metadata), **how)
    return on_disk(directory, data, f"{name}-{version}-py3-none-any.whl")


def entries(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer.path) as archive:
        return {info.name: info for info in archive.getmembers()}


def contents(layer: Layer) -> dict[str, bytes]:
    with tarfile.open(layer.path) as archive:
        return {f"/{info.name}": archive.extractfile(info).read() for info in archive.getmembers() if info.isfile()}
