"""Replaced files of the base: a layer of whiteouts (OCI image specification, layer.md)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rayimage.errors import UsageError
from rayimage.layers.directories import directories_of
from rayimage.layers.encode import Entry
from rayimage.layers.layer import Layer, key_of
from rayimage.layers.names import WHITEOUT, fault_in
from rayimage.layers.tar import DIRECTORY, REGULAR, TarEntry
from rayimage.layers.writer import write_layer
from rayimage.model.digest import Digest
from rayimage.model.inventory import InstallLayout
from rayimage.model.layering import Compression

__all__ = ["removal_layer_key", "write_removal_layer"]


def removal_layer_key(paths: Iterable[str], layout: InstallLayout, compression: Compression = "gzip") -> Digest:
    """The key of a layer that removes ``paths``, in whatever order; raises UsageError like ``write_removal_layer``."""
    roots = sorted(layout.roots)
    return key_of("removal", compression, paths=_outermost(paths), roots=roots, uid=layout.uid, gid=layout.gid)


def write_removal_layer(
    paths: Iterable[str], layout: InstallLayout, target: Path, compression: Compression = "gzip"
) -> Layer:
    """Remove files, or whole directories, of lower layers: absolute ``paths`` become ``.wh.<name>`` beside them.

    A layer of its own below those that write the new files, because a whiteout must not meet a file of its own layer.
    Directories are declared as in wheel layers. Raises UsageError for a path that is not absolute and
    plain.
    """
    outermost = _outermost(paths)
    whiteouts = [
        "/".join((directory, WHITEOUT + name)) for directory, _, name in (p.rpartition("/") for p in outermost)
    ]
    directories = directories_of(outermost, layout)
    kinds = dict.fromkeys(whiteouts, REGULAR) | dict.fromkeys(directories, DIRECTORY)
    headers = (TarEntry(path=path, kind=kind, uid=layout.uid, gid=layout.gid) for path, kind in sorted(kinds.items()))
    return write_layer(target, map(Entry, headers), compression=compression)


def _outermost(paths: Iterable[str]) -> list[str]:
    """Sorted, each once, without what lies in a directory that goes as a whole: its whiteout would bring that back."""
    given = set(paths)
    for path in given:
        why = fault_in(path[1:]) if path.startswith("/") else "the path is not absolute"
        if why:
            raise UsageError(f"cannot remove {path!r} from the base", why=why)
    return sorted(path for path in given if not any(parent in given for parent in _parents(path)))


def _parents(path: str) -> Iterable[str]:
    while path := path.rpartition("/")[0]:
        yield path
