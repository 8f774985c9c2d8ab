"""What the operating system of a base says: its C library, and who the image's user is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from packaging.version import Version

from rayimage.base.interpreter import dpkg_version
from rayimage.base.tree import File, Link, Tree
from rayimage.errors import BaseImageError

__all__ = ["find_glibc", "find_owner"]

_LIBC: Final = re.compile(r"libc-(2\.\d+)\.so")
_ID: Final = re.compile(r"[0-9]{1,10}")
_LIBRARY_DIRS: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


def find_glibc(tree: Tree) -> Version | None:
    """The version of glibc; None when there is none (musl), or none that says its version.

    Up to 2.33 the file's name holds it, since then only the banner in libc.so.6; the last resort is dpkg.
    Conda's compiler packages bring a libc of their own, so only the system's directories are looked at.
    """
    for directory in _library_dirs(tree):
        for name, node in sorted(tree.children(directory).items()):
            match = _LIBC.fullmatch(name)
            if match:
                return Version(match[1])
            if name == "libc.so.6":
                linked = _LIBC.fullmatch(node.target.rpartition("/")[2]) if isinstance(node, Link) else None
                text = linked[1] if linked else (tree.content(f"{directory}/{name}") or b"").decode()
                if text:
                    return Version(text)
    installed = re.match(r"\d+\.\d+", dpkg_version(tree, "libc6"))
    return Version(installed[0]) if installed else None


def find_owner(tree: Tree, user: str) -> tuple[int, int]:
    """The uid and gid that the config's ``User`` stands for, as a runtime finds them; empty is root.

    ``user`` is ``name`` or ``uid``, and may be followed by ``:group`` or ``:gid``. A number that /etc/passwd does
    not know has the group 0 (OCI runtimes do so). Raises BaseImageError for a name that is in neither file.
    """
    name, _, group = user.partition(":")
    name = name or "0"
    is_id = _ID.fullmatch(name)
    column = 2 if is_id else 0
    entry = next((row for row in _rows(tree, "/etc/passwd", 4) if row[column] == name), None)
    if entry is None and not is_id:
        raise _unknown("user", name, "/etc/passwd")
    uid, gid = (int(entry[2]), int(entry[3])) if entry else (int(name), 0)
    if _ID.fullmatch(group):
        gid = int(group)
    elif group:
        found = next((row for row in _rows(tree, "/etc/group", 3) if row[0] == group), None)
        if found is None:
            raise _unknown("group", group, "/etc/group")
        gid = int(found[2])
    return uid, gid


def _library_dirs(tree: Tree) -> Iterator[str]:
    for directory in _LIBRARY_DIRS:
        for name, node in sorted(tree.children(directory).items()):
            if "-linux-gnu" in name and not isinstance(node, File):
                yield f"{directory}/{name}"
        yield directory


def _rows(tree: Tree, path: str, columns: int) -> Iterator[list[str]]:
    """The well-formed lines of passwd or group: long enough, with numbers for ids."""
    for line in (tree.content(path) or b"").decode(errors="replace").splitlines():
        row = line.split(":")
        if len(row) >= columns and all(_ID.fullmatch(field) for field in row[2:columns]):
            yield row


def _unknown(kind: str, name: str, where: str) -> BaseImageError:
    return BaseImageError(
        f"the base runs as {kind} {name!r}, which it does not have",
        why=f"{where} in the image has no such line",
        fix="use a base whose USER exists, or is a number",
    )
