"""Wheels to a layer: a pure function of the wheels, the install layout and the layer format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from rayimage.layers.clashes import find_clashes
from rayimage.layers.directories import directories_of
from rayimage.layers.layer import Layer, WheelOnDisk, key_of
from rayimage.layers.tar import DIRECTORY, TarEntry
from rayimage.layers.wheel_install import InstalledFile, plan_wheel
from rayimage.layers.wheel_metadata import read_metadata
from rayimage.layers.wheel_source import open_wheel
from rayimage.layers.writer import LayerWriter, writing_layer
from rayimage.layers.zip_member import WrongRecord
from rayimage.model.digest import Digest
from rayimage.model.inventory import InstallLayout

__all__ = ["wheel_layer_key", "write_wheel_layer"]

_SPLICE_FROM: Final = 512
"""Bytes. A smaller file joins the headers around it: a gzip member of its own, and the cut in ours, cost more."""


def wheel_layer_key(wheels: Sequence[tuple[str, Digest]], layout: InstallLayout) -> Digest:
    """The key of a layer of wheels (file name, sha256), in whatever order."""
    return key_of("wheels", wheels=sorted((name, digest.hex) for name, digest in wheels), layout=asdict(layout))


def write_wheel_layer(
    wheels: Sequence[WheelOnDisk],
    layout: InstallLayout,
    target: Path,
    advance: Callable[[int], None] | None = None,
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
            return _write(wheels, layout, target, advance, disbelieved)
        except WrongRecord as wrong:  # noqa: PERF203 - once per wrong wheel
            disbelieved.add(wrong.wheel)
            advance = None  # what it heard so far was progress enough


def _write(
    wheels: Sequence[WheelOnDisk],
    layout: InstallLayout,
    target: Path,
    advance: Callable[[int], None] | None,
    disbelieved: set[str],
) -> Layer:
    with ExitStack() as stack:
        planned, packages = [], []
        for wheel in sorted(wheels, key=lambda wheel: (wheel.filename, wheel.digest)):
            source = stack.enter_context(open_wheel(wheel, trust_record=wheel.filename not in disbelieved))
            planned.append((wheel.filename, plan_wheel(source, layout)))
            packages.append(read_metadata(source))
        find_clashes([(name, [file.in_layer for file in files]) for name, files in planned])
        # Of files with the same content the first wheel's is taken.
        files = {file.path: file for _, installed in reversed(planned) for file in installed}
        with writing_layer(target) as writer:
            _write_files(writer, files, layout, advance)
            layer = writer.finish(target, (file.in_layer for file in files.values()))
            return replace(layer, packages=tuple(packages))


def _write_files(
    writer: LayerWriter,
    files: dict[str, InstalledFile],
    layout: InstallLayout,
    advance: Callable[[int], None] | None,
) -> None:
    directories = directories_of(files, layout)
    for path in sorted([*files, *directories]):
        if path in directories:
            writer.add(TarEntry(path=path, kind=DIRECTORY, uid=layout.uid, gid=layout.gid))
        else:
            _write_file(writer, files[path], layout, advance)


def _write_file(
    writer: LayerWriter, file: InstalledFile, layout: InstallLayout, advance: Callable[[int], None] | None
) -> None:
    entry = TarEntry(path=file.path, size=file.size, executable=file.executable, uid=layout.uid, gid=layout.gid)
    content = file.content
    if isinstance(content, bytes):
        writer.add(entry, [content])
    elif content.is_deflated and content.size >= _SPLICE_FROM:
        writer.splice(entry, content, advance)
    else:
        writer.add(entry, _heard(content.blocks(), advance if not content.is_deflated else None))


def _heard(blocks: Iterable[bytes], advance: Callable[[int], None] | None) -> Iterable[bytes]:
    for block in blocks:
        if advance:
            advance(len(block))
        yield block
