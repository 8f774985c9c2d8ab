"""Two packages that write one path."""

from __future__ import annotations

from collections.abc import Sequence

from rayimage.errors import WheelError
from rayimage.layers.layer import FileInLayer

__all__ = ["find_clashes"]


def find_clashes(layers: Sequence[tuple[str, Sequence[FileInLayer]]]) -> None:
    """Raise WheelError when two owners (name, files) write one path with different, or unknown, content.

    The same content is no clash: namespace packages ship the same ``__init__.py``. A path that is a file of one
    owner and a directory of another is one.
    """
    written: dict[str, tuple[str, str]] = {}
    for owner, files in layers:
        for file in files:
            other, digest = written.setdefault(file.path, (owner, file.digest))
            if (other, digest) != (owner, file.digest) and (digest != file.digest or not digest):
                raise _clash(file.path, other, owner, "two packages write the file, with different content")
    directories: dict[str, str] = {}
    for path, (owner, _) in written.items():
        directory = path.rpartition("/")[0]
        while directory and directory not in directories:
            directories[directory] = owner
            directory = directory.rpartition("/")[0]
    for path in sorted(written.keys() & directories.keys()):
        raise _clash(path, written[path][0], directories[path], "the one writes a file there, the other a directory")


def _clash(path: str, one: str, other: str, why: str) -> WheelError:
    owners = one if one == other else f"{one} and {other}"
    fix = "leave one of them out, or choose versions that do not overlap"
    return WheelError(f"{owners} clash over {path}", why=why, fix=fix)
