"""Wheels to a layer: a pure function of the wheels, the install layout and the layer format."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from rayimage.layers.ahead import THREADS, ahead
from rayimage.layers.clashes import find_clashes
from rayimage.layers.directories import directories_of
from rayimage.layers.encode import Entry
from rayimage.layers.layer import Layer, WheelOnDisk, key_of
from rayimage.layers.tar import DIRECTORY, TarEntry
from rayimage.layers.wheel_install import InstalledFile, plan_wheel
from rayimage.layers.wheel_metadata import read_metadata
from rayimage.layers.wheel_source import Wheel, open_wheel
from rayimage.layers.writer import write_layer
from rayimage.layers.zip_member import Member, WrongRecord
from rayimage.model.digest import Digest
from rayimage.model.inventory import InstallLayout
from rayimage.model.layering import Compression

__all__ = ["wheel_layer_key", "write_wheel_layer"]

_SPLICE_FROM: Final = 512
"""Bytes. A smaller file joins the headers around it: a gzip member of its own, and the cut in ours, cost more."""
_LARGE: Final = 1 << 20
"""Bytes from which a file is worth a thread; smaller ones are mostly work of the interpreter, which has one lock."""


def wheel_layer_key(
    wheels: Sequence[tuple[str, Digest]], layout: InstallLayout, compression: Compression = "gzip"
) -> Digest:
    """The key of a layer of wheels (file name, sha256), in whatever order."""
    listed = sorted((name, digest.hex) for name, digest in wheels)
    return key_of("wheels", compression, wheels=listed, layout=asdict(layout))


def write_wheel_layer(
    wheels: Sequence[WheelOnDisk],
    layout: InstallLayout,
    target: Path,
    advance: Callable[[int], None] | None = None,
    *,
    compression: Compression = "gzip",
) -> Layer:
    """Install ``wheels`` into a new layer at ``target``.

    ``advance`` hears the bytes of wheels that were read. Raises WheelError when a wheel must not be installed, or two
    of them clash; then there is no ``target``.

    RECORD's hashes are believed until a file proves one wrong, which costs nothing as every file is read; then the
    layer is written again with computed ones, so that the RECORD in the image is always true.
    """
    disbelieved: set[str] = set()
    while True:
        try:
            with ExitStack() as stack:
                opened = [
                    stack.enter_context(open_wheel(wheel, trust_record=wheel.filename not in disbelieved))
                    for wheel in sorted(wheels, key=lambda wheel: (wheel.filename, wheel.digest))
                ]
                packages = tuple(map(read_metadata, opened))
                files = _planned(opened, layout)
                entries = stack.enter_context(closing(_entries(files, layout)))
                listed = [file.in_layer for file in files.values()]
                layer = write_layer(target, entries, listed, compression=compression, advance=advance)
                return replace(layer, packages=packages)
        except WrongRecord as wrong:  # noqa: PERF203 - once per wrong wheel
            disbelieved.add(wrong.wheel)
            advance = None  # what it heard so far was progress enough


def _planned(wheels: Sequence[Wheel], layout: InstallLayout) -> dict[str, InstalledFile]:
    """What the wheels install, by path; of files with the same content the first wheel's is taken."""
    planned = [(wheel.filename, plan_wheel(wheel, layout)) for wheel in wheels]
    find_clashes([(name, [file.in_layer for file in files]) for name, files in planned])
    return {file.path: file for _, installed in reversed(planned) for file in installed}


def _entries(files: dict[str, InstalledFile], layout: InstallLayout) -> Generator[Entry, None, None]:
    """What the layer consists of, in order; the content of large files is made ready in threads meanwhile."""
    directories = directories_of(files, layout)
    paths = sorted([*files, *directories])
    large = [files[path].content for path in paths if path in files and files[path].size >= _LARGE]
    with ahead((member.pairs() for member in large if isinstance(member, Member)), THREADS) as contents:
        for path in paths:
            if path in directories:
                yield Entry(TarEntry(path=path, kind=DIRECTORY, uid=layout.uid, gid=layout.gid))
                continue
            file, member = files[path], files[path].content
            header = TarEntry(path=path, size=file.size, executable=file.executable, uid=layout.uid, gid=layout.gid)
            if isinstance(member, bytes):
                yield Entry(header, [(b"", member)])
                continue
            spliced = member.is_deflated and member.size >= _SPLICE_FROM
            content = next(contents) if member.size >= _LARGE else member.pairs()
            yield Entry(header, content, member.crc if spliced else None)
