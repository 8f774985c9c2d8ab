"""Tar headers whose bytes depend on nothing but the entry.

Written here and not by ``tarfile``: its header bytes changed between Python releases (python/cpython#18080 left
``devmajor`` and ``devminor`` empty, #90021 came back to them), and a layer's digest must not.
The format is POSIX.1-2001: USTAR, and PAX records for what does not fit into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["BLOCK", "DIRECTORY", "END", "MTIME", "REGULAR", "SYMLINK", "TarEntry", "encode_header", "padding"]

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)

MTIME: Final = 315_619_200
"""1980-01-02T00:00:00Z, of every entry. Not 0: zip starts in 1980 and refuses older files, and tools take a time of 0
for "none" (Jib's FAQ, apko). Not the first of January: Ray images set TZ=America/Los_Angeles, where that is 1979."""

REGULAR: Final = b"0"
SYMLINK: Final = b"2"
DIRECTORY: Final = b"5"
_PAX: Final = b"x"

_NAME, _PREFIX, _LINK = 100, 155, 100
_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """An entry: ``path`` is absolute in the image, ``size`` in bytes, ``link`` the target of a symbolic link."""

    path: str
    uid: int
    gid: int
    kind: bytes = REGULAR
    size: int = 0
    executable: bool = False
    link: str = ""
    permissions: int | None = None
    """Only for directories of the base, which keep theirs."""

    @property
    def name(self) -> str:
        """The name in the archive: neither ``./`` nor ``/`` before it, and ``/`` behind a directory."""
        return self.path.lstrip("/") + ("/" if self.kind == DIRECTORY else "")

    @property
    def mode(self) -> int:
        """0644 or 0755 and nothing else, unless given; 0777 for symbolic links, as Linux shows every one of them."""
        if self.permissions is not None:
            return self.permissions
        if self.kind == SYMLINK:
            return 0o777
        return 0o755 if self.executable or self.kind == DIRECTORY else 0o644


def padding(size: int) -> bytes:
    """The zero bytes that follow ``size`` bytes of content."""
    return bytes(-size % BLOCK)


def encode_header(entry: TarEntry) -> bytes:
    """The header blocks of an entry: one USTAR block, after a PAX header if something does not fit into it."""
    records: dict[str, str] = {}
    prefix, name = _split(entry.name)
    if not name:
        records["path"] = entry.name
        name = _ascii(entry.name, _NAME)
    link = _ascii(entry.link, _LINK)
    if link.decode() != entry.link:
        records["linkpath"] = entry.link
    numbers = {"uid": (entry.uid, _MAX_ID), "gid": (entry.gid, _MAX_ID), "size": (entry.size, _MAX_SIZE)}
    for key, (value, limit) in numbers.items():
        if value > limit:
            records[key] = str(value)
    uid, gid, size = (0 if key in records else value for key, (value, _) in numbers.items())
    block = _block(name, entry.mode, uid, gid, size, entry.kind, link, prefix)
    return _pax_header(records) + block if records else block


def _split(name: str) -> tuple[bytes, bytes]:
    """``name`` as USTAR's prefix and name; both empty if it does not fit."""
    if not name.isascii():
        return b"", b""
    raw = name.encode()
    if len(raw) <= _NAME:
        return b"", raw
    # The longest prefix that fits; the slash between the two is not stored. A directory's last slash is no split.
    cut = raw.rfind(b"/", 0, min(_PREFIX + 1, len(raw) - 1))
    if cut <= 0 or len(raw) - cut - 1 > _NAME:
        return b"", b""
    return raw[:cut], raw[cut + 1 :]


def _ascii(text: str, limit: int) -> bytes:
    """What a reader without PAX sees."""
    return text.encode("ascii", "replace")[:limit]


def _pax_header(records: dict[str, str]) -> bytes:
    data = b"".join(_pax_record(key, value) for key, value in sorted(records.items()))
    block = _block(b"././@PaxHeader", 0o644, 0, 0, len(data), _PAX, b"", b"")
    return block + data + padding(len(data))


def _pax_record(key: str, value: str) -> bytes:
    """``<length> <key>=<value>`` and a line feed, where length counts all of it, itself included."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _block(name: bytes, mode: int, uid: int, gid: int, size: int, kind: bytes, link: bytes, prefix: bytes) -> bytes:  # noqa: PLR0913, PLR0917 - the fields of the format, in its order
    before = name.ljust(_NAME, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, gid, size, MTIME)
    owner_names, devices = bytes(64), b"0000000\x000000000\0"
    after = kind + link.ljust(_LINK, b"\0") + b"ustar\x0000" + owner_names + devices
    after += prefix.ljust(_PREFIX, b"\0") + bytes(12)
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%06o\0 " % checksum + after
