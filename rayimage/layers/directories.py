"""Which directories a wheel layer declares: new ones, never those that the base has.

A declared directory takes the layer's mode and owner (OCI image specification, layer.md), so that declaring one of
the base's changes it: ``/tmp`` lost its 1777 that way (moby/moby#44956). A new one must be declared, or runtimes
create it as root's. What the base has is not asked, because a layer is a function of wheel and layout alone: the
roots of the layout and what lies above them exist, and so do the directories that many packages share.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from rayimage.model.inventory import InstallLayout

__all__ = ["new_directories"]

_SHARED: Final = (
    *("bin", "sbin", "lib", "lib32", "lib64", "lib/cmake", "lib/pkgconfig", "libexec", "include", "etc", "var"),
    *("etc/bash_completion.d", "etc/jupyter", "etc/conda"),
    *("share", "share/applications", "share/doc", "share/icons", "share/info", "share/jupyter", "share/licenses"),
    *("share/locale", "share/man", *(f"share/man/man{section}" for section in range(1, 10)), "share/pkgconfig"),
    *("share/bash-completion", "share/bash-completion/completions", "share/fish", "share/fish/vendor_completions.d"),
    *("share/zsh", "share/zsh/site-functions"),
)
"""Directories below the data prefix that conda environments and Linux distributions have, or many packages write to:
as long as nobody declares them, no package's layer can take them from another."""


def new_directories(files: Iterable[str], layout: InstallLayout) -> set[str]:
    """The directories to declare for absolute paths of files that a wheel installs."""
    known = _known(layout)
    found: set[str] = set()
    for file in files:
        directory = file.rpartition("/")[0]
        while directory and directory not in known and directory not in found:
            found.add(directory)
            directory = directory.rpartition("/")[0]
    return found


def _known(layout: InstallLayout) -> set[str]:
    roots = (layout.prefix, layout.purelib, layout.platlib, layout.scripts, layout.data, layout.headers)
    above = {str(parent) for root in roots for parent in PurePosixPath(root).parents}
    return {*roots, *above, *(f"{layout.data}/{name}" for name in _SHARED)}
