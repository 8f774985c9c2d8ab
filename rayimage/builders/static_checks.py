"""What can be told of a built image without running it: the layers that were added, read once.

Every file lies where it may, scripts name the base's interpreter, extension modules load on the base's machine and
glibc, and each RECORD names files that are there.
"""

from __future__ import annotations

import csv
import mmap
import posixpath
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, Final

from rayimage.builders.direct import BuiltImage
from rayimage.builders.wheel_checks import elf_faults
from rayimage.image.plan import LayerKind
from rayimage.image.unpack import unpacked
from rayimage.layers.names import fault_in
from rayimage.model.content import Blob
from rayimage.model.inventory import Inventory

__all__ = ["Findings", "read_added_layers"]

# What Python imports, and what these are linked with. Helpers for other machines (debuggers have some) do no harm.
_EXTENSION: Final = re.compile(r"\.(?:cpython-\d+[a-z]*-[\w-]+|abi3)\.so$")
_MODULE: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:/__init__\.py|\.py|\.cpython-[\w-]+\.so|\.abi3\.so)")


@dataclass(slots=True)
class Findings:
    """What is wrong, and the modules that the wheels add at the top level."""

    faults: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)


def read_added_layers(image: BuiltImage, inventory: Inventory) -> Findings:
    """Read every layer that was put on the base. Raises ContentError for one that is damaged."""
    found = Findings()
    paths: set[str] = set()
    records: dict[str, bytes] = {}
    blobs = {blob.descriptor.digest: blob for blob in image.blobs}
    for layer in image.layers:
        if layer.kind in (LayerKind.BASE, LayerKind.REMOVAL):
            continue
        for path, info, content in _files(blobs[layer.descriptor.digest]):
            found.faults += [f"{path}: {fault}"] if (fault := fault_in(path[1:])) else []
            paths.add(path)
            if content and path.endswith(".dist-info/RECORD"):
                records[path] = content.read()
            elif content:
                found.faults += _faults(path, content, info, inventory)
    found.faults += _missing(records, paths)
    site = f"{inventory.layout.purelib}/"
    inside = (path.removeprefix(site) for path in paths if path.startswith(site))
    found.modules = sorted({match[1] for name in inside if (match := _MODULE.fullmatch(name))})
    return found


def _files(blob: Blob) -> Iterator[tuple[str, tarfile.TarInfo, IO[bytes] | None]]:
    """Path, entry and content of each file and link of a layer; the content is None for a link."""
    with ExitStack() as stack:
        plain = unpacked(stack.enter_context(blob.open()), blob.descriptor.media_type)
        archive = stack.enter_context(tarfile.open(fileobj=plain, mode="r|"))
        for info in archive:
            if not info.isdir():
                yield f"/{info.name}", info, archive.extractfile(info) if info.isreg() else None


def _faults(path: str, content: IO[bytes], info: tarfile.TarInfo, inventory: Inventory) -> Iterator[str]:
    start = content.read(4)
    if path.startswith(f"{inventory.layout.scripts}/") and start[:2] == b"#!":
        line = (start + content.read(1024)).split(b"\n", 1)[0].decode(errors="replace")
        program = line[2:].strip().split(" ")[0]
        if program.startswith(inventory.layout.prefix) and program != inventory.layout.interpreter:
            yield f"{path} is run by {program}, the base's Python is {inventory.layout.interpreter}"
    if start == b"\x7fELF" and _EXTENSION.search(path):
        with TemporaryFile() as file:  # Some are larger than memory should be.
            file.write(start)
            shutil.copyfileobj(content, file, 1 << 20)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from elf_faults(path, data, inventory.platform.architecture, inventory.glibc)
    if info.mode & 0o6000:
        yield f"{path} runs as another user (mode {info.mode:o})"


def _missing(records: dict[str, bytes], paths: set[str]) -> Iterator[str]:
    for record, data in records.items():
        site = posixpath.dirname(posixpath.dirname(record))
        rows = csv.reader(data.decode(errors="replace").splitlines())
        named = {posixpath.normpath(posixpath.join(site, row[0])) for row in rows if row and row[0]}
        absent = sorted(named - paths)
        if absent:
            yield f"{record} names {len(absent)} files that are not there, {absent[0]} among them"
