"""Directories: which ones a layer declares, and a layer of its own that gives the base's back what is theirs.

A directory that a layer writes into must be declared in it. Docker's overlay2 unpacks each layer into an empty
directory, where a parent that is not declared becomes root's, and a directory of an upper layer hides the mode and
owner of the same directory below: after one undeclared ``/home/ray`` the user ray cannot write to his home (seen with
Engine 20.10; containerd copies the parent's attributes instead).

A declared directory in turn takes the layer's mode and owner (OCI image specification, layer.md): ``/tmp`` lost its
1777 that way (moby/moby#44956). And what the base has is not asked here, because a wheel layer is a function of wheel
and layout alone. So:

- below the install roots, a layer declares every directory it writes into, 0755 of the image's user, which is what
  conda, pip and uv make of them;
- the roots themselves, what lies above them, and what the base has otherwise is restated, as the base has it, in the
  topmost layer of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rayimage.layers.encode import Entry
from rayimage.layers.layer import Layer, key_of
from rayimage.layers.tar import DIRECTORY, TarEntry
from rayimage.layers.writer import write_layer
from rayimage.model.digest import Digest
from rayimage.model.inventory import DirectoryOwner, InstallLayout
from rayimage.model.layering import Compression

__all__ = ["directories_layer_key", "directories_of", "write_directories_layer"]


def directories_of(files: Iterable[str], layout: InstallLayout) -> set[str]:
    """The directories below the roots of ``layout`` that absolute paths of files lie in."""
    roots = layout.roots
    found: set[str] = set()
    for file in files:
        directory = file.rpartition("/")[0]
        while directory and directory not in roots and directory not in found:
            found.add(directory)
            directory = directory.rpartition("/")[0]
    return found


def directories_layer_key(directories: Mapping[str, DirectoryOwner], compression: Compression = "gzip") -> Digest:
    """The key of a layer that states ``directories``."""
    entries = [[path, owner.mode, owner.uid, owner.gid] for path, owner in sorted(directories.items())]
    return key_of("directories", compression, entries=entries)


def write_directories_layer(
    directories: Mapping[str, DirectoryOwner], target: Path, compression: Compression = "gzip"
) -> Layer:
    """State mode and owner of directories that are there already; writes no file."""
    headers = (
        TarEntry(path=path, kind=DIRECTORY, uid=owner.uid, gid=owner.gid, permissions=owner.mode)
        for path, owner in sorted(directories.items())
    )
    return write_layer(target, map(Entry, headers), compression=compression)
