"""What is worth keeping of a base's files while its layers stream past, and how much of each.

Rules go by name alone, since where Python lives is known only at the end: a file that is no use there costs some
memory, no more. The same names are kept everywhere because package managers hard-link from caches
(conda's ``pkgs/``, uv's cache), and a tar archive holds the content at the first name only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

__all__ = ["DPKG_STATUS", "DPKG_STATUS_DIR", "Extract", "extractor"]

Extract = Callable[[bytes], bytes]
"""From a file's content to what is kept of it."""

DPKG_STATUS: Final = "/var/lib/dpkg/status"
DPKG_STATUS_DIR: Final = "/var/lib/dpkg/status.d"
"""Distroless images have one file per package here, and no status file."""

_PY_VERSION: Final = re.compile(rb'#\s*define\s+PY_VERSION\s+"([^"]+)"')
_GLIBC_BANNER: Final = re.compile(rb"GNU C Library [^\n\0]*? version (\d+\.\d+)")
_DPKG_PACKAGE: Final = re.compile(rb"^Package: (libc6|python3\.\d+(?:-minimal)?)$", re.MULTILINE)
_DPKG_VERSION: Final = re.compile(rb"^Version: (\S+)$", re.MULTILINE)
_HEADERS_END: Final = re.compile(rb"\r?\n\r?\n")


def extractor(path: str) -> Extract | None:
    """How to keep the file at ``path``; None when it is of no interest."""
    directory, _, name = path.rpartition("/")
    if name in _BY_NAME:
        where, extract = _BY_NAME[name]
        return extract if directory.endswith(where) else None
    for pattern, where, extract in _BY_PATTERN:
        if directory.endswith(where) and pattern.fullmatch(name):
            return extract
    return None


def _whole(data: bytes) -> bytes:
    return data


def _presence(_: bytes) -> bytes:
    """Nothing but that the file is there."""
    return b""


def _headers(data: bytes) -> bytes:
    """Core metadata without the description, which is most of it."""
    return _HEADERS_END.split(data, maxsplit=1)[0]


def _python_version(data: bytes) -> bytes:
    """The version in CPython's patchlevel.h."""
    match = _PY_VERSION.search(data)
    return match[1] if match else b""


def _glibc_version(data: bytes) -> bytes:
    """The version in the banner that running libc.so.6 prints."""
    match = _GLIBC_BANNER.search(data)
    return match[1] if match else b""


def _dpkg_versions(data: bytes) -> bytes:
    """``name version`` lines for the packages of libc and Python, out of a dpkg status file."""
    lines = []
    for paragraph in data.split(b"\n\n"):
        package, version = _DPKG_PACKAGE.search(paragraph), _DPKG_VERSION.search(paragraph)
        if package and version:
            lines.append(b"%s %s\n" % (package[1], version[1]))
    return b"".join(lines)


def _conda_record(data: bytes) -> bytes:
    """A conda-meta record's name, version and files, if it is Python's own or a Python distribution's."""
    try:
        record = json.loads(data)
        name, version, files = str(record["name"]), str(record["version"]), list(map(str, record["files"]))
    except (ValueError, KeyError, TypeError):
        return b""
    if name != "python" and not any(".dist-info/" in path or ".egg-info" in path for path in files):
        return b""
    return json.dumps({"name": name, "version": version, "files": [] if name == "python" else files}).encode()


# Name (or pattern), how the directory's path ends, what is kept.
_BY_NAME: Final[dict[str, tuple[str, Extract]]] = {
    "METADATA": (".dist-info", _headers),
    "INSTALLER": (".dist-info", _whole),
    "RECORD": (".dist-info", _whole),
    "PKG-INFO": (".egg-info", _headers),
    "requires.txt": (".egg-info", _whole),
    "installed-files.txt": (".egg-info", _whole),
    "patchlevel.h": ("", _python_version),
    "pyvenv.cfg": ("", _whole),
    "libc.so.6": ("", _glibc_version),
    "passwd": ("/etc", _whole),
    "group": ("/etc", _whole),
    "status": ("/var/lib/dpkg", _dpkg_versions),
}
_BY_PATTERN: Final[tuple[tuple[re.Pattern[str], str, Extract], ...]] = (
    (re.compile(r"python(\d+(\.\d+)?)?"), "/bin", _presence),
    (re.compile(r".+\.json"), "/conda-meta", _conda_record),
    (re.compile(r"libc-2\.\d+\.so"), "", _presence),
    (re.compile(r".+\.egg-info"), "-packages", _headers),
    (re.compile(r".+"), DPKG_STATUS_DIR, _dpkg_versions),
)
